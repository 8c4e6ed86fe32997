package xmpp_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

// inprocess runs the server of the demo until the test ends.
func inprocess(t testing.TB, cfg xmppserver.Config) *xmppserver.Server {
	t.Helper()
	cfg.Accounts = map[string]string{"alice": "secret", "bob": "secret"}
	s, err := xmppserver.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-end; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return s
}

func inprocessAccount(t testing.TB, s *xmppserver.Server) xmpp.Config {
	t.Helper()
	pool, err := xmpp.ParseCA(s.CA())
	if err != nil {
		t.Fatal(err)
	}
	return xmpp.Config{JID: jid.JID("alice@" + s.Domain()), Password: password("secret"), Connect: s.Addr(), TLS: xmpp.TLSStart, RootCAs: pool, Resource: "phone"}
}

// TestInProcess logs in at the project's own server in every way that it has, channel binding by both kinds included.
func TestInProcess(t *testing.T) {
	for _, tc := range []struct {
		name   string
		server xmppserver.Config
		direct bool
		mode   xmpp.TLSMode
	}{
		{"tls-exporter", xmppserver.Config{}, false, xmpp.TLSStart},
		{"tls-unique", xmppserver.Config{TLS12: true}, false, xmpp.TLSStart},
		{"no binding", xmppserver.Config{NoChannelBinding: true}, false, xmpp.TLSStart},
		{"direct TLS", xmppserver.Config{}, true, xmpp.TLSDirect},
		{"no TLS", xmppserver.Config{AllowPlain: true}, false, xmpp.TLSPlainLoopback},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := inprocess(t, tc.server)
			cfg := inprocessAccount(t, s)
			cfg.TLS = tc.mode
			if tc.direct {
				cfg.Connect = s.DirectTLSAddr()
			}
			c := start(t, cfg, nil)
			if err := c.Ping(t.Context(), ""); err != nil {
				t.Error(err)
			}
			if c.JID() != cfg.JID+"/phone" {
				t.Errorf("bound %s", c.JID())
			}
		})
	}
}

// BenchmarkLogin is the time from Run to Online at the in-process server, and its ratio to a bare TLS connection.
func BenchmarkLogin(b *testing.B) {
	s := inprocess(b, xmppserver.Config{})
	cfg := inprocessAccount(b, s)
	cfg.Connect, cfg.TLS = s.DirectTLSAddr(), xmpp.TLSDirect
	const handshakes = 20
	began := time.Now()
	for range handshakes {
		c, err := tls.Dial("tcp", s.DirectTLSAddr(), &tls.Config{RootCAs: cfg.RootCAs, ServerName: s.Domain()})
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
	bare := time.Since(began) / handshakes
	n := 0
	for b.Loop() {
		n++
		cfg.Resource = fmt.Sprint("r", n)
		c, err := xmpp.New(cfg)
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		c.OnState(func(ch xmpp.StateChange) {
			if ch.State == xmpp.Online {
				cancel()
			}
		})
		if err := c.Run(ctx); err != nil {
			b.Fatal(err)
		}
		cancel()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ms/login")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(bare), "x-bare-TLS")
}
