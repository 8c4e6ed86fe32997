package testkit_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/jingled/jingled/internal/testkit"
)

// TestProsodyWithSlixmpp checks that the server is what Server says, with a client of other people.
func TestProsodyWithSlixmpp(t *testing.T) {
	srv := testkit.Prosody(t)
	python := testkit.Python(t, "slixmpp", "python3-slixmpp")
	alice, bob := srv.AddUser(t, "alice", "wonder land"), srv.AddUser(t, "bob", "builder")
	srv.Befriend(t, "alice", "bob")
	for _, c := range []struct{ name, addr, tls string }{{"STARTTLS", srv.Addr, "starttls"}, {"direct TLS", srv.DirectTLSAddr, "direct"}} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command(python, "testdata/two_accounts.py", c.addr, c.tls, srv.CAFile, alice, "wonder land", bob, "builder")
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "all checks held") {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}

func TestProsodyRestart(t *testing.T) {
	srv := testkit.Prosody(t)
	addr := srv.Addr
	srv.Restart(t)
	if srv.Addr != addr {
		t.Fatalf("address %s became %s", addr, srv.Addr)
	}
}
