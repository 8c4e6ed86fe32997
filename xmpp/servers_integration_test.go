package xmpp_test

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmpptest"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
	"github.com/jingled/jingled/xmpp/carbons"
	"github.com/jingled/jingled/xmpp/disco"
	"github.com/jingled/jingled/xmpp/roster"
)

func password(s string) func() (string, error) { return func() (string, error) { return s, nil } }

// start runs a client until the test ends and waits until it is online.
func start(t *testing.T, cfg xmpp.Config, prepare func(*xmpp.Client)) *xmpp.Client {
	t.Helper()
	cfg.FailFast = true
	cfg.Backoff = xmpp.Backoff{Min: 50 * time.Millisecond, Max: time.Second}
	c := xmpptest.Client(t, cfg)
	if prepare != nil {
		prepare(c)
	}
	xmpptest.Run(t, c)
	return c
}

// patience is for everything that a server of other people does.
const patience = time.Minute

// wait takes the next value of a channel, or fails.
func wait[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("%s: nothing in %v", what, patience)
	}
	return v
}

func account(s *testkit.Server, j jid.JID, resource string) xmpp.Config {
	return xmpp.Config{JID: j, Resource: resource, Password: password("secret"), Connect: s.Addr, TLS: xmpp.TLSStart, RootCAs: s.Pool()}
}

func TestLogin(t *testing.T) {
	testkit.EachWith(t, testkit.Options{Secret: "relay secret", Relays: []testkit.Relay{
		{Type: "stun", Transport: "udp", Host: "127.0.0.1", Port: 3478}, {Type: "turn", Transport: "udp", Host: "127.0.0.1", Port: 3478},
	}}, logins)
}

func logins(t *testing.T, s *testkit.Server) {
	alice := jid.MustParse(s.AddUser(t, "alice", "secret"))
	for _, tc := range []struct {
		name   string
		change func(*xmpp.Config)
		kind   error
		text   string
	}{
		{"STARTTLS", func(*xmpp.Config) {}, nil, ""},
		{"direct TLS", func(c *xmpp.Config) { c.Connect, c.TLS = s.DirectTLSAddr, xmpp.TLSDirect }, nil, ""},
		{"wrong password", func(c *xmpp.Config) { c.Password = password("wrong") }, xmpp.ErrAuth, "wrong password or user name for alice@example.test"},
		{"unknown user", func(c *xmpp.Config) { c.JID = "nobody@example.test" }, xmpp.ErrAuth, "wrong password or user name"},
		{"unknown authority", func(c *xmpp.Config) { c.RootCAs = x509.NewCertPool() }, xmpp.ErrCertificate, "unknown authority"},
		{"other domain", func(c *xmpp.Config) { c.JID = "alice@elsewhere.test" }, xmpp.ErrProtocol, "does not serve elsewhere.test"},
		{"direct TLS on a STARTTLS port", func(c *xmpp.Config) { c.TLS = xmpp.TLSDirect }, xmpp.ErrTLS, "--tls starttls"},
		{"STARTTLS on a direct TLS port", func(c *xmpp.Config) { c.Connect = s.DirectTLSAddr; c.Timeouts.Login = 2 * time.Second }, xmpp.ErrNotXMPP, "--tls direct"},
		{"HTTP port", func(c *xmpp.Config) { c.Connect = s.HTTPAddr; c.Timeouts.Login = 2 * time.Second }, xmpp.ErrUnreachable, "Check the port"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := account(s, alice, "phone")
			tc.change(&cfg)
			if tc.kind == nil {
				began := time.Now()
				c := start(t, cfg, nil)
				t.Logf("online as %s after %v", c.JID(), time.Since(began))
				if c.JID() != alice+"/phone" {
					t.Errorf("bound %s", c.JID())
				}
				if err := c.Ping(t.Context(), ""); err != nil {
					t.Errorf("ping: %v", err)
				}
				if i, err := disco.QueryInfo(t.Context(), c, jid.JID(s.Domain), ""); err != nil || !i.Has(disco.NSInfo) {
					t.Errorf("disco#info of the server: %+v, %v", i, err)
				}
				if i, err := disco.QueryItems(t.Context(), c, jid.JID(s.Domain), ""); err != nil || len(i.Items) == 0 {
					t.Errorf("disco#items of the server: %+v, %v", i, err)
				}
				if e, err := c.ExternalServices(t.Context(), "", ""); err != nil || len(e) != 2 || e[1].Password == "" || e[1].Username == "" {
					t.Errorf("external services: %v, %v", e, err)
				}
				return
			}
			cfg.FailFast = true
			c, err := xmpp.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			err = c.Run(t.Context())
			if !errors.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("Run: %v", err)
			}
			t.Log(err)
		})
	}
}

