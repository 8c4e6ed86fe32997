package xmpp_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

// mapped is a network where names lead to addresses of this machine, and nothing else does.
type mapped map[string]string

func (m mapped) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	to, ok := m[addr]
	if !ok {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	return new(net.Dialer).DialContext(ctx, network, to)
}

// twoRecords name a server for direct TLS and one for STARTTLS.
type twoRecords struct{}

func (twoRecords) LookupSRV(_ context.Context, service, _, _ string) (string, []*net.SRV, error) {
	if service == "xmpps-client" {
		return "", []*net.SRV{{Target: "tls.example.test.", Port: 5223, Priority: 5}}, nil
	}
	return "", []*net.SRV{{Target: "xmpp.example.test.", Port: 5222, Priority: 10}}, nil
}

// TestConnectionOrder closes one way after the other: what is configured, direct TLS and STARTTLS by the domain's SRV
// records, then a WebSocket and BOSH by its host-meta.
func TestConnectionOrder(t *testing.T) {
	s := testkit.SharedServer(t, testkit.Chosen(t))
	account := jid.MustParse(s.AddUser(t, "anywhere", "secret"))
	const meta = `{"links":[{"rel":"urn:xmpp:alt-connections:xbosh","href":"https://example.test/http-bind"},
		{"rel":"urn:xmpp:alt-connections:websocket","href":"wss://ws.example.test/xmpp-websocket"}]}`
	web, webCA := front(t, s, s.Domain, meta, "/.well-known/host-meta.json")
	socket, socketCA := front(t, s, "ws.example.test", "", "")
	pool, err := xmpp.ParseCA(slices.Concat(s.CA, webCA, socketCA))
	if err != nil {
		t.Fatal(err)
	}
	ways := []struct{ name, addr, to, method string }{
		{"configured", "there.example.test:1234", s.Addr, "TCP"},
		{"direct TLS", "tls.example.test:5223", s.DirectTLSAddr, "TCP"},
		{"STARTTLS", "xmpp.example.test:5222", s.Addr, "TCP"},
		{"WebSocket", "ws.example.test:443", socket.Listener.Addr().String(), "WebSocket"},
		{"BOSH", "example.test:443", web.Listener.Addr().String(), "BOSH"},
	}
	for i, want := range ways {
		t.Run(want.name, func(t *testing.T) {
			open := mapped{}
			for _, w := range ways[i:] {
				open[w.addr] = w.to
			}
			var log logLines
			cfg := xmpp.Config{JID: account, Password: password("secret"), RootCAs: pool, Dial: open.dial, Resolver: twoRecords{}, Logger: log.logger()}
			if i == 0 {
				cfg.Connect = want.addr
			}
			c := start(t, cfg, nil)
			if err := c.Ping(t.Context(), ""); err != nil {
				t.Error(err)
			}
			if !log.has("logged in", "method="+want.method, "addr="+want.addr) {
				t.Errorf("not by %s:\n%s", want.addr, strings.TrimSpace(log.String()))
			}
		})
	}
}
