package secrets

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"

	"github.com/zalando/go-keyring"
)

// service is the name under which a keyring shows our entries.
const service = "jingled"

// desktop reports whether a keyring can be there. Without a bus of the session, asking would start one.
func desktop() bool {
	switch runtime.GOOS {
	case "darwin", "windows":
		return true
	}
	if os.Getenv("DBUS_SESSION_BUS_ADDRESS") != "" {
		return true
	}
	run := os.Getenv("XDG_RUNTIME_DIR")
	if run == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(run, "bus"))
	return err == nil
}

// system is the keyring of the desktop.
type system struct{}

func (system) get(account string) (password string, err error) {
	err = guarded(func() error {
		password, err = keyring.Get(service, account)
		return err
	})
	return password, err
}

func (system) set(account, password string) error {
	return guarded(func() error { return keyring.Set(service, account, password) })
}

func (system) remove(account string) error {
	return guarded(func() error { return keyring.Delete(service, account) })
}

// guarded runs a request. The library panics over answers of types that it does not expect, and who answers is whoever has
// taken the name on the bus.
func guarded(request func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("it answers in a form that is not understood")
		}
	}()
	if err = request(); errors.Is(err, keyring.ErrNotFound) {
		return ErrNotFound
	}
	return err
}
