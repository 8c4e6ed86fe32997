package daemon_test

import (
	"errors"
	"testing"

	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/secrets"
	"github.com/jingled/jingled/internal/testkit"
)

// TestTokenIsKept logs in a second time, in another run, with what the server has given instead of the password.
func TestTokenIsKept(t *testing.T) {
	s := testkit.ProsodySASL2(t)
	alice := s.AddUser(t, "alice", "pw")
	store := secrets.New(secrets.Config{Dir: t.TempDir(), NoKeyring: true})
	t.Run("password", func(t *testing.T) {
		atHome(t, alice, s.Addr, s.Pool(), func(c *daemon.Config) { c.Secrets = store })
	})
	t.Run("token", func(t *testing.T) {
		atHome(t, alice, s.Addr, s.Pool(), func(c *daemon.Config) {
			c.Secrets = store
			c.Accounts[0].Password = func() (string, error) { return "", errors.New("the password was asked for") }
		})
	})
}
