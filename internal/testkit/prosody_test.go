package testkit_test

import (
	"net"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/testkit"
)

func TestProsody(t *testing.T) { judge(t, testkit.Prosody(t)) }

// judge checks that the server is what Server says, with a client of other people.
func judge(t *testing.T, srv *testkit.Server) {
	alice := testkit.Login{JID: srv.AddUser(t, "alice", "wonder land"), Password: "wonder land"}
	bob := testkit.Login{JID: srv.AddUser(t, "bob", "builder"), Password: "builder"}
	srv.Befriend(t, "alice", "bob")
	t.Run("STARTTLS", func(t *testing.T) {
		testkit.JudgeBySlixmpp(t, srv.Addr, "starttls", srv.CAFile, alice, bob)
	})
	t.Run("direct TLS", func(t *testing.T) {
		testkit.JudgeBySlixmpp(t, srv.DirectTLSAddr, "direct", srv.CAFile, alice, bob)
	})
	t.Run("after a restart", func(t *testing.T) {
		addr := srv.Addr
		srv.Restart(t)
		if srv.Addr != addr {
			t.Fatalf("address %s became %s", addr, srv.Addr)
		}
		testkit.JudgeBySlixmpp(t, srv.Addr, "starttls", srv.CAFile, alice, bob)
	})
	t.Run("stopped", func(t *testing.T) {
		srv.Stop()
		if c, err := net.DialTimeout("tcp", srv.Addr, time.Second); err == nil {
			_ = c.Close()
			t.Error("it still listens")
		}
	})
}
