package daemon

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/jmi"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/disco"
)

// oldTimes is a server where nobody knows XEP-0353 but those whom modern names, and where session-initiates to those whom
// away names come back.
type oldTimes struct {
	*xmppserver.Server

	mu           sync.Mutex
	modern, away func(jid.JID) bool
	called       []jid.JID
	last         *xmltree.Element      // the session-initiate to the last of them
	held         chan *xmltree.Element // takes what comes back, if it is not nil
}

func newOldTimes(t *testing.T) *oldTimes {
	t.Helper()
	nobody := func(jid.JID) bool { return false }
	o := &oldTimes{modern: nobody, away: nobody}
	o.Server = newServerWith(t, o.tap)
	return o
}

func (o *oldTimes) tap(from jid.JID, stanza *xmltree.Element) *xmltree.Element {
	o.mu.Lock()
	defer o.mu.Unlock()
	stanza = stanza.Clone()
	without := func(e *xmltree.Element, bad func(*xmltree.Element) bool) {
		e.Children = slices.DeleteFunc(e.Children, func(n xmltree.Node) bool {
			child, ok := n.(*xmltree.Element)
			return ok && bad(child)
		})
	}
	if stanza.Name.Local == "presence" { // all are asked
		without(stanza, func(e *xmltree.Element) bool { return e.Name.Local == "c" })
	}
	if q := stanza.Child(disco.NSInfo, "query"); q != nil && stanza.Attr("type") == "result" && !o.modern(from) {
		without(q, func(e *xmltree.Element) bool { return e.Attr("var") == jmi.NS })
	}
	j := stanza.Child(jingle.NS, "jingle")
	to := jid.JID(stanza.Attr("to"))
	initiate := j != nil && j.Attr("action") == string(jingle.SessionInitiate)
	if initiate {
		o.called, o.last = append(o.called, to), j
	}
	if j == nil || !o.away(to) {
		return stanza
	}
	if !initiate {
		return nil
	}
	problem := xmltree.New(nsClient, "error").Set("type", "cancel").
		Add(xmltree.New("urn:ietf:params:xml:ns:xmpp-stanzas", "service-unavailable"))
	bounced := xmltree.New(nsClient, "iq").Set("type", "error").Set("id", stanza.Attr("id")).
		Set("from", to.String()).Set("to", from.String()).Add(problem)
	if o.held != nil {
		o.held <- bounced
	} else {
		o.Deliver(from, bounced)
	}
	return nil
}

func (o *oldTimes) set(f *func(jid.JID) bool, to func(jid.JID) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	*f, o.called = to, nil
}

func (o *oldTimes) tried() []jid.JID {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.called)
}

// bounced is a session-initiate that came back and is held.
func (o *oldTimes) bounced(t *testing.T) *xmltree.Element {
	t.Helper()
	select {
	case e := <-o.held:
		return e
	case <-time.After(20 * time.Second):
		t.Fatal("no device was called directly")
		return nil
	}
}

// seesBob waits until so many devices of bob are seen.
func (a *actor) seesBob(devices int) {
	a.t.Helper()
	a.contact("bob@example.test", "devices", func(c *jingledv1.Contact) bool { return len(c.GetDevices()) == devices })
}

// TestDeviceHasLeft calls somebody whose device that was chosen is not there any more: another one takes the call.
func TestDeviceHasLeft(t *testing.T) {
	srv := newOldTimes(t)
	alice := act(t, srv.Server, "alice", nil)
	desk, phone := act(t, srv.Server, "bob", nil), act(t, srv.Server, "bob", nil)
	alice.seesBob(2)
	byAddress := map[jid.JID]*actor{desk.accounts[0].client.JID(): desk, phone.accounts[0].client.JID(): phone}
	var first jid.JID
	srv.set(&srv.away, func(to jid.JID) bool {
		if first == "" {
			first = to
		}
		return to == first
	})
	sid := alice.call("bob@example.test")
	alice.await("ringing", func(e *jingledv1.Event) bool { return e.GetCallRinging() != nil && e.GetSid() == sid })
	tried := srv.tried()
	if len(tried) != 2 || tried[0] == tried[1] || byAddress[tried[1]] == nil {
		t.Fatalf("called were %v", tried)
	}
	other := byAddress[tried[1]]
	if got := other.incoming().GetSid(); got != sid {
		t.Fatalf("the call is %s, not %s", got, sid)
	}
	other.answer(sid)
	alice.connected(sid)
	if slices.ContainsFunc(alice.seen, func(e *jingledv1.Event) bool { return e.GetCallEnded() != nil }) {
		t.Errorf("of a call that goes on the caller is told %v", alice.seen)
	}
	alice.hangUp(sid, "")
	if e := alice.ended(sid); e.GetReason() != "success" {
		t.Errorf("ended with %v", e)
	}
	other.ended(sid)
	alice.idle()
	byAddress[first].idle()
}

