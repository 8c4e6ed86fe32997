package agent

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/pion/turn/v5"

	"github.com/jingled/jingled/ice"
)

// streamTURN is a TURN server on TCP, without TLS.
func streamTURN(t *testing.T) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveTURN(t, turn.ServerConfig{ListenerConfigs: []turn.ListenerConfig{{Listener: ln, RelayAddressGenerator: onLoopback()}}})
	return ln.Addr().String()
}

// TestRelayByProxy has a relay that only a proxy knows and reaches, one that the proxy does not let through, and none at all.
func TestRelayByProxy(t *testing.T) {
	addr := streamTURN(t)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	refused := errors.New("not by this proxy")
	for _, tc := range []struct {
		name  string
		names book
		proxy func(ctx context.Context, hostPort string) (net.Conn, error)
	}{
		{"by the proxy only", nil, func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}},
		{"directly", book{"relay.example.test": {"127.0.0.1"}}, func(context.Context, string) (net.Conn, error) { return nil, refused }},
		{"in no way", nil, func(context.Context, string) (net.Conn, error) { return nil, refused }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var mu sync.Mutex
			var asked []string
			a := newPeer(t, Config{LoopbackOnly: true, Policy: RelayOnly, Names: tc.names,
				Servers: []Server{{URI: "turn:relay.example.test:" + port + "?transport=tcp", Username: "user", Password: "secret"}},
				Proxy: func(ctx context.Context, hostPort string) (net.Conn, error) {
					mu.Lock()
					asked = append(asked, hostPort)
					mu.Unlock()
					return tc.proxy(ctx, hostPort)
				}})
			if tc.name == "in no way" {
				if err := a.Gather(); err != nil {
					t.Fatal(err)
				}
				<-a.gathered
				if len(a.candidates) > 0 || !strings.Contains(a.Report(), "not by this proxy") {
					t.Errorf("%d candidates; %s", len(a.candidates), a.Report())
				}
			} else {
				b := newPeer(t, Config{LoopbackOnly: true})
				connect(t, a, b)
				if pair := <-a.paired; pair.Local.Type != ice.Relayed {
					t.Errorf("the path is %v", pair)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if len(asked) == 0 || asked[0] != "relay.example.test:"+port {
				t.Errorf("the proxy was asked for %q", asked)
			}
		})
	}
}
