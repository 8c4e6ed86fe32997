package xmpp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/carbons"
	"github.com/jingled/jingled/xmpp/roster"
)

func TestConfig(t *testing.T) {
	pw := func() (string, error) { return "x", nil }
	for _, tc := range []struct {
		name string
		cfg  Config
		text string
	}{
		{"no address", Config{Password: pw}, "not a valid XMPP address"},
		{"a server", Config{JID: "example.test", Password: pw}, "is a server"},
		{"no password", Config{JID: alice}, "Password"},
		{"TLS mode", Config{JID: alice, Password: pw, TLS: "none"}, "is none of"},
		{"plain without Connect", Config{JID: alice, Password: pw, TLS: TLSPlainLoopback}, "needs Connect"},
		{"Connect without port", Config{JID: alice, Password: pw, Connect: "localhost"}, "host:port"},
		{"pin", Config{JID: alice, Password: pw, PinnedSHA256: "abcd"}, "SHA-256"},
	} {
		if _, err := New(tc.cfg); err == nil || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	a, b := mustNew(t, Config{JID: alice, Password: pw}), mustNew(t, Config{JID: phone, Password: pw})
	if r := a.cfg.Resource; !strings.HasPrefix(r, "jingled.") || len(r) != len("jingled.")+8 {
		t.Errorf("resource %q", r)
	}
	if b.cfg.Resource != "phone" || b.cfg.JID != alice {
		t.Errorf("%q %q", b.cfg.JID, b.cfg.Resource)
	}
}

// TestReconnect loses the connection and checks the waits: they double, have a random part, and start over after a
// connection that held.
func TestReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		refuse := 0
		cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if refuse > 0 {
				refuse--
				return nil, &net.OpError{Op: "dial", Err: errors.New("no route")}
			}
			return s.dial(ctx, network, addr)
		}
		c := mustNew(t, cfg)
		var waits []time.Duration
		c.OnState(func(ch StateChange) {
			if ch.State == Offline {
				waits = append(waits, ch.Retry)
			}
		})
		stop := run(t, c)
		p := s.accept()
		p.login()
		p.settle("")
		var failed error
		c.Request(bob, "get", pingElement(), 0, func(_ *xmltree.Element, err error) { failed = err })
		p.want()
		refuse = 8
		p.Close()
		p = s.accept()
		p.login()
		p.settle("")
		if !errors.Is(failed, ErrOffline) {
			t.Errorf("open request: %v", failed)
		}
		top := time.Second
		for i, w := range waits {
			if w > top || w < top/2 {
				t.Errorf("wait %d is %v, want %v to %v", i, w, top/2, top)
			}
			top = min(2*top, time.Minute)
		}
		if len(waits) != 9 {
			t.Errorf("%d waits", len(waits))
		}
		// A connection that held for a while starts over.
		go func(p *script) {
			for {
				e, err := p.element()
				if err != nil {
					return
				}
				if e.Attr("type") == "get" {
					p.trySay("<iq type='result' id='%s' from='example.test'/>", e.Attr("id"))
				}
			}
		}(p)
		time.Sleep(10 * time.Minute)
		p.Close()
		p = s.accept()
		p.login()
		p.settle("")
		if w := waits[len(waits)-1]; w > time.Second {
			t.Errorf("wait after ten good minutes: %v", w)
		}
		if n := c.Stats().Connected; n != 3 {
			t.Errorf("%d logins", n)
		}
		go p.goodbye()
		stop()
	})
}

// TestKeepAlive checks that a silent server is pinged, and given up if it stays silent.
func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := mustNew(t, s.config())
		var lost error
		var lostAt time.Time
		c.OnState(func(ch StateChange) {
			if ch.State == Offline {
				lost, lostAt = ch.Err, time.Now()
			}
		})
		stop := run(t, c)
		p := s.accept()
		p.login()
		p.settle("")
		for range 5 {
			ping := p.want()
			if ping.Child(nsPing, "ping") == nil || ping.Attr("to") != "example.test" {
				t.Errorf("want a ping, got %s", ping)
			}
			p.say("<iq type='result' id='%s' from='example.test'/>", ping.Attr("id"))
		}
		last := time.Now()
		p.want()
		p2 := s.accept()
		p2.login()
		p2.settle("")
		if !errors.Is(lost, ErrUnreachable) || !strings.Contains(lost.Error(), "said nothing") {
			t.Errorf("lost: %v", lost)
		}
		if d := lostAt.Sub(last); d < 80*time.Second || d > 120*time.Second {
			t.Errorf("given up after %v", d)
		}
		p.Close()
		go p2.goodbye()
		stop()
	})
}

func TestRequestErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		cfg.Limits.Pending = 3
		c := mustNew(t, cfg)
		got := make(chan error, 10)
		done := func(_ *xmltree.Element, err error) { got <- err }
		c.Request(bob, "get", pingElement(), 0, done)
		if err := <-got; !errors.Is(err, ErrOffline) {
			t.Errorf("before Run: %v", err)
		}
		p, stop := online(t, s, c)
		c.Request(bob, "get", pingElement(), time.Second, done)
		began := time.Now()
		if err := <-got; !errors.Is(err, ErrTimeout) || time.Since(began) != time.Second {
			t.Errorf("timeout: %v after %v", err, time.Since(began))
		}
		p.want()
		c.Request(bob, "get", pingElement(), 0, done)
		p.say("<iq type='error' id='%s' from='%s'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><unknown-session xmlns='urn:xmpp:jingle:errors:1'/></error></iq>", p.want().Attr("id"), bob)
		var e *jingle.StanzaError
		if err := <-got; !errors.As(err, &e) || e.Condition != "item-not-found" || !e.HasApp("unknown-session") {
			t.Errorf("error reply: %v", err)
		}
		c.Request(bob, "set", xmltree.New("x", "y").AddText(strings.Repeat("x", 300<<10)), 0, done)
		if err := <-got; !errors.Is(err, ErrTooLarge) {
			t.Errorf("too large: %v", err)
		}
		for range 4 {
			c.Request(bob, "get", pingElement(), 0, done)
		}
		if err := <-got; !errors.Is(err, ErrQueueFull) {
			t.Errorf("too many: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			p.want()
		}
		time.Sleep(31 * time.Second)
		for range 3 {
			<-got
		}
		go func() {
			p.element()
			cancel()
		}()
		if _, err := c.Query(ctx, bob, "get", pingElement()); !errors.Is(err, context.Canceled) {
			t.Errorf("Query with its context at an end: %v", err)
		}
		c.router.mu.Lock()
		if n := len(c.router.open); n != 0 {
			t.Errorf("%d requests are still open", n)
		}
		c.router.mu.Unlock()
		stop()
	})
}

// TestQueryInsideHandler must not deadlock, even though it should not be done.
func TestQueryInsideHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := mustNew(t, s.config())
		var err error
		c.HandleMessage(func(*Message) { _, err = c.Query(t.Context(), bob, "get", pingElement()) })
		p, stop := online(t, s, c)
		p.say("<message from='%s'/>", bob)
		p.say("<iq type='result' id='%s' from='%s'/>", p.want().Attr("id"), bob)
		p.alive()
		if err != nil {
			t.Error(err)
		}
		stop()
	})
}

func TestIQAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		var panics []any
		cfg.OnPanic = func(v any, stack []byte) {
			if !strings.Contains(string(stack), "client_test.go") {
				t.Errorf("stack without the handler:\n%s", stack)
			}
			panics = append(panics, v)
		}
		c := mustNew(t, cfg)
		c.HandleIQ("x", "twice", func(iq *IQ) { iq.Reply(xmltree.New("x", "first")); iq.Reply(nil); iq.Fail(nil) })
		c.HandleIQ("x", "panic", func(*IQ) { panic("boom") })
		c.HandleIQ("x", "large", func(iq *IQ) { iq.Reply(xmltree.New("x", "y").AddText(strings.Repeat("x", 300<<10))) })
		c.HandleIQ("x", "later", func(iq *IQ) { go iq.Fail(jingle.ErrBadRequest("no")) })
		p, stop := online(t, s, c)
		for _, tc := range []struct{ name, want string }{
			{"twice", "<first"}, {"panic", "internal-server-error"}, {"large", "internal-server-error"},
			{"later", "bad-request"}, {"unheard-of", "service-unavailable"},
		} {
			p.say("<iq type='set' id='1' from='%s' to='%s'><%s xmlns='x'/></iq>", bob, phone, tc.name)
			if e := p.want(); !strings.Contains(e.String(), tc.want) || e.Attr("to") != bob.String() {
				t.Errorf("%s: %s", tc.name, e)
			}
			p.alive() // and no second answer
		}
		// The own server may leave the sender out.
		p.say("<iq type='get' id='2'><ping xmlns='urn:xmpp:ping'/></iq>")
		if e := p.want(); e.Attr("id") != "2" || e.Attr("type") != "result" || e.Attr("to") != "" {
			t.Errorf("answer to the server: %s", e)
		}
		if len(panics) != 1 || panics[0] != "boom" || c.Stats().Panics != 1 {
			t.Errorf("panics %v", panics)
		}
		if n := c.unanswered.q.all + len(c.unanswered.q.used); n != 0 {
			t.Errorf("%d requests count as unanswered", n)
		}
		stop()
	})
}

// TestOrder checks that handlers and replies come in the order of the stream.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := mustNew(t, s.config())
		var got []string
		c.HandleMessage(func(m *Message) { got = append(got, m.ID) })
		c.HandlePresence(func(p *PresenceStanza) { got = append(got, p.From.Resource()) })
		c.HandleIQ("x", "y", func(iq *IQ) { got = append(got, iq.ID); iq.Reply(nil) })
		p, stop := online(t, s, c)
		c.Request(bob, "get", pingElement(), 0, func(*xmltree.Element, error) { got = append(got, "reply") })
		id := p.want().Attr("id")
		p.say("<message id='1' from='%[1]s'/><presence from='%[1]s'/><iq type='result' id='%[2]s' from='%[1]s'/><iq type='set' id='2' from='%[1]s'><y xmlns='x'/></iq><message id='3' from='%[1]s'/>", bob, id)
		p.alive()
		if s := strings.Join(got, " "); s != "1 desk reply 2 3" {
			t.Error(s)
		}
		stop()
	})
}

func TestMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := mustNew(t, s.config())
		var got []*Message
		c.HandleMessage(func(m *Message) { got = append(got, m) })
		p, stop := online(t, s, c)
		forward := func(kind, ns, inner string) string {
			return "<" + kind + " xmlns='" + ns + "'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2026-01-02T03:04:05Z'/>" + inner + "</forwarded></" + kind + ">"
		}
		in := "<message xmlns='jabber:client' id='in' from='bob@example.test/desk' to='alice@example.test' type='chat'/>"
		out := "<message xmlns='jabber:client' id='out' from='alice@example.test/other' to='bob@example.test'/>"
		p.say("<message id='direct' from='%s' to='%s'><body>x</body></message>", bob, phone)
		p.say("<message from='alice@example.test'>%s</message>", forward("received", carbons.NS, in))
		p.say("<message>%s</message>", forward("sent", carbons.NS, out))
		p.say("<message from='alice@example.test'>%s</message>", forward("result", carbons.NSArchive, in))
		p.say("<message id='late' from='%s'><delay xmlns='urn:xmpp:delay' stamp='nonsense'/></message>", bob)
		// CVE-2017-5589, from somebody on our own server, and from another resource of ours.
		for _, from := range []string{"eve@example.test", "example.test", "alice@example.test/other", "alice@example.test.evil.test"} {
			p.say("<message from='%s'>%s</message>", from, forward("received", carbons.NS, in))
			p.say("<message from='%s'>%s</message>", from, forward("result", carbons.NSArchive, in))
		}
		p.alive()
		stamp := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		want := []struct {
			id, typ  string
			from     jid.JID
			kind     carbons.Kind
			live     bool
			outgoing bool
			delayed  time.Time
		}{
			{"direct", "normal", bob, carbons.Direct, true, false, time.Time{}},
			{"in", "chat", bob, carbons.Received, false, false, stamp},
			{"out", "normal", alice + "/other", carbons.Sent, false, true, stamp},
			{"in", "chat", bob, carbons.Archived, false, false, stamp},
			{"late", "normal", bob, carbons.Direct, false, false, time.Unix(0, 0).UTC()},
		}
		if len(got) != len(want) {
			t.Fatalf("%d messages", len(got))
		}
		for i, w := range want {
			m := got[i]
			if m.ID != w.id || m.Type != w.typ || m.From != w.from || m.Kind != w.kind || m.Outgoing() != w.outgoing || !m.Delayed.Equal(w.delayed) {
				t.Errorf("%d: %+v", i, m)
			}
		}
		if n := c.Stats().Forged; n != 8 {
			t.Errorf("%d forged", n)
		}
		stop()
	})
}

func TestPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		cfg.Presence = Presence{Show: "away", Status: "out & about", Priority: -5}
		c := mustNew(t, cfg)
		var gone []jid.JID
		c.HandlePresence(func(p *PresenceStanza) { gone = append(gone, p.Gone...) })
		end := run(t, c)
		p := s.accept()
		p.login()
		own := p.settle("")
		if own.ChildText(nsClient, "show") != "away" || own.ChildText(nsClient, "status") != "out & about" || own.ChildText(nsClient, "priority") != "-5" {
			t.Errorf("own presence %s", own)
		}
		p.say("<presence from='bob@example.test/a'><priority>1</priority></presence>")
		p.say("<presence from='bob@example.test/b'><priority>7</priority><show>dnd</show><c xmlns='http://jabber.org/protocol/caps' node='https://dino.im' ver='xyz' hash='sha-1'/></presence>")
		p.say("<presence from='bob@example.test/c'><priority>1000</priority><show>asleep</show></presence>")
		p.alive()
		got := c.Resources(bob)
		if len(got) != 3 || got[0].JID != "bob@example.test/b" || got[0].Priority != 7 || got[0].Show != "dnd" || got[0].Caps.Node != "https://dino.im" {
			t.Fatalf("%+v", got)
		}
		if got[2].Show != "" || got[2].Priority != 0 {
			t.Errorf("%+v", got[2])
		}
		p.say("<presence from='bob@example.test/b' type='unavailable'/><presence from='bob@example.test/b' type='unavailable'/>")
		p.say("<presence from='carol@example.test' type='subscribe'/>")
		p.alive()
		if _, ok := c.Resource("bob@example.test/b"); ok || len(c.Resources(bob)) != 2 || len(gone) != 1 {
			t.Errorf("%+v, gone %v", c.Resources(bob), gone)
		}
		c.Approve("carol@example.test/x")
		if e := p.want(); e.Attr("to") != "carol@example.test" || e.Attr("type") != "subscribed" {
			t.Errorf("%s", e)
		}
		c.SendPresence("carol@example.test/x")
		if e := p.want(); e.Attr("to") != "carol@example.test/x" || e.ChildText(nsClient, "show") != "away" || e.Child("http://jabber.org/protocol/caps", "c") == nil {
			t.Errorf("directed presence %s", e)
		}
		c.SetPresence(Presence{})
		if e := p.want(); e.Child(nsClient, "show") != nil {
			t.Errorf("%s", e)
		}
		p.say("<presence from='bob@example.test' type='error'/>")
		p.alive()
		if len(c.Resources(bob)) != 0 || len(gone) != 3 {
			t.Errorf("%+v, gone %v", c.Resources(bob), gone)
		}
		p.say("<presence from='bob@example.test/a'/>")
		p.alive()
		p.Close()
		p = s.accept()
		p.login()
		p.settle("")
		if len(c.Resources(bob)) != 0 {
			t.Errorf("presence survived the connection: %+v", c.Resources(bob))
		}
		go p.goodbye()
		end()
	})
}

