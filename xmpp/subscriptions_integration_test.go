package xmpp_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
	"github.com/jingled/jingled/xmpp/roster"
)

// watcher is a client that keeps what it hears of contacts.
type watcher struct {
	*xmpp.Client
	t        *testing.T
	items    chan roster.Item
	presence chan xmpp.PresenceStanza
}

func watch(t *testing.T, cfg xmpp.Config) *watcher {
	w := &watcher{t: t, items: make(chan roster.Item, 100), presence: make(chan xmpp.PresenceStanza, 100)}
	own := cfg.JID
	w.Client = start(t, cfg, func(c *xmpp.Client) {
		c.OnContact(func(i roster.Item) { w.items <- i })
		c.HandlePresence(func(p *xmpp.PresenceStanza) {
			if p.From.Bare() != own {
				w.presence <- *p
			}
		})
	})
	return w
}

// item waits until the contact list says this of somebody.
func (w *watcher) item(who jid.JID, s roster.Subscription, asked bool) {
	w.t.Helper()
	var seen []roster.Item
	limit := time.After(20 * time.Second)
	for {
		select {
		case i := <-w.items:
			if seen = append(seen, i); i.JID == who && i.Subscription == s && i.Asked == asked {
				return
			}
		case <-limit:
			w.t.Fatalf("%s: %s does not become %q (asked: %v); there came %+v", w.JID(), who, s, asked, seen)
		}
	}
}

// hears waits for presence of a type.
func (w *watcher) hears(from jid.JID, typ string) xmpp.PresenceStanza {
	w.t.Helper()
	for {
		if p := wait(w.t, fmt.Sprintf("presence %q of %s", typ, from), w.presence); p.From == from && p.Type == typ {
			return p
		}
	}
}

func check(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestSubscriptions goes through the four states of RFC 6121 section 3 and back, and looks at what presence tells.
func TestSubscriptions(t *testing.T) {
	testkit.Each(t, func(t *testing.T, s *testkit.Server) {
		aliceJID, bobJID := jid.MustParse(s.AddUser(t, "alice", "secret")), jid.MustParse(s.AddUser(t, "bob", "secret"))
		alice := watch(t, account(s, aliceJID, "phone"))
		desk := account(s, bobJID, "desk")
		desk.Presence = xmpp.Presence{Show: "dnd", Status: "busy", Priority: 5}
		bob := watch(t, desk)
		start(t, account(s, bobJID, "hall"), func(c *xmpp.Client) { check(t, c.SetPresence(xmpp.Presence{Show: "xa", Priority: -1})) })

		check(t, alice.Subscribe(bobJID))
		alice.item(bobJID, roster.None, true)
		bob.hears(aliceJID, "subscribe")
		check(t, bob.Approve(aliceJID))
		alice.item(bobJID, roster.To, false)
		bob.item(aliceJID, roster.From, false)
		for len(alice.Resources(bobJID)) < 2 {
			wait(t, "bob's presence", alice.presence)
		}
		if r := alice.Resources(bobJID); len(r) != 2 || r[0].JID != bobJID+"/desk" || r[0].Show != "dnd" || r[0].Status != "busy" ||
			r[0].Priority != 5 || r[1].Show != "xa" || r[1].Priority != -1 {
			t.Errorf("%+v", r)
		}

		check(t, bob.Subscribe(aliceJID))
		alice.hears(bobJID, "subscribe")
		check(t, alice.Approve(bobJID))
		alice.item(bobJID, roster.Both, false)
		bob.item(aliceJID, roster.Both, false)
		bob.hears(aliceJID+"/phone", "")
		check(t, alice.SetPresence(xmpp.Presence{Show: "away"}))
		if p := bob.hears(aliceJID+"/phone", ""); p.Element.ChildText("jabber:client", "show") != "away" {
			p = bob.hears(aliceJID+"/phone", "")
			if p.Element.ChildText("jabber:client", "show") != "away" {
				t.Errorf("%s", p.Element)
			}
		}

		check(t, alice.Unsubscribe(bobJID))
		alice.item(bobJID, roster.From, false)
		bob.item(aliceJID, roster.To, false)
		check(t, alice.Deny(bobJID))
		alice.item(bobJID, roster.None, false)
		bob.item(aliceJID, roster.None, false)
		bob.hears(aliceJID+"/phone", "unavailable")

		// A request that is refused.
		check(t, bob.Subscribe(aliceJID))
		bob.item(aliceJID, roster.None, true)
		alice.hears(bobJID, "subscribe")
		check(t, alice.Deny(bobJID))
		bob.item(aliceJID, roster.None, false)

		check(t, alice.RemoveContact(t.Context(), bobJID))
		alice.item(bobJID, roster.Remove, false)
	})
}

// TestPreApproval approves before it is asked (RFC 6121 section 3.4). Of the servers here, only Prosody can.
func TestPreApproval(t *testing.T) {
	s := testkit.SharedServer(t, testkit.KindProsody)
	aliceJID, bobJID := jid.MustParse(s.AddUser(t, "alice", "secret")), jid.MustParse(s.AddUser(t, "bob", "secret"))
	alice, bob := watch(t, account(s, aliceJID, "phone")), watch(t, account(s, bobJID, "desk"))
	check(t, alice.Approve(bobJID))
	alice.item(bobJID, roster.None, false) // Prosody does not say that it is approved
	check(t, bob.Subscribe(aliceJID))
	bob.item(aliceJID, roster.To, false)
	alice.item(bobJID, roster.From, false)
	bob.hears(aliceJID+"/phone", "")
	for len(alice.presence) > 0 {
		if p := <-alice.presence; p.Type == "subscribe" {
			t.Error("alice was asked")
		}
	}
}

// TestOfflineMessages writes to somebody who is not there: what comes later is not taken for news.
func TestOfflineMessages(t *testing.T) {
	testkit.Each(t, func(t *testing.T, s *testkit.Server) {
		aliceJID, bobJID := jid.MustParse(s.AddUser(t, "alice", "secret")), jid.MustParse(s.AddUser(t, "bob", "secret"))
		s.Befriend(t, "alice", "bob") // ejabberd stores nothing of strangers who come and go
		alice := start(t, account(s, aliceJID, "phone"), nil)
		began := time.Now()
		check(t, alice.Send(chat(bobJID, "early")), alice.Ping(t.Context(), ""))
		got := make(chan *xmpp.Message, 10)
		start(t, account(s, bobJID, "desk"), func(c *xmpp.Client) { c.HandleMessage(func(m *xmpp.Message) { got <- m }) })
		m := wait(t, "the message", got)
		if m.Element.ChildText("jabber:client", "body") != "early" || m.Live() || m.Delayed.Before(began.Add(-2*time.Second)) || m.Delayed.After(time.Now().Add(2*time.Second)) {
			t.Errorf("%s, delayed %v, live %v", m.Element, m.Delayed, m.Live())
		}
		check(t, alice.Send(chat(bobJID, "now")))
		if m := wait(t, "the message", got); !m.Live() {
			t.Errorf("%s", m.Element)
		}
	})
}
