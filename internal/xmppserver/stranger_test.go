package xmppserver_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
)

// TestSlixmpp lets a client of other people judge the server.
func TestSlixmpp(t *testing.T) {
	for _, c := range []struct {
		name, tls string
		cfg       xmppserver.Config
	}{
		// slixmpp 1.8 binds to tls-unique whatever the version of TLS, which fails where TLS 1.3 has no such thing.
		{"TLS 1.2 with channel binding", "starttls", xmppserver.Config{TLS12: true}},
		{"TLS 1.3", "starttls", xmppserver.Config{NoChannelBinding: true}},
		{"direct TLS", "direct", xmppserver.Config{NoChannelBinding: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Accounts = map[string]string{"alice": "wonder land", "bob": "builder"}
			srv := testkit.Embedded(t, c.cfg)
			if err := srv.Befriend("alice", "bob"); err != nil {
				t.Fatal(err)
			}
			ca := filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(ca, srv.CA(), 0o600); err != nil {
				t.Fatal(err)
			}
			addr := srv.Addr()
			if c.tls == "direct" {
				addr = srv.DirectTLSAddr()
			}
			testkit.JudgeBySlixmpp(t, addr, c.tls, ca, testkit.Login{JID: "alice@example.test", Password: "wonder land"},
				testkit.Login{JID: "bob@example.test", Password: "builder"})
		})
	}
}