// TestPeers has two accounts of a real server see, ask and write each other.
func TestPeers(t *testing.T) { testkit.Each(t, peers) }

func peers(t *testing.T, s *testkit.Server) {
	alice, bob := jid.MustParse(s.AddUser(t, "alice", "secret")), jid.MustParse(s.AddUser(t, "bob", "secret"))
	carolJID := jid.MustParse(s.AddUser(t, "carol", "secret"))
	s.Befriend(t, "alice", "bob")
	seen := make(chan xmpp.PresenceStanza, 100)
	mine := make(chan *xmpp.Message, 100)
	other := make(chan *xmpp.Message, 100)
	pushed := make(chan roster.Item, 100)
	phone := start(t, account(s, alice, "phone"), func(c *xmpp.Client) {
		c.HandlePresence(func(p *xmpp.PresenceStanza) {
			if p.From.Bare() != alice {
				seen <- *p
			}
		})
		c.HandleMessage(func(m *xmpp.Message) { mine <- m })
		c.OnContact(func(i roster.Item) { pushed <- i })
	})
	start(t, account(s, alice, "tablet"), func(c *xmpp.Client) {
		c.HandleMessage(func(m *xmpp.Message) { other <- m })
	})
	desk := account(s, bob, "desk")
	desk.Features = []string{"urn:xmpp:jingle:1"}
	asked := make(chan *xmpp.IQ, 10)
	ctx, stopBob := context.WithCancel(t.Context())
	b, err := xmpp.New(desk)
	if err != nil {
		t.Fatal(err)
	}
	b.HandleIQ(jingle.NS, "jingle", func(iq *xmpp.IQ) { asked <- iq })
	end := make(chan error, 1)
	go func() { end <- b.Run(ctx) }()

	// The server may first say that bob is not there.
	for p := wait(t, "presence of bob", seen); p.From != bob+"/desk" || p.Type != ""; {
		p = wait(t, "presence of bob", seen)
	}
	if r := phone.Resources(bob); len(r) != 1 || r[0].Caps.Ver == "" {
		t.Errorf("%+v", r)
	}
	k, err := phone.Capabilities(t.Context(), bob+"/desk")
	if err != nil || !k.Has("urn:xmpp:jingle:1") || k.Caps.Hash != "sha-1" {
		t.Errorf("%+v, %v", k, err)
	}
	if i, ok := phone.Contact(bob); !ok || i.Subscription != roster.Both {
		t.Errorf("%+v", phone.Roster())
	}

	// A request and both kinds of answers.
	replies := make(chan error, 10)
	done := func(_ *xmltree.Element, err error) { replies <- err }
	phone.Request(bob+"/desk", "set", xmltree.New(jingle.NS, "jingle"), 0, done)
	iq := wait(t, "request", asked)
	if iq.From != alice+"/phone" || iq.To != bob+"/desk" {
		t.Errorf("%s to %s", iq.From, iq.To)
	}
	iq.Reply(nil)
	if err := wait(t, "reply", replies); err != nil {
		t.Error(err)
	}
	phone.Request(bob+"/desk", "set", xmltree.New(jingle.NS, "jingle"), 0, done)
	wait(t, "request", asked).Fail(jingle.ErrUnknownSession())
	var refused *jingle.StanzaError
	if err := wait(t, "reply", replies); !errors.As(err, &refused) || !refused.HasApp("unknown-session") {
		t.Error(err)
	}
	phone.Request(bob+"/gone", "set", xmltree.New(jingle.NS, "jingle"), 0, done)
	if err := wait(t, "reply", replies); !errors.As(err, &refused) || refused.Condition != "service-unavailable" {
		t.Error(err)
	}

	// Carbon copies of what bob writes to one resource, and of what that one answers.
	if err := b.Send(message(phone.JID(), "hello")); err != nil {
		t.Fatal(err)
	}
	if m := wait(t, "message", mine); m.Kind != carbons.Direct || m.From != bob+"/desk" || !m.Live() {
		t.Errorf("%+v", m)
	}
	if m := wait(t, "copy", other); m.Kind != carbons.Received || m.From != bob+"/desk" || m.To != phone.JID() {
		t.Errorf("%+v", m)
	}
	if err := phone.Send(message(bob+"/desk", "hi")); err != nil {
		t.Fatal(err)
	}
	if m := wait(t, "copy", other); !m.Outgoing() || m.To != bob+"/desk" {
		t.Errorf("%+v", m)
	}

	// Subscriptions, through the server.
	if err := phone.SetContact(t.Context(), roster.Item{JID: carolJID, Name: "Carol", Groups: []string{"Friends"}}); err != nil {
		t.Error(err)
	}
	if i := wait(t, "push", pushed); i.Name != "Carol" || i.Subscription != roster.None {
		t.Errorf("%+v", i)
	}
	if err := phone.Subscribe(carolJID); err != nil {
		t.Error(err)
	}
	if i := wait(t, "push", pushed); !i.Asked {
		t.Errorf("%+v", i)
	}
	subs := make(chan jid.JID, 1)
	carol := start(t, account(s, carolJID, "x"), func(c *xmpp.Client) {
		c.HandlePresence(func(p *xmpp.PresenceStanza) {
			if p.Type == "subscribe" {
				subs <- p.From
			}
		})
	})
	carol.Approve(wait(t, "subscription request", subs))
	if i := wait(t, "push", pushed); i.Subscription != roster.To {
		t.Errorf("%+v", i)
	}

	stopBob()
	if err := wait(t, "end", end); err != nil {
		t.Errorf("Run: %v", err)
	}
	for {
		p := wait(t, "bob's going", seen)
		if p.From == bob+"/desk" && len(p.Gone) == 1 {
			break
		}
	}
}

