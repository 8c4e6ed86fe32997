package xmpp_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
)

// TestBlockList blocks and unblocks on servers of other people, with two devices of the account, and looks at what a
// blocked person can still do.
func TestBlockList(t *testing.T) {
	testkit.Each(t, func(t *testing.T, s *testkit.Server) {
		alice, bob := jid.MustParse(s.AddUser(t, "alice", "secret")), jid.MustParse(s.AddUser(t, "bob", "secret"))
		s.Befriend(t, "alice", "bob")
		lists, otherLists := make(chan xmpp.BlockList, 100), make(chan xmpp.BlockList, 100)
		here := make(chan xmpp.PresenceStanza, 100)
		got := make(chan string, 100)
		phone := start(t, account(s, alice, "phone"), func(c *xmpp.Client) {
			bodies(got)(c)
			c.OnBlocked(func(l xmpp.BlockList) { lists <- l })
			c.HandlePresence(func(p *xmpp.PresenceStanza) {
				if p.From.Bare() == bob {
					here <- *p
				}
			})
			c.HandleIQ("urn:example", "ask", func(iq *xmpp.IQ) { iq.Reply(nil) })
		})
		tablet := start(t, account(s, alice, "tablet"), func(c *xmpp.Client) {
			c.OnBlocked(func(l xmpp.BlockList) { otherLists <- l })
		})
		first := wait(t, "the list", lists)
		if !first.OnServer || first.Len() != 0 {
			t.Errorf("%+v", first)
		}
		wait(t, "the list of the tablet", otherLists)
		ours, gone := make(chan jid.JID, 100), make(chan jid.JID, 100)
		desk := start(t, account(s, bob, "desk"), func(c *xmpp.Client) {
			c.HandlePresence(func(p *xmpp.PresenceStanza) {
				if p.Type == "" {
					ours <- p.From
				}
				for _, j := range p.Gone {
					gone <- j
				}
			})
		})
		for p := wait(t, "bob", here); p.From != bob+"/desk" || p.Type != ""; {
			p = wait(t, "bob", here)
		}

		for j := wait(t, "alice", ours); j != phone.JID(); {
			j = wait(t, "alice", ours)
		}

		until := func(lists chan xmpp.BlockList, want ...jid.JID) {
			t.Helper()
			for l := wait(t, "list", lists); !slices.Equal(l.Entries(), want); l = wait(t, "list", lists) {
				if !l.OnServer {
					t.Errorf("%+v is not the server's", l)
				}
			}
		}
		if l, err := phone.Block(t.Context(), bob, "spam.example"); err != nil || !l.OnServer || l.Len() != 2 {
			t.Fatalf("block: %+v, %v", l, err)
		}
		until(lists, bob, "spam.example")
		until(otherLists, bob, "spam.example")
		if l := tablet.Blocked(); !l.Blocks(bob + "/desk") {
			t.Errorf("the tablet has %v", l.Entries())
		}
		if phone.Resources(bob) != nil {
			t.Error("who is blocked is still online")
		}
		for p := wait(t, "bob's going", here); p.Type != "unavailable" || len(p.Gone) != 1; {
			p = wait(t, "bob's going", here)
		}
		for j := wait(t, "our going", gone); j != phone.JID(); {
			j = wait(t, "our going", gone)
		}

		// Nothing of what bob does gets through, and he cannot tell us from one who is not there.
		ask := func() error {
			_, err := desk.Query(t.Context(), phone.JID(), "get", xmltree.New("urn:example", "ask"))
			return err
		}
		var refused *jingle.StanzaError
		if err := ask(); !errors.As(err, &refused) || refused.Condition != "service-unavailable" {
			t.Errorf("a request of a blocked contact: %v", err)
		}
		if err := desk.Send(chat(phone.JID(), "blocked")); err != nil {
			t.Fatal(err)
		}
		if err := desk.Ping(t.Context(), ""); err != nil { // then the server has decided about the message
			t.Fatal(err)
		}
		// Neither can we write to him.
		if _, err := phone.Query(t.Context(), desk.JID(), "get", xmltree.New("urn:xmpp:ping", "ping")); !errors.As(err, &refused) ||
			refused.Condition != "not-acceptable" {
			t.Errorf("a request to a blocked contact: %v", err)
		}

		if l, err := tablet.Unblock(t.Context(), bob); err != nil || l.Len() != 1 {
			t.Fatalf("unblock: %+v, %v", l, err)
		}
		until(lists, "spam.example")
		if err := ask(); err != nil {
			t.Errorf("after unblocking: %v", err)
		}
		if err := desk.Send(chat(phone.JID(), "welcome")); err != nil {
			t.Fatal(err)
		}
		if b := wait(t, "message", got); b != "welcome" {
			t.Errorf("%q came through", b)
		}

		// The next login finds the list.
		later := make(chan xmpp.BlockList, 100)
		again := start(t, account(s, alice, "again"), func(c *xmpp.Client) { c.OnBlocked(func(l xmpp.BlockList) { later <- l }) })
		until(later, "spam.example")
		if !again.Blocked().OnServer {
			t.Error("the list is not the server's")
		}
	})
}

// TestBlockListOfOurOwn is at a server that keeps no block lists.
func TestBlockListOfOurOwn(t *testing.T) {
	testkit.EachWith(t, testkit.Options{NoBlockList: true}, blockListOfOurOwn)
}

func blockListOfOurOwn(t *testing.T, s *testkit.Server) {
	alice, bob := jid.MustParse(s.AddUser(t, "alice", "secret")), jid.MustParse(s.AddUser(t, "bob", "secret"))
	got := make(chan string, 100)
	cfg := account(s, alice, "phone")
	cfg.Blocked = []jid.JID{bob}
	phone := start(t, cfg, bodies(got))
	desk := start(t, account(s, bob, "desk"), nil)
	if err := desk.Send(chat(phone.JID(), "blocked")); err != nil {
		t.Fatal(err)
	}
	var refused *jingle.StanzaError
	if _, err := desk.Query(t.Context(), phone.JID(), "get", xmltree.New("urn:xmpp:ping", "ping")); !errors.As(err, &refused) || refused.Condition != "service-unavailable" {
		t.Errorf("a request of a blocked contact: %v", err)
	}
	if n := phone.Stats().Blocked; n < 2 {
		t.Errorf("%d stanzas were refused", n)
	}
	if l, err := phone.Unblock(t.Context(), bob); err != nil || l.OnServer || l.Len() != 0 {
		t.Fatalf("%+v, %v", l, err)
	}
	if err := desk.Send(chat(phone.JID(), "welcome")); err != nil {
		t.Fatal(err)
	}
	if b := wait(t, "message", got); b != "welcome" {
		t.Errorf("%q came through", b)
	}
	if l, err := phone.Block(t.Context(), bob); err != nil || l.OnServer || !l.Blocks(desk.JID()) {
		t.Fatalf("%+v, %v", l, err)
	}
}
