package partfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/jingled/jingled/media/partfile"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "none"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func create(t *testing.T, path, text string) *partfile.File {
	t.Helper()
	f, err := partfile.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.wav")
	part := path + partfile.Suffix
	if err := create(t, path, "first").Close(); err != nil { // as if it was killed
		t.Fatal(err)
	}
	if read(t, path) != "none" || read(t, part) != "first" {
		t.Errorf("on its way: %q and %q", read(t, path), read(t, part))
	}
	if err := create(t, path, "second").Commit(); err != nil {
		t.Fatal(err)
	}
	if read(t, path) != "second" || read(t, part) != "none" {
		t.Errorf("committed: %q and %q", read(t, path), read(t, part))
	}
	f := create(t, path, "third")
	if read(t, path) != "second" {
		t.Errorf("the older one is %q while another is written", read(t, path))
	}
	if err := f.Discard(); err != nil || read(t, path) != "second" || read(t, part) != "none" {
		t.Errorf("discarded: %q and %q, %v", read(t, path), read(t, part), err)
	}
}

// Links are not followed, and what is no file is not replaced.
func TestNotOurs(t *testing.T) {
	dir := t.TempDir()
	if _, err := partfile.Create(dir); err == nil {
		t.Error("a folder is replaced")
	}
	diary, path := filepath.Join(dir, "diary"), filepath.Join(dir, "a.wav")
	if err := errors.Join(os.WriteFile(diary, []byte("dear"), 0o600), os.Symlink(diary, path+partfile.Suffix)); err != nil {
		t.Skipf("symbolic links: %v", err)
	}
	if err := create(t, path, "sound").Commit(); err != nil {
		t.Fatal(err)
	}
	if read(t, diary) != "dear" || read(t, path) != "sound" {
		t.Errorf("%q is written to what a link leads to, %q to the file", read(t, diary), read(t, path))
	}
}
