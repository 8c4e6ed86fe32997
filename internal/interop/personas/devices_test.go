package personas

import (
	"strings"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// conversations returns that persona, for what does not depend on the client.
func conversations(t *testing.T) *persona {
	t.Helper()
	return personas(t)[0]
}

// TestBothCallAtOnce is section 4.1 of XEP-0353: the lower id wins, and the call goes on without ringing.
func TestBothCallAtOnce(t *testing.T) {
	t.Run("theirs goes first", func(t *testing.T) {
		s := newScene(t, conversations(t))
		s.callOut()
		ours := s.sid
		s.sid = "00000000-0000-4000-8000-000000000000"
		s.prepare(nil, "audio")
		s.send("propose")
		if m := s.await("retract").jmi; m.ID != ours || !m.TieBreak {
			t.Errorf("retracted: %s", m.Element())
		}
		if e := s.us.Ended(t, ours); e.GetSuccessor() != s.sid {
			t.Errorf("ended: %v", e)
		}
		s.await("proceed")
		s.send("session-initiate")
		s.accepted(s.await("session-accept").jingle)
		s.trickle()
		s.talk()
		s.bye()
	})
	t.Run("ours goes first", func(t *testing.T) {
		s := newScene(t, conversations(t))
		s.callOut()
		ours := s.sid
		s.sid = "ffffffff-ffff-4fff-bfff-ffffffffffff"
		s.send("propose", func(d *script) { d.Media = []*medium{{Media: "audio"}} })
		if m := s.await("reject").jmi; m.ID != s.sid || !m.TieBreak {
			t.Errorf("rejected: %s", m.Element())
		}
		s.sid = ours
		s.pickUp()
		s.talk()
		s.bye()
	})
}

// TestPeerChangesDevice is section 4.2: a second proposal of the peer in a call takes its place, without ringing.
func TestPeerChangesDevice(t *testing.T) {
	p := conversations(t)
	s := newScene(t, p)
	s.callOut()
	s.pickUp()
	s.talk()
	tablet := &scene{peer: login(t, p, s.srv, "romeo", "tablet"), t: t, us: s.us, srv: s.srv, record: s.record}
	tablet.peer.us = s.peer.us
	tablet.sid = "11111111-1111-4111-8111-111111111111"
	tablet.prepare(nil, "audio")
	tablet.send("propose")
	tablet.await("proceed")
	if m := s.await("finish").jmi; m.ID != s.sid || m.Migrated != tablet.sid {
		t.Errorf("finished: %s", m.Element())
	}
	s.await("session-terminate")
	if e := s.us.Ended(t, s.sid); e.GetSuccessor() != tablet.sid {
		t.Errorf("ended: %v", e)
	}
	tablet.send("session-initiate")
	tablet.accepted(tablet.await("session-accept").jingle)
	tablet.trickle()
	tablet.talk()
	tablet.hangUp("")
	tablet.wantTerminate(jingle.Success)
}

// TestOtherDeviceOfOurs has a second device of our account, which decides before we do, or after.
func TestOtherDeviceOfOurs(t *testing.T) {
	setup := func(t *testing.T) (s *scene, other *peer) {
		s = newScene(t, conversations(t))
		other = login(t, conversations(t), s.srv, ourUser, "other")
		s.eventually("sees both", func() bool { return len(s.client.Resources(s.peer.us.Bare())) == 2 })
		s.callIn("audio")
		other.us, other.sid = s.client.JID(), s.sid
		other.await("propose")
		return s, other
	}
	quiet := func(t *testing.T, s *scene) {
		t.Helper()
		// What the daemon sends comes in order, so this comes after all that it might have sent.
		next := s.us.Call(t, s.client.Account().String(), "")
		for {
			m := <-s.inbox
			if m.name == "propose" && m.jmi.ID == next {
				return
			}
			if m.jmi != nil && m.jmi.ID == s.sid && m.from.Resource() == ourDevice {
				t.Errorf("the daemon sends a %s for a call that another device has decided about", m.name)
			}
		}
	}
	t.Run("it takes the call", func(t *testing.T) {
		s, other := setup(t)
		other.send("own-accept")
		other.send("proceed")
		if e := s.us.Ended(t, s.sid); !strings.Contains(e.GetText(), "took the call") {
			t.Errorf("ended: %v", e)
		}
		quiet(t, s)
	})
	t.Run("it declines", func(t *testing.T) {
		s, other := setup(t)
		other.send("reject")
		if e := s.us.Ended(t, s.sid); e.GetReason() != "decline" {
			t.Errorf("ended: %v", e)
		}
		quiet(t, s)
	})
	t.Run("we take the call", func(t *testing.T) {
		s, other := setup(t)
		s.answer()
		other.await("accept")
		s.talk()
		s.bye()
	})
}

// TestNoGhosts has proposals that must not ring: late ones, those of strangers, and copies of what was for others.
func TestNoGhosts(t *testing.T) {
	s := newScene(t, conversations(t))
	if err := s.srv.AddAccount("stranger", "secret"); err != nil {
		t.Fatal(err)
	}
	propose := func(sid string) *xmltree.Element {
		x, err := s.p.stanza("propose", script{SID: sid, PeerBare: s.peer.us.Bare().String(), Media: []*medium{{Media: "audio"}}})
		if err != nil {
			t.Fatal(err)
		}
		return x.Set("from", s.client.JID().String())
	}
	delayed := func(x *xmltree.Element, age time.Duration) *xmltree.Element {
		stamp := time.Now().Add(-age).UTC().Format(time.RFC3339)
		return x.Add(xmltree.New("urn:xmpp:delay", "delay").Set("from", s.srv.Domain()).Set("stamp", stamp))
	}
	forwarded := func(x *xmltree.Element) *xmltree.Element {
		return xmltree.New("urn:xmpp:forward:0", "forwarded").Add(x)
	}
	wrapped := func(from string, x *xmltree.Element) *xmltree.Element {
		return xmltree.New("jabber:client", "message").Set("from", from).Set("to", s.peer.us.String()).Add(x)
	}
	copied := func(from string, x *xmltree.Element) *xmltree.Element {
		return wrapped(from, xmltree.New("urn:xmpp:carbons:2", "received").Add(forwarded(x)))
	}
	own := s.peer.us.Bare().String()
	stanzas := map[string]*xmltree.Element{
		"two minutes old": delayed(propose("old"), 2*time.Minute),
		"from the archive": wrapped(own, xmltree.New("urn:xmpp:mam:2", "result").Set("queryid", "q").Set("id", "1").
			Add(forwarded(delayed(propose("archived"), time.Second)))),
		"for another device":    copied(own, propose("other").Set("to", own+"/elsewhere")),
		"a copy that is forged": copied(s.client.JID().String(), propose("forged")),
		"of a stranger":         propose("strange").Set("from", "stranger@"+s.srv.Domain()+"/x"),
		"of a group":            propose("group").Set("type", "groupchat"),
	}
	for name, x := range stanzas {
		if !s.srv.Deliver(s.peer.us, x) {
			t.Fatalf("%s: not delivered", name)
		}
	}
	// One that is fresh rings, after all of them.
	if !s.srv.Deliver(s.peer.us, delayed(propose("fresh"), 5*time.Second)) {
		t.Fatal("not delivered")
	}
	s.us.Incoming(t, "fresh")
	s.us.Saw(func(e *jingledv1.Event) bool {
		if e.GetCallIncoming() != nil && e.GetSid() != "fresh" {
			t.Errorf("it rings for %q", e.GetSid())
		}
		return false
	})
}
