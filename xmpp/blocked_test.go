package xmpp

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp/blocking"
)

// TestBlockedUntilTheListIsThere has a list from before and a server that answers late, and then with another list.
func TestBlockedUntilTheListIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		cfg.NoRoster, cfg.NoCarbons = true, true
		cfg.Blocked = []jid.JID{"bob@example.test", "spam.example"}
		c := mustNew(t, cfg)
		var got []jid.JID
		c.HandleMessage(func(m *Message) { got = append(got, m.From) })
		c.HandlePresence(func(p *PresenceStanza) { got = append(got, p.From) })
		stop := run(t, c)
		p := s.accept()
		p.login()
		ask := p.want()
		if !ask.Child(blocking.NS, "blocklist").Is(blocking.NS, "blocklist") {
			t.Fatalf("first came %s", ask)
		}
		if e := p.want(); e.Name.Local != "presence" {
			t.Errorf("then came %s", e)
		}
		p.say(`<message from='%s'><body>x</body></message><presence from='%s'/><message from='a@sub.spam.example/x'/>`, bob, bob)
		p.say(`<iq type='get' id='1' from='%s'><ping xmlns='urn:xmpp:ping'/></iq>`, bob)
		if e := p.want(); e.Attr("id") != "1" || e.Child(nsClient, "error").Child("urn:ietf:params:xml:ns:xmpp-stanzas", "service-unavailable") == nil {
			t.Errorf("a request of a blocked sender is answered with %s", e)
		}
		// A forwarded message is the sender's whose it is.
		p.say(`<message from='alice@example.test'><received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>`+
			`<message xmlns='jabber:client' from='%s' to='%s'><body>x</body></message></forwarded></received></message>`, bob, phone)
		// Nobody blocks themselves.
		p.say(`<message from='alice@example.test/tablet'/>`)
		synctest.Wait()
		if !slices.Equal(got, []jid.JID{"alice@example.test/tablet"}) {
			t.Errorf("through came %v", got)
		}
		if n := c.Stats().Blocked; n != 5 {
			t.Errorf("%d were refused", n)
		}
		got = nil
		p.say(`<iq type='result' id='%s'><blocklist xmlns='urn:xmpp:blocking'><item jid='carol@example.test'/></blocklist></iq>`, ask.Attr("id"))
		p.say(`<message from='%s'/><message from='carol@example.test/x'/>`, bob)
		synctest.Wait()
		if !slices.Equal(got, []jid.JID{bob}) {
			t.Errorf("through came %v", got)
		}
		if l := c.Blocked(); !l.OnServer || !slices.Equal(l.Entries(), []jid.JID{"carol@example.test"}) {
			t.Errorf("%+v", l)
		}
		go p.goodbye()
		stop()
	})
}

// TestBlockPush takes changes from the own account only.
func TestBlockPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := mustNew(t, s.config())
		var lists [][]jid.JID
		var gone []jid.JID
		c.OnBlocked(func(l BlockList) { lists = append(lists, l.Entries()) })
		c.HandlePresence(func(p *PresenceStanza) { gone = append(gone, p.Gone...) })
		p, stop := online(t, s, c)
		synctest.Wait()
		lists = nil
		p.say(`<presence from='%s'/><presence from='%s'/>`, bob, phone)
		push := func(from, payload string) (answer string) {
			p.say(`<iq type='set' id='p'%s>%s</iq>`, from, payload)
			e := p.want()
			synctest.Wait()
			return e.Attr("type")
		}
		const block = `<block xmlns='urn:xmpp:blocking'><item jid='bob@example.test'/><item jid='x.example'/></block>`
		for _, from := range []string{bob.String(), "example.test", "alice@example.test/other", "mallory@evil.example"} {
			if a := push(" from='"+from+"'", block); a != "error" {
				t.Errorf("a push from %s is answered with %s", from, a)
			}
		}
		if len(lists) > 0 || c.Blocked().Len() > 0 {
			t.Fatalf("strangers have made it %v", lists)
		}
		if a := push("", block); a != "result" {
			t.Errorf("answered with %s", a)
		}
		if !slices.Equal(gone, []jid.JID{bob}) || len(c.Resources(bob)) > 0 || len(c.Resources(phone)) != 1 {
			t.Errorf("gone are %v", gone)
		}
		push(" from='alice@example.test'", `<unblock xmlns='urn:xmpp:blocking'><item jid='bob@example.test'/></unblock>`)
		push("", block)
		push("", `<unblock xmlns='urn:xmpp:blocking'/>`)
		want := [][]jid.JID{{"bob@example.test", "x.example"}, {"x.example"}, {"bob@example.test", "x.example"}, {}}
		if !slices.EqualFunc(lists, want, slices.Equal[[]jid.JID]) {
			t.Errorf("%v", lists)
		}
		stop()
	})
}
