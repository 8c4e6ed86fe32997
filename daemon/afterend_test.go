package daemon

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/jmi"
	"github.com/jingled/jingled/xmltree"
)

// order notes the messages and sessions of calls that go through a server.
type order struct {
	mu    sync.Mutex
	steps map[string][]string // by sid: elements of XEP-0353 and actions of Jingle
	// answers are the ids and types of answers to queries, if it is not nil.
	answers chan [2]string
}

func (o *order) tap(_ jid.JID, stanza *xmltree.Element) *xmltree.Element {
	o.mu.Lock()
	defer o.mu.Unlock()
	for e := range stanza.Elements() {
		switch {
		case e.Name.Space == jmi.NS:
			o.steps[e.Attr("id")] = append(o.steps[e.Attr("id")], e.Name.Local)
		case e.Name.Space == jingle.NS && e.Name.Local == "jingle":
			o.steps[e.Attr("sid")] = append(o.steps[e.Attr("sid")], e.Attr("action"))
		}
	}
	if kind := stanza.Attr("type"); o.answers != nil && stanza.Name.Local == "iq" && (kind == "error" || kind == "result") {
		o.answers <- [2]string{stanza.Attr("id"), kind}
	}
	return stanza
}

func (o *order) of(id string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.steps[id], " ")
}

// A caller who gives up between the proceed and the session-initiate does not let the phone ring a second time.
func TestGivenUpBeforeTheSession(t *testing.T) {
	o := &order{steps: map[string][]string{}}
	srv := newServerWith(t, o.tap)
	alice, bob := act(t, srv, "alice", nil), act(t, srv, "bob", nil)
	acc := alice.accounts[0]
	for range 3 {
		sid := alice.call("bob@example.test")
		bob.incoming()
		c := acc.call("bob@example.test", sid)
		c.dialing.Lock()
		bob.answer(sid)
		for accepted := false; !accepted; time.Sleep(time.Millisecond) {
			acc.mu.Lock()
			p := acc.proposals.Get(keyOf("bob@example.test", sid))
			accepted = p == nil || p.State() == jmi.StateProceeding
			acc.mu.Unlock()
		}
		alice.hangUp(sid, "")
		c.dialing.Unlock()
		alice.ended(sid)
		if e := bob.ended(sid); !e.GetByPeer() {
			t.Errorf("bob's call ended with %v", e)
		}
		alice.seen, bob.seen = nil, nil
		defer func() {
			if steps := o.of(sid); strings.Contains(steps, string(jingle.SessionInitiate)) {
				t.Errorf("sent were %s", steps)
			}
		}()
	}
	alice.idle()
	bob.idle()
}

// Whenever the caller gives up, what begins a session comes before what ends its proposal, or not at all.
func TestGivenUpAnytime(t *testing.T) {
	o := &order{steps: map[string][]string{}}
	srv := newServerWith(t, o.tap)
	alice, bob := act(t, srv, "alice", nil), act(t, srv, "bob", nil)
	for i := range 40 {
		sid := alice.call("bob@example.test")
		if e := bob.incoming(); e.GetSid() != sid {
			t.Fatalf("%s rings, and not %s: %s", e.GetSid(), sid, o.of(e.GetSid()))
		}
		bob.answer(sid)
		time.Sleep(time.Duration(i) * 200 * time.Microsecond) // anywhere between the proceed and the connection
		alice.hangUp(sid, "")
		alice.ended(sid)
		bob.ended(sid)
		_, after, _ := strings.Cut(o.of(sid), "finish")
		if strings.Contains(after, string(jingle.SessionInitiate)) {
			t.Errorf("sent were %s", o.of(sid))
		}
		alice.seen, bob.seen = nil, nil
	}
	alice.idle()
	bob.idle()
}

// A session-initiate that comes after the end of its proposal does not ring, whoever sends it.
func TestSessionAfterTheEnd(t *testing.T) {
	o := &order{steps: map[string][]string{}, answers: make(chan [2]string, 100)}
	srv := newServerWith(t, o.tap)
	bob := act(t, srv, "bob", nil)
	to := bob.accounts[0].client.JID()
	deliver := func(stanza, id, content string) {
		x, err := xmltree.Parse([]byte("<"+stanza+" xmlns='jabber:client' from='alice@example.test/a' to='"+to.String()+
			"' id='"+id+"' type='"+map[string]string{"iq": "set", "message": "chat"}[stanza]+"'>"+content+"</"+stanza+">"), xmltree.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if !srv.Deliver(to, x) {
			t.Fatal("bob is not there")
		}
	}
	message := func(kind, sid string) {
		deliver("message", kind+sid, "<"+kind+" xmlns='"+jmi.NS+"' id='"+sid+"'><description xmlns='"+
			"urn:xmpp:jingle:apps:rtp:1' media='audio'/></"+kind+">")
	}
	for _, end := range []string{"retract", "finish"} {
		message("propose", end+"ed")
		if e := bob.incoming(); e.GetSid() != end+"ed" {
			t.Fatalf("%v rings", e)
		}
		message(end, end+"ed")
		bob.ended(end + "ed")
		deliver("iq", "late-"+end, `<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' initiator='alice@example.test/a' sid='`+
			end+`ed'><content creator='initiator' name='a'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>`+
			`<payload-type id='0' name='PCMU' clockrate='8000'/></description>`+
			`<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'/></content></jingle>`)
		answer := [2]string{}
		for answer[0] != "late-"+end {
			select {
			case answer = <-o.answers:
			case <-time.After(20 * time.Second):
				t.Fatal("the late session is not answered")
			}
		}
		if answer[1] != "error" {
			t.Error("the late session is taken")
		}
		message("propose", "after-"+end)
		if e := bob.incoming(); e.GetSid() != "after-"+end {
			t.Errorf("%v rings", e)
		}
		message("retract", "after-"+end)
		bob.ended("after-" + end)
	}
	bob.idle()
}
