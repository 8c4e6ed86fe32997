package daemon

import (
	"runtime"
	"sync"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle/jmi"
	"github.com/jingled/jingled/xmltree"
)

func TestTwoDevicesOneAnswers(t *testing.T) {
	srv := newServer(t)
	alice := act(t, srv, "alice", nil)
	desk, phone := act(t, srv, "bob", nil), act(t, srv, "bob", nil)
	sid := alice.call("bob@example.test")
	for _, d := range []*actor{desk, phone} {
		if got := d.incoming().GetSid(); got != sid {
			t.Fatalf("the call is %s, not %s", got, sid)
		}
	}
	desk.answer(sid)
	if e := phone.ended(sid); e.GetReason() != "success" || e.GetByPeer() || e.GetWasConnected() || e.GetText() == "" {
		t.Errorf("the other device stops ringing with %v", e)
	}
	alice.connected(sid)
	desk.connected(sid)
	phone.idle()
	alice.hangUp(sid, "")
	for _, a := range []*actor{alice, desk} {
		if e := a.ended(sid); e.GetReason() != "success" || !e.GetWasConnected() || e.GetByPeer() != (a == desk) {
			t.Errorf("ended with %v", e)
		}
		a.idle()
	}
}

func TestTwoDevicesOneDeclines(t *testing.T) {
	srv := newServer(t)
	alice := act(t, srv, "alice", nil)
	desk, phone := act(t, srv, "bob", nil), act(t, srv, "bob", nil)
	sid := alice.call("bob@example.test")
	desk.incoming()
	phone.incoming()
	phone.hangUp(sid, "")
	if e := desk.ended(sid); e.GetReason() != "decline" || e.GetByPeer() {
		t.Errorf("the other device stops ringing with %v", e)
	}
	if e := alice.ended(sid); e.GetReason() != "decline" || !e.GetByPeer() {
		t.Errorf("the caller hears %v", e)
	}
}

func TestCallIsWithdrawn(t *testing.T) {
	srv := newServer(t)
	alice, bob := act(t, srv, "alice", nil), act(t, srv, "bob", nil)
	sid := alice.call("bob@example.test")
	bob.incoming()
	alice.hangUp(sid, "")
	if e := bob.ended(sid); e.GetReason() != "cancel" || !e.GetByPeer() {
		t.Errorf("the callee hears %v", e)
	}
	if e := alice.ended(sid); e.GetReason() != "cancel" || e.GetByPeer() {
		t.Errorf("the caller hears %v", e)
	}
}

// Two people who call each other at the same time have one call, and both are told what becomes of the other one
// (XEP-0353 section 4.1).
func TestCallsCross(t *testing.T) {
	// The server keeps each proposal back until it has both.
	var mu sync.Mutex
	var kept []*xmltree.Element
	both := make(chan struct{})
	srv := newServerWith(t, func(from jid.JID, stanza *xmltree.Element) *xmltree.Element {
		if stanza.Child(jmi.NS, "propose") == nil {
			return stanza
		}
		mu.Lock()
		defer mu.Unlock()
		copied := stanza.Clone()
		copied.Set("from", from.String())
		if kept = append(kept, copied); len(kept) == 2 {
			close(both)
		}
		return nil
	})
	alice, bob := act(t, srv, "alice", nil), act(t, srv, "bob", nil)
	sids := map[*actor]string{alice: alice.call("bob@example.test"), bob: bob.call("alice@example.test")}
	<-both
	for _, stanza := range kept {
		to := alice
		if jid.JID(stanza.Attr("from")).Bare() == alice.jid {
			to = bob
		}
		if !srv.Deliver(to.accounts[0].client.JID(), stanza) {
			t.Fatal("a proposal is not delivered")
		}
	}
	// The smaller id wins.
	winner, loser := alice, bob
	if sids[bob] < sids[alice] {
		winner, loser = bob, alice
	}
	sid := sids[winner]
	gone := loser.ended(sids[loser])
	if gone.GetReason() != "alternative-session" || gone.GetText() == "" {
		t.Errorf("the call that lost ended with %v", gone)
	}
	// The user of the one that gave way wants to talk to this very peer, so it is taken without asking.
	if gone.GetSuccessor() != sid {
		t.Errorf("its successor is %q, not %q", gone.GetSuccessor(), sid)
	}
	winner.connected(sid)
	winner.hangUp(sid, "")
	winner.ended(sid)
	loser.ended(sid)
	winner.idle()
	loser.idle()
}

