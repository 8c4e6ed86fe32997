package xmpp_test

import (
	"context"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

func password(s string) func() (string, error) { return func() (string, error) { return s, nil } }

// start runs a client until the test ends and waits until it is online.
func start(t *testing.T, cfg xmpp.Config, prepare func(*xmpp.Client)) *xmpp.Client {
	t.Helper()
	cfg.FailFast = true
	c, err := xmpp.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	online := make(chan struct{}, 16)
	c.OnState(func(s xmpp.StateChange) {
		if s.State == xmpp.Online {
			online <- struct{}{}
		}
	})
	if prepare != nil {
		prepare(c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-end; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	select {
	case <-online:
	case err := <-end:
		end <- nil
		t.Fatalf("not online: %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("not online in 20 s")
	}
	return c
}

func TestProsodyLogin(t *testing.T) {
	s := testkit.Prosody(t)
	alice := jid.MustParse(s.AddUser(t, "alice", "secret"))
	for _, mode := range []xmpp.TLSMode{xmpp.TLSStart, xmpp.TLSDirect} {
		t.Run(string(mode), func(t *testing.T) {
			addr := s.Addr
			if mode == xmpp.TLSDirect {
				addr = s.DirectTLSAddr
			}
			began := time.Now()
			c := start(t, xmpp.Config{JID: alice, Password: password("secret"), Connect: addr, TLS: mode, RootCAs: s.Pool(), Resource: "phone"}, nil)
			t.Logf("online as %s after %v", c.JID(), time.Since(began))
			if c.JID() != alice+"/phone" {
				t.Errorf("bound %s", c.JID())
			}
			if err := c.Ping(t.Context(), ""); err != nil {
				t.Errorf("ping: %v", err)
			}
		})
	}
}