func TestPresenceBounds(t *testing.T) {
	tab := newOnlineTable(3)
	for _, j := range []jid.JID{"a@x/1", "a@x/2", "b@x/1", "b@x/2", "c@x/1"} {
		tab.update(&PresenceStanza{From: j, Element: xmltree.New(nsClient, "presence")}, time.Time{})
	}
	if tab.count != 3 || len(tab.of("b@x")) != 1 || len(tab.of("c@x")) != 0 {
		t.Errorf("%+v", tab.bare)
	}
	tab.update(&PresenceStanza{From: "a@x/1", Type: "unavailable", Element: xmltree.New(nsClient, "presence")}, time.Time{})
	tab.update(&PresenceStanza{From: "c@x/1", Element: xmltree.New(nsClient, "presence")}, time.Time{})
	if tab.count != 3 || len(tab.of("c@x")) != 1 {
		t.Errorf("%+v", tab.bare)
	}
	big := newOnlineTable(1 << 20)
	for i := range maxResources + 5 {
		big.update(&PresenceStanza{From: jid.JID(fmt.Sprint("a@x/", i)), Element: xmltree.New(nsClient, "presence")}, time.Time{})
	}
	if n := len(big.of("a@x")); n != maxResources {
		t.Errorf("%d resources of one address", n)
	}
}

func TestRoster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := mustNew(t, s.config())
		var pushed []roster.Item
		c.OnContact(func(i roster.Item) { pushed = append(pushed, i) })
		stop := run(t, c)
		p := s.accept()
		p.login()
		p.settle("<item jid='bob@example.test' name='Bob' subscription='both'><group>Friends</group></item><item jid='@@'/>")
		p.alive()
		if r := c.Roster(); len(r) != 1 || r[0].Name != "Bob" || r[0].Groups[0] != "Friends" || r[0].Subscription != roster.Both {
			t.Errorf("%+v", r)
		}
		push := func(from, item string) *xmltree.Element {
			p.say("<iq type='set' id='push' %s><query xmlns='jabber:iq:roster'>%s</query></iq>", from, item)
			return p.want()
		}
		if e := push("", "<item jid='carol@example.test' ask='subscribe'/>"); e.Attr("type") != "result" {
			t.Errorf("%s", e)
		}
		if e := push("from='alice@example.test'", "<item jid='bob@example.test' subscription='remove'/>"); e.Attr("type") != "result" {
			t.Errorf("%s", e)
		}
		for _, from := range []string{"example.test", "alice@example.test/other", "eve@example.test"} {
			if e := push("from='"+from+"'", "<item jid='eve@evil.test' subscription='both'/>"); e.Attr("type") != "error" {
				t.Errorf("%s: %s", from, e)
			}
		}
		if r := c.Roster(); len(r) != 1 || r[0].JID != "carol@example.test" || !r[0].Asked || len(pushed) != 2 {
			t.Errorf("%+v, pushed %+v", r, pushed)
		}
		end := make(chan error)
		go func() {
			end <- c.SetContact(t.Context(), roster.Item{JID: "dave@example.test", Name: "Dave", Subscription: roster.Both})
		}()
		e := p.want()
		if i := e.First().First(); i.Attr("jid") != "dave@example.test" || i.Attr("subscription") != "" {
			t.Errorf("%s", e)
		}
		p.say("<iq type='result' id='%s'/>", e.Attr("id"))
		if err := <-end; err != nil {
			t.Error(err)
		}
		go func() { end <- c.RemoveContact(t.Context(), "dave@example.test/x") }()
		e = p.want()
		if i := e.First().First(); i.Attr("jid") != "dave@example.test" || i.Attr("subscription") != "remove" {
			t.Errorf("%s", e)
		}
		p.say("<iq type='result' id='%s' from='alice@example.test'/>", e.Attr("id"))
		if err := <-end; err != nil {
			t.Error(err)
		}
		go p.goodbye()
		stop()
	})
}

// TestLargeRoster takes a roster that is larger than any other stanza may be.
func TestLargeRoster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := mustNew(t, s.config())
		stop := run(t, c)
		p := s.accept()
		p.login()
		const n = 10000
		var items strings.Builder
		for i := range n {
			fmt.Fprintf(&items, "<item jid='contact%d@example.test' subscription='both' name='Somebody'><group>Friends</group></item>", i)
		}
		p.settle(items.String())
		p.alive()
		if got := len(c.Roster()); got != n {
			t.Errorf("%d contacts", got)
		}
		p.say("<message from='%s'><body>%s</body></message>", bob, strings.Repeat("x", 300<<10))
		p.alive()
		if c.Stats().Oversize != 1 {
			t.Error("the limit is as large as for a roster")
		}
		go p.goodbye()
		stop()
	})
}
