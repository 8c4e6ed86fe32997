package daemon

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"

	"github.com/jingled/jingled/ice/extdisco"
	"github.com/jingled/jingled/internal/testkit"
)

// webProxy is an HTTP proxy that connects to the hosts it knows. It returns its URL.
func webProxy(t *testing.T, hosts map[string]string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer in.Close()
				r := bufio.NewReader(in)
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				to, ok := hosts[req.Host]
				if !ok || req.Method != http.MethodConnect {
					_, _ = io.WriteString(in, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
					return
				}
				out, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer out.Close()
				if _, err := io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
					return
				}
				var both sync.WaitGroup
				both.Go(func() { _, _ = io.Copy(out, r); out.Close() })
				both.Go(func() { _, _ = io.Copy(in, out); in.Close() })
				both.Wait()
			})
		}
	})
	return "http://" + ln.Addr().String()
}

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
	proxy := webProxy(t, map[string]string{"xmpp.example.test:5222": srv.Addr(), "relay.example.test:" + port: turn.Addr})
	alice := act(t, srv, "alice", func(cfg *Config) {
		a := &cfg.Accounts[0]
		a.Connect, a.Proxy, a.Resolver = "xmpp.example.test:5222", proxy, dns.Resolver()
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
