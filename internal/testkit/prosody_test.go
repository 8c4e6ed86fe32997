package testkit_test

import (
	"testing"

	"github.com/jingled/jingled/internal/testkit"
)

// TestProsody checks that the server is what Server says, with a client of other people.
func TestProsody(t *testing.T) {
	srv := testkit.Prosody(t)
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
}
