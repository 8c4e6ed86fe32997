package secrets

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

const inSession = "JINGLED_TEST_IN_SESSION"

// TestSecretService keeps a password in the keyring of other people: GNOME's, on a bus of its own.
func TestSecretService(t *testing.T) {
	for _, program := range []string{"dbus-run-session", "gnome-keyring-daemon"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	cmd := exec.Command("dbus-run-session", "--", "sh", "-c",
		`printf 'pass phrase' >pass
		gnome-keyring-daemon --foreground --unlock --components=secrets <pass >/dev/null 2>&1 &
		ring=$!
		until dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetNameOwner \
			string:org.freedesktop.secrets >/dev/null 2>&1; do kill -0 $ring || exit 9; sleep 0.05; done
		"$0"
		status=$?
		kill $ring
		wait $ring
		exit $status`, self)
	cmd.Dir = home
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_RUNTIME_DIR=" + home, "XDG_DATA_HOME=" + home, inSession + "=1"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestMain is also the program that TestSecretService runs on its bus.
func TestMain(m *testing.M) {
	if os.Getenv(inSession) == "" {
		os.Exit(m.Run())
	}
	if err := useKeyring(os.Getenv("HOME") + "/state"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func useKeyring(dir string) error {
	s := New(Config{Dir: dir})
	if s.ring == nil {
		return errors.New("the bus of the session is not seen")
	}
	if _, _, err := s.Get(alice); !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("before: %w", err)
	}
	for _, password := range []string{"in GNOME's ring", "ünd änother"} {
		if at, err := s.Set(alice, password); err != nil || at != Keyring {
			return fmt.Errorf("Set: %q, %w", at, err)
		}
		if got, at, err := New(Config{Dir: dir}).Get(alice); err != nil || got != password || at != Keyring {
			return fmt.Errorf("Get: %q at %q, %w", got, at, err)
		}
	}
	if err := s.Delete(alice); err != nil {
		return err
	}
	if _, _, err := s.Get(alice); !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("after Delete: %w", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is a file: %w", err)
	}
	return nil
}
