package daemon

import (
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

// TestSameDevice: a daemon with a state folder is the same device whenever it runs, unless it is told to be another. Without a
// state folder it is a new one.
func TestSameDevice(t *testing.T) {
	srv := newServer(t)
	address := func(dir, configured string) string {
		t.Helper()
		cfg := partOf(t, srv, "alice", func(c *Config) { c.StateDir, c.Accounts[0].Resource = dir, configured })
		a := begin(t, cfg)
		defer func() {
			a.stop()
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		}()
		return a.await("online", func(e *jingledv1.Event) bool {
			return e.GetAccountChanged().GetState() == jingledv1.AccountState_ACCOUNT_STATE_ONLINE
		}).GetAccountChanged().GetBoundJid()
	}
	dir := t.TempDir()
	first := address(dir, "")
	if again := address(dir, ""); again != first {
		t.Errorf("%s, and when it ran again %s", first, again)
	}
	if named := address(dir, "desk"); named != "alice@"+srv.Domain()+"/desk" {
		t.Errorf("configured as desk it is %s", named)
	}
	if again := address(dir, ""); again != first {
		t.Errorf("%s, and after it had another name %s", first, again)
	}
	if other := address(t.TempDir(), ""); other == first {
		t.Errorf("with another state folder it is %s again", other)
	}
	if other := address("", ""); other == first || other == address("", "") {
		t.Errorf("without a state folder it is always %s", other)
	}
}
