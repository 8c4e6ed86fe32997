// Package xmpptest lets XMPP clients log in for tests.
package xmpptest

import (
	"context"
	"crypto/x509"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

// patience is how long a login may take, on whatever machine.
const patience = time.Minute

// At says how to log in at a server of other people. Where the client connects to, and by which TLS, can be changed.
func At(srv *testkit.Server, user, password string) xmpp.Config {
	return config(srv.Account(user), password, srv.Addr, srv.Pool())
}

// AtEmbedded says how to log in at the project's own server.
func AtEmbedded(srv *xmppserver.Server, user, password string) xmpp.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(srv.CA())
	return config(user+"@"+srv.Domain(), password, srv.Addr(), roots)
}

func config(account, password, addr string, roots *x509.CertPool) xmpp.Config {
	return xmpp.Config{JID: jid.JID(account), Password: func() (string, error) { return password, nil },
		Connect: addr, RootCAs: roots, FailFast: true}
}

// Client makes a client that does not run yet: handlers can be added, then [Run] logs it in.
func Client(t testing.TB, cfg xmpp.Config) *xmpp.Client {
	t.Helper()
	c, err := xmpp.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Login is [Client] and [Run] of one that needs no handlers.
func Login(t testing.TB, cfg xmpp.Config) *xmpp.Client {
	t.Helper()
	c := Client(t, cfg)
	Run(t, c)
	return c
}

// Run runs a client and returns once it is online. It ends with the test, which fails if it does not end well: before what
// the test has asked to clean up until now, and after what it asks for later.
func Run(t testing.TB, c *xmpp.Client) {
	t.Helper()
	online := make(chan struct{}, 1)
	c.OnState(func(s xmpp.StateChange) {
		if s.State == xmpp.Online {
			select {
			case online <- struct{}{}:
			default: // it was online before
			}
		}
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", c.Account(), err)
		}
	})
	select {
	case <-online:
	case err := <-ended:
		ended <- nil
		t.Fatalf("%s does not get online: %v", c.Account(), err)
	case <-time.After(patience):
		t.Fatalf("%s does not get online in %v", c.Account(), patience)
	}
}
