package xmpp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
)

// TestDialByProxy says which proxy a relay is reached by, and which is reached without one.
func TestDialByProxy(t *testing.T) {
	for _, name := range []string{"ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"} {
		t.Setenv(name, "")
	}
	const relay = "relay.example.test:443"
	for _, tc := range []struct {
		name, proxy string
		env         map[string]string
		has         bool
		dialed      string // "": no proxy for this one
	}{
		{"none", "", nil, false, ""},
		{"configured", "http://one.example.test", nil, true, "one.example.test:8080"},
		{"for the web", "", map[string]string{"HTTPS_PROXY": "http://two.example.test:3128"}, true, "two.example.test:3128"},
		{"for all", "", map[string]string{"ALL_PROXY": "socks5://three.example.test"}, true, "three.example.test:1080"},
		{"not for this one", "", map[string]string{"ALL_PROXY": "socks5://three.example.test", "NO_PROXY": ".example.test"}, true, ""},
		{"refused", "none", map[string]string{"ALL_PROXY": "socks5://three.example.test"}, false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for k, v := range tc.env {
				t.Setenv(k, v)
			}
			dialed, stop := "", errors.New("far enough")
			c := mustNew(t, Config{JID: alice, Password: func() (string, error) { return "", nil }, Proxy: tc.proxy,
				Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
					dialed = addr
					return nil, stop
				}})
			if got := c.HasProxy(); got != tc.has {
				t.Errorf("there is one: %v", got)
			}
			_, err := c.DialByProxy(t.Context(), relay, netip.AddrPort{})
			if dialed != tc.dialed || errors.Is(err, ErrNoProxy) != (tc.dialed == "") || tc.dialed != "" && !errors.Is(err, stop) {
				t.Errorf("connected to %q: %v", dialed, err)
			}
		})
	}
}