func TestNobodyAnswers(t *testing.T) {
	srv := newServer(t)
	alice := act(t, srv, "alice", func(c *Config) { c.RingTimeout = 300 * time.Millisecond })
	bob := act(t, srv, "bob", nil)
	sid := alice.call("bob@example.test")
	bob.incoming()
	if e := alice.ended(sid); e.GetReason() != "timeout" || e.GetByPeer() {
		t.Errorf("%v", e)
	}
	bob.ended(sid)
	bob.idle()
	// The same with a device, which gets a session at once.
	bound := bob.Daemon.accounts[0].client.JID()
	sid = alice.call(bound)
	bob.incoming()
	// Its own timer is a little longer than that of a proposal.
	if e := alice.ended(sid); e.GetReason() != "timeout" {
		t.Errorf("%v", e)
	}
	bob.ended(sid)
}

// A lost connection does not leave a proposal behind, and what is asked for afterwards works.
func TestConnectionLost(t *testing.T) {
	srv := newServer(t)
	alice, bob := act(t, srv, "alice", nil), act(t, srv, "bob", nil)
	if !srv.Drop(alice.accounts[0].client.JID()) {
		t.Fatal("alice is not there")
	}
	alice.await("offline", func(e *jingledv1.Event) bool {
		return e.GetAccountChanged().GetState() == jingledv1.AccountState_ACCOUNT_STATE_OFFLINE
	})
	alice.online()
	sid := alice.call("bob@example.test")
	bob.incoming()
	bob.answer(sid)
	alice.connected(sid)
	bob.hangUp(sid, "")
	alice.ended(sid)
	bob.ended(sid)
}

// A hundred and more calls, one after the other and of every kind, leave nothing behind.
func TestManyCallsLeaveNothing(t *testing.T) {
	srv := newServer(t)
	alice, bob := act(t, srv, "alice", nil), act(t, srv, "bob", nil)
	round := func(i int) {
		sid := alice.call("bob@example.test")
		bob.incoming()
		switch i % 5 {
		case 0:
			bob.hangUp(sid, "busy")
		case 1:
			alice.hangUp(sid, "")
		case 2: // given up while it is being connected
			bob.answer(sid)
			alice.hangUp(sid, "")
		default:
			bob.answer(sid)
			alice.connected(sid)
			[]*actor{alice, bob}[i%2].hangUp(sid, "")
		}
		alice.ended(sid)
		bob.ended(sid)
		alice.seen, bob.seen = nil, nil
	}
	for i := range 5 {
		round(i)
	}
	alice.idle()
	bob.idle()
	before := runtime.NumGoroutine()
	for i := range 195 {
		round(i)
	}
	alice.idle()
	bob.idle()
	if after := runtime.NumGoroutine(); after > before+10 {
		t.Errorf("%d goroutines became %d", before, after)
	}
	for _, a := range []*actor{alice, bob} {
		acc := a.accounts[0]
		acc.mu.Lock()
		if d := acc.proposals.Deadline(); !d.IsZero() {
			t.Errorf("%s: a proposal is left", a.jid)
		}
		acc.mu.Unlock()
	}
}

// What nobody has asked for is answered, and nobody else hears of it.
func TestUnknownSessions(t *testing.T) {
	srv := newServer(t)
	alice, bob := act(t, srv, "alice", nil), act(t, srv, "bob", nil)
	to := bob.accounts[0].client.JID()
	for name, c := range map[string]struct{ xml, condition string }{
		"nonsense":        {`<jingle xmlns='urn:xmpp:jingle:1' action='dance' sid='a'/>`, "item-not-found"},
		"unknown":         {`<jingle xmlns='urn:xmpp:jingle:1' action='session-accept' sid='a'/>`, "item-not-found"},
		"of nothing":      {`<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='b'/>`, "bad-request"},
		"data for nobody": {`<data xmlns='http://jabber.org/protocol/ibb' sid='x' seq='0'>AAAA</data>`, "item-not-found"},
	} {
		x, err := xmltree.Parse([]byte(c.xml), xmltree.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = alice.accounts[0].client.Query(t.Context(), to, "set", x)
		if err == nil || !contains(err.Error(), c.condition) {
			t.Errorf("%s: %v", name, err)
		}
	}
	bob.idle()
}