func message(to jid.JID, text string) *xmltree.Element {
	return xmltree.New("jabber:client", "message").Set("to", to.String()).Set("type", "chat").
		Add(xmltree.New("jabber:client", "body").AddText(text))
}

// eachOwn runs a test once with every server, started for it alone.
func eachOwn(t *testing.T, run func(t *testing.T, s *testkit.Server)) {
	launch := map[testkit.Kind]func(*testing.T) *testkit.Server{
		testkit.KindProsody: func(t *testing.T) *testkit.Server {
			return testkit.ProsodyWith(t, testkit.ProsodyConfig{Global: `conflict_resolve = "kick_old"`})
		},
		testkit.KindEjabberd: func(t *testing.T) *testkit.Server { return testkit.Ejabberd(t) },
	}
	for _, kind := range testkit.Kinds(t) {
		t.Run(string(kind), func(t *testing.T) { run(t, launch[kind](t)) })
	}
}

// TestConflictAndRestart logs in with a resource that is taken: the first of the two clients ends and does not fight. Then
// it loses the server and finds it again.
func TestConflictAndRestart(t *testing.T) {
	eachOwn(t, func(t *testing.T, s *testkit.Server) {
		alice := jid.MustParse(s.AddUser(t, "alice", "secret"))
		first, err := xmpp.New(account(s, alice, "phone"))
		if err != nil {
			t.Fatal(err)
		}
		online := make(chan struct{}, 1)
		first.OnState(func(ch xmpp.StateChange) {
			if ch.State == xmpp.Online {
				select {
				case online <- struct{}{}:
				default:
				}
			}
		})
		end := make(chan error, 1)
		go func() { end <- first.Run(t.Context()) }()
		wait(t, "first client", online)
		states := make(chan xmpp.StateChange, 100)
		c := start(t, account(s, alice, "phone"), func(c *xmpp.Client) {
			c.OnState(func(ch xmpp.StateChange) {
				select {
				case states <- ch:
				case <-t.Context().Done(): // nobody reads them any more
				}
			})
		})
		if err := wait(t, "end of the first client", end); !errors.Is(err, xmpp.ErrConflict) {
			t.Errorf("Run: %v", err)
		}

		s.Restart(t)
		var lost error
		for n := 0; n < 2; {
			switch ch := wait(t, "state", states); ch.State {
			case xmpp.Online:
				n++
			case xmpp.Offline:
				if lost == nil {
					lost = ch.Err
				}
			}
		}
		if lost == nil || xmpp.Permanent(lost) {
			t.Errorf("lost: %v", lost)
		}
		t.Log(lost)
		if c.JID() != alice+"/phone" {
			t.Errorf("bound %s", c.JID())
		}
		if err := c.Ping(t.Context(), ""); err != nil {
			t.Error(err)
		}
	})
}
