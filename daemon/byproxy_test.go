package daemon

import (
	"net"
	"strconv"
	"testing"

	"github.com/jingled/jingled/ice/extdisco"
	"github.com/jingled/jingled/internal/testkit"
)

// TestCallByProxy makes a call from a network that only an HTTP proxy leads out of, whose DNS knows nothing of the world: the
// stream and the relay are both reached by the proxy.
func TestCallByProxy(t *testing.T) {
	turn, srv, dns := testkit.Coturn(t), newServer(t), testkit.NewDNS(t)
	_, port, err := net.SplitHostPort(turn.Addr)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	hosts := map[string]string{"xmpp.example.test:5222": srv.Addr(), "relay.example.test:" + port: turn.Addr}
	proxy := testkit.NewWebProxy(t, func(hostPort string) (string, bool) { addr, ok := hosts[hostPort]; return addr, ok })
	alice := act(t, srv, "alice", func(cfg *Config) {
		a := &cfg.Accounts[0]
		a.Connect, a.Proxy, a.Resolver = "xmpp.example.test:5222", proxy.URL, dns.Resolver()
		cfg.RelayOnly = true
	})
	bob := act(t, srv, "bob", nil)
	for _, a := range alice.accounts {
		a.awaitRelays(t.Context())
		a.relays.mu.Lock()
		a.relays.services = []extdisco.Service{{Type: "turn", Host: "relay.example.test", Port: uint16(number), Transport: "tcp",
			Username: turn.Username, Password: turn.Password}}
		a.relays.mu.Unlock()
	}
	sid := alice.call(bob.jid)
	bob.answer(bob.incoming().GetSid())
	if pair := alice.connected(sid).GetCandidatePair(); pair.GetLocalType() != "relay" {
		t.Errorf("the path is %v", pair)
	}
	bob.connected(sid)
	alice.hangUp(sid, "")
	alice.ended(sid)
	bob.ended(sid)
}
