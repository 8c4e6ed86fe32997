//go:build unix

package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon/secrets"
)

// A tunnel for an account is opened while the account is being added. The tunnel has it, clients hear of no end of it, and of the
// other nothing stays.
func TestTunnelIsQuickerThanAddAccount(t *testing.T) {
	const carol = "carol@example.test"
	dir := t.TempDir()
	d := bare(t, Config{StateDir: dir, Secrets: secrets.New(secrets.Config{Dir: dir, NoKeyring: true})})
	// While this is not written to, the password cannot be kept.
	pipe := filepath.Join(dir, "passwords.json")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	added := make(chan error, 1)
	go func() {
		_, err := d.AddAccount(t.Context(), &jingledv1.AddAccountRequest{Jid: carol, Password: "secret of carol"})
		added <- err
	}()
	passwords, err := os.OpenFile(pipe, os.O_WRONLY, 0) // it is read
	if err != nil {
		t.Fatal(err)
	}
	ready, end, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- d.OpenTunnel(t.Context(), &jingledv1.OpenTunnelRequest{Jid: carol + "/desk"}, func(m *jingledv1.OpenTunnelResponse) error {
			if m.GetReady() != nil {
				close(ready)
				return nil
			}
			<-end
			return os.ErrClosed
		})
	}()
	<-ready
	if _, err := passwords.WriteString("{}"); err != nil {
		t.Fatal(err)
	}
	if err := passwords.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-added; connect.CodeOf(err) != connect.CodeAlreadyExists {
		t.Errorf("added: %v", err)
	}
	if acc := d.account(carol); acc.GetOrigin() != jingledv1.AccountOrigin_ACCOUNT_ORIGIN_TUNNEL {
		t.Errorf("the account: %v", acc)
	}
	d.hub.publish(&jingledv1.Event{Account: "that is all"})
	d.await("the mark", func(e *jingledv1.Event) bool { return e.GetAccount() == "that is all" })
	for _, e := range d.seen {
		if e.GetAccountChanged().GetState() == jingledv1.AccountState_ACCOUNT_STATE_STOPPED {
			t.Errorf("clients hear %v", e)
		}
	}
	close(end)
	if err := <-ended; err == nil {
		t.Error("the tunnel has not ended with its host")
	}
	d.stopped()
	if kept, err := d.state.AccountSettings(t.Context()); err != nil || len(kept) != 0 {
		t.Errorf("kept: %v, %v", kept, err)
	}
	if _, at, err := d.cfg.Secrets.Get(carol); err == nil {
		t.Errorf("there is a password in the %s", at)
	}
	d.shut()
	noSecretIn(t, dir, "secret of carol")
}