// TestDeviceOfADelegatedCallHasLeft: the next device hears what the caller's host has told the first one, and the host hears
// nothing of it.
func TestDeviceOfADelegatedCallHasLeft(t *testing.T) {
	srv := newOldTimes(t)
	alice := act(t, srv.Server, "alice", nil)
	desk, phone := act(t, srv.Server, "bob", nil), act(t, srv.Server, "bob", nil)
	alice.seesBob(2)
	var first jid.JID
	srv.held = make(chan *xmltree.Element, 1)
	srv.set(&srv.away, func(to jid.JID) bool {
		if first == "" {
			first = to
		}
		return to == first
	})
	res, err := alice.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: "bob@example.test", Media: delegatedMedia})
	if err != nil {
		t.Fatal(err)
	}
	sid := res.GetSid()
	h := newHost(alice, sid)
	h.sends(webrtc.MimeTypeOpus, 960, tone(t, 1000))
	h.offer(nil)
	bounced := srv.bounced(t)
	select {
	case <-h.gathered:
	case <-time.After(20 * time.Second):
		t.Fatal("the host still gathers")
	}
	srv.Deliver(alice.accounts[0].client.JID(), bounced)
	other := desk
	if desk.accounts[0].client.JID() == first {
		other = phone
	}
	if got := other.incoming().GetSid(); got != sid {
		t.Fatalf("the call is %s, not %s", got, sid)
	}
	srv.mu.Lock()
	transport := srv.last.Child(jingle.NS, "content").Child(ice.NSUDP, "transport")
	srv.mu.Unlock()
	candidates := 0
	for e := range transport.Elements() {
		if e.Is(ice.NSUDP, "candidate") {
			candidates++
		}
	}
	if candidates != h.told || candidates == 0 {
		t.Errorf("the second device is told %d candidates, the host has %d", candidates, h.told)
	}
	if _, err := other.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{Sid: sid, Media: &jingledv1.Media{AudioIn: "tone:440"}}); err != nil {
		t.Fatal(err)
	}
	alice.connected(sid)
	h.eventually("the tone of the second device", h.hears(440))
	h.eventually("one answer", func() bool { return h.kinds["answer"] == 1 })
	if slices.ContainsFunc(alice.seen, func(e *jingledv1.Event) bool { return e.GetCallEnded() != nil }) {
		t.Errorf("of a call that goes on the host is told %v", alice.seen)
	}
	alice.hangUp(sid, "")
	if e := alice.ended(sid); e.GetReason() != "success" || !e.GetWasConnected() {
		t.Errorf("ended with %v", e)
	}
	other.ended(sid)
	alice.idle()
}

// TestAllDevicesHaveLeft: each device is called once, and one that the user has named has no substitute.
func TestAllDevicesHaveLeft(t *testing.T) {
	srv := newOldTimes(t)
	alice := act(t, srv.Server, "alice", nil)
	desk := act(t, srv.Server, "bob", nil)
	act(t, srv.Server, "bob", nil)
	alice.seesBob(2)
	for peer, want := range map[jid.JID]int{"bob@example.test": 2, desk.accounts[0].client.JID(): 1} {
		srv.set(&srv.away, func(jid.JID) bool { return true })
		sid := alice.call(peer)
		if e := alice.ended(sid); e.GetReason() != "gone" || !e.GetByPeer() {
			t.Errorf("a call to %s ended with %v", peer, e)
		}
		tried := srv.tried()
		slices.Sort(tried)
		if len(tried) != want || len(slices.Compact(tried)) != want {
			t.Errorf("for %s, called were %v", peer, tried)
		}
		alice.idle()
	}
}

// TestModernDeviceComes: a device that understands proposals has come meanwhile, so the call goes on with one.
func TestModernDeviceComes(t *testing.T) {
	srv := newOldTimes(t)
	alice, desk := act(t, srv.Server, "alice", nil), act(t, srv.Server, "bob", nil)
	alice.seesBob(1)
	gone := desk.accounts[0].client.JID()
	srv.held = make(chan *xmltree.Element, 1)
	srv.set(&srv.modern, func(j jid.JID) bool { return j != gone })
	srv.set(&srv.away, func(j jid.JID) bool { return j == gone })
	sid := alice.call("bob@example.test")
	bounced := srv.bounced(t)
	phone := act(t, srv.Server, "bob", nil)
	alice.seesBob(2)
	srv.Deliver(alice.accounts[0].client.JID(), bounced)
	if got := phone.incoming().GetSid(); got != sid {
		t.Fatalf("the call is %s, not %s", got, sid)
	}
	phone.answer(sid)
	alice.connected(sid)
	phone.hangUp(sid, "")
	alice.ended(sid)
	alice.idle()
}

// TestUnwantedCallEnds: a call that the user has ended before its device turns out to be gone is over.
func TestUnwantedCallEnds(t *testing.T) {
	srv := newOldTimes(t)
	alice := act(t, srv.Server, "alice", nil)
	act(t, srv.Server, "bob", nil)
	act(t, srv.Server, "bob", nil)
	alice.seesBob(2)
	srv.held = make(chan *xmltree.Element, 1)
	srv.set(&srv.away, func(jid.JID) bool { return true })
	sid := alice.call("bob@example.test")
	bounced := srv.bounced(t)
	alice.hangUp(sid, "")
	srv.Deliver(alice.accounts[0].client.JID(), bounced)
	alice.ended(sid)
	alice.idle()
	if tried := srv.tried(); len(tried) != 1 {
		t.Errorf("called were %v", tried)
	}
}
