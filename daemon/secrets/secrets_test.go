package secrets

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zalando/go-keyring"
)

const alice = "alice@example.org"

// check looks whether a password is where it is expected.
func check(t *testing.T, s *Store, want string, at Place) {
	t.Helper()
	got, place, err := s.Get(alice)
	if err != nil || got != want || place != at {
		t.Errorf("the password is %q at %q (%v), want %q at %q", got, place, err, want, at)
	}
}

func kept(t *testing.T, s *Store, password string, at Place) {
	t.Helper()
	if place, err := s.Set(alice, password); err != nil || place != at {
		t.Errorf("kept at %q (%v), want %q", place, err, at)
	}
}

func TestFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := New(Config{Dir: dir, NoKeyring: true})
	if _, _, err := s.Get(alice); !errors.Is(err, ErrNotFound) {
		t.Errorf("of nobody: %v", err)
	}
	kept(t, s, "one two", File)
	kept(t, s, "three \"four\" ü", File)
	check(t, New(Config{Dir: dir, NoKeyring: true}), "three \"four\" ü", File)
	st, err := os.Stat(filepath.Join(dir, "passwords.json"))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", st.Mode(), err)
	}
	names, _ := os.ReadDir(dir)
	if len(names) != 1 {
		t.Errorf("left in the folder: %v", names)
	}
	if err := s.Delete("bob@example.org"); err != nil {
		t.Error(err)
	}
	if err := s.Delete(alice); err != nil {
		t.Error(err)
	}
	if _, _, err := s.Get(alice); !errors.Is(err, ErrNotFound) {
		t.Errorf("after Delete: %v", err)
	}
}

// A file that others can read or that is damaged is not used, and nothing of it comes into an error.
func TestBadFile(t *testing.T) {
	dir := t.TempDir()
	s := New(Config{Dir: dir, NoKeyring: true})
	kept(t, s, "hunter2", File)
	path := filepath.Join(dir, "passwords.json")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Get(alice); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file for everybody: %v", err)
	}
	for _, text := range []string{`{"alice@example.org": hunter2`, `["hunter2"]`, `{"a": {"hunter2": 1}}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := s.Get(alice)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
		if _, err := s.Set(alice, "x"); err == nil {
			t.Errorf("%s: it was overwritten", text)
		}
	}
}

func TestCredential(t *testing.T) {
	dir := t.TempDir()
	s := New(Config{Dir: t.TempDir(), NoKeyring: true, Credentials: dir})
	kept(t, s, "of the file", File)
	if err := os.WriteFile(filepath.Join(dir, alice), []byte("of systemd\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, s, "of systemd", Credential)
	if err := os.WriteFile(filepath.Join(dir, alice), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Get(alice); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("an empty credential: %v", err)
	}
}

func TestMemory(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
	s := New(Config{})
	kept(t, s, "x", Memory)
	check(t, s, "x", Memory)
	if err := s.Delete(alice); err != nil {
		t.Error(err)
	}
	if _, _, err := s.Get(alice); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	for _, bad := range []string{"", "a\nb", "a\x00", strings.Repeat("x", maxPassword+1)} {
		if _, err := s.Set(alice, bad); err == nil {
			t.Errorf("%.10q was taken", bad)
		}
	}
}

func TestKeyring(t *testing.T) {
	keyring.MockInit()
	dir := t.TempDir()
	file := New(Config{Dir: dir, NoKeyring: true})
	kept(t, file, "of before", File)
	s := &Store{cfg: Config{Dir: dir}, ring: system{}}
	check(t, s, "of before", File)
	kept(t, s, "in the ring", Keyring)
	check(t, s, "in the ring", Keyring)
	if _, _, err := file.Get(alice); !errors.Is(err, ErrNotFound) {
		t.Errorf("the file has the old one still: %v", err)
	}
	if err := s.Delete(alice); err != nil {
		t.Error(err)
	}
	if _, _, err := s.Get(alice); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}

	// A keyring that fails is no reason to have no password.
	keyring.MockInitWithError(errors.New("no Secret Service"))
	if _, _, err := s.Get(alice); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("a locked keyring is no proof that nothing is there: %v", err)
	}
	kept(t, s, "in the file", File)
	check(t, s, "in the file", File)
}

func TestGuarded(t *testing.T) {
	if err := guarded(func() error { panic("x") }); err == nil {
		t.Error("a panic was no error")
	}
}

func TestDesktop(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	t.Setenv("XDG_RUNTIME_DIR", dir)
	if desktop() {
		t.Error("a keyring without a bus")
	}
	if err := os.WriteFile(filepath.Join(dir, "bus"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !desktop() {
		t.Error("the user's bus was not seen")
	}
	if s := New(Config{Dir: dir, NoKeyring: true}); s.ring != nil {
		t.Error("a keyring against the configuration")
	}
}
