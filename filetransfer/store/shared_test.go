package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/store"
)

func TestShared(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "shared")
	for name, text := range map[string]string{
		"shared/a.txt": "a", "shared/sub/b.txt": "bb", "shared/.hidden": "h", "shared/.git/config": "h", "shared/c.bin.part": "p",
		"secret": "s", "shared/same": "bb",
	} {
		path := filepath.Join(base, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if runtime.GOOS != "windows" { // links need a privilege there
		for link, to := range map[string]string{"out": "../secret", "in": "a.txt", "dir": "..", "subdir": "sub"} {
			if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := store.NewShared(dir)
	sum := func(text string) hashes.Hash {
		v := sha256.Sum256([]byte(text))
		return hashes.Of(hashes.SHA256, v[:])
	}
	size := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		name   string
		wanted store.Wanted
		want   string // "" is none
	}{
		{"a name", store.Wanted{Name: "a.txt"}, "a.txt"},
		{"a name below", store.Wanted{Name: "sub/b.txt"}, "sub/b.txt"},
		{"a hash", store.Wanted{Hashes: []hashes.Hash{sum("a")}}, "a.txt"},
		{"a hash of two", store.Wanted{Hashes: []hashes.Hash{sum("bb")}}, "same"},
		{"all at once", store.Wanted{Name: "sub/b.txt", Size: size(2), Hashes: []hashes.Hash{sum("bb")}}, "sub/b.txt"},
		{"another size", store.Wanted{Name: "a.txt", Size: size(2)}, ""},
		{"another hash", store.Wanted{Name: "a.txt", Hashes: []hashes.Hash{sum("b")}}, ""},
		{"a hash that is not there", store.Wanted{Hashes: []hashes.Hash{sum("x")}}, ""},
		{"a hash of what is hidden", store.Wanted{Hashes: []hashes.Hash{sum("h")}}, ""},
		{"a hash of what is outside", store.Wanted{Hashes: []hashes.Hash{sum("s")}}, ""},
		{"a hash that nobody knows", store.Wanted{Hashes: []hashes.Hash{{Algo: "tiger", Sum: []byte("x")}}}, ""},
		{"nothing", store.Wanted{}, ""},
		{"a folder", store.Wanted{Name: "sub"}, ""},
		{"above", store.Wanted{Name: "../secret"}, ""},
		{"above, hidden", store.Wanted{Name: "sub/../../secret"}, ""},
		{"absolute", store.Wanted{Name: filepath.Join(base, "secret")}, ""},
		{"a slash too many", store.Wanted{Name: "/a.txt"}, ""},
		{"backslashes", store.Wanted{Name: `..\secret`}, ""},
		{"a zero byte", store.Wanted{Name: "a.txt\x00"}, ""},
		{"a link out", store.Wanted{Name: "out"}, ""},
		{"a link within", store.Wanted{Name: "in"}, ""},
		{"a linked folder", store.Wanted{Name: "dir/secret"}, ""},
		{"a linked folder within", store.Wanted{Name: "subdir/b.txt"}, ""},
		{"hidden", store.Wanted{Name: ".hidden"}, ""},
		{"in a hidden folder", store.Wanted{Name: ".git/config"}, ""},
		{"incomplete", store.Wanted{Name: "c.bin.part"}, ""},
	} {
		f, err := s.Find(t.Context(), c.wanted)
		if f.Name != c.want || (err == nil) != (c.want != "") || err != nil && !errors.Is(err, store.ErrNotShared) {
			t.Errorf("%s: %+v, %v", c.name, f, err)
		}
	}

	f, err := s.Find(t.Context(), store.Wanted{Name: "sub/b.txt"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err != nil || string(b) != "bb" {
		t.Errorf("%q, %v", b, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sub", "b.txt"), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(f); err == nil {
		t.Error("a file that has changed is opened")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Find(ctx, store.Wanted{Hashes: []hashes.Hash{sum("other")}}); !errors.Is(err, context.Canceled) {
		t.Errorf("a search that was ended: %v", err)
	}
	if _, err := store.NewShared(filepath.Join(base, "none")).Find(t.Context(), store.Wanted{Name: "a"}); !errors.Is(err, store.ErrNotShared) {
		t.Errorf("no folder: %v", err)
	}
}
