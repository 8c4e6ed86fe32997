package daemon

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/jmi"
	"github.com/jingled/jingled/xmltree"
)

// order notes the messages and sessions of calls that go through a server.
type order struct {
	mu    sync.Mutex
	steps map[string][]string // by sid: elements of XEP-0353 and actions of Jingle
	// answers are the ids of queries that are answered, with the conditions of errors, if it is not nil.
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
		condition := ""
		if problem := stanza.Child(nsClient, "error"); problem != nil {
			for e := range problem.Elements() {
				condition = cmp.Or(condition, e.Name.Local)
			}
		}
		o.answers <- [2]string{stanza.Attr("id"), condition}
	}
	return stanza
}

func (o *order) of(sid string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.steps[sid], " ")
}

// givingUp starts a server at which no session may begin after the end of its proposal, until all that is started after it has
// stopped.
func givingUp(t *testing.T) (*order, *xmppserver.Server) {
	t.Helper()
	o := &order{steps: map[string][]string{}}
	srv := newServerWith(t, o.tap)
	t.Cleanup(func() {
		o.mu.Lock()
		sids := slices.Collect(maps.Keys(o.steps))
		o.mu.Unlock()
		for _, sid := range sids {
			if _, after, _ := strings.Cut(o.of(sid), "finish"); strings.Contains(after, string(jingle.SessionInitiate)) {
				t.Errorf("sent were %s", o.of(sid))
			}
		}
	})
	return o, srv
}

// A caller who gives up between the proceed and the session-initiate does not let the phone ring a second time.
func TestGivenUpBeforeTheSession(t *testing.T) {
	_, srv := givingUp(t)
	alice, bob := act(t, srv, "alice", nil), act(t, srv, "bob", nil)
	acc := alice.accounts[0]
	for range 3 {
		sid := alice.call("bob@example.test")
		bob.incoming()
		c := acc.call("bob@example.test", sid)
		c.dialing.Lock()
		bob.answer(sid)
		accepted := func() bool {
			acc.mu.Lock()
			defer acc.mu.Unlock()
			p := acc.proposals.Get(keyOf("bob@example.test", sid))
			return p != nil && p.State() == jmi.StateProceeding
		}
		for deadline := time.Now().Add(20 * time.Second); !accepted(); time.Sleep(time.Millisecond) { // nothing is told of it
			if time.Now().After(deadline) {
				t.Fatal("the proceed does not come")
			}
		}
		alice.hangUp(sid, "")
		c.dialing.Unlock()
		alice.ended(sid)
		if e := bob.ended(sid); !e.GetByPeer() {
			t.Errorf("bob's call ended with %v", e)
		}
		alice.seen, bob.seen = nil, nil
	}
	alice.idle()
	bob.idle()
}

// Whenever the caller gives up, what begins a session comes before what ends its proposal, or not at all.
func TestGivenUpAnytime(t *testing.T) {
	o, srv := givingUp(t)
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
	deliver := func(from jid.JID, stanza, kind, id, content string) {
		x, err := xmltree.Parse([]byte("<"+stanza+" xmlns='jabber:client' from='"+from.String()+"' to='"+to.String()+
			"' id='"+id+"' type='"+kind+"'>"+content+"</"+stanza+">"), xmltree.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if !srv.Deliver(to, x) {
			t.Fatal("bob is not there")
		}
	}
	message := func(from jid.JID, kind, sid string) {
		deliver(from, "message", "chat", kind+sid, "<"+kind+" xmlns='"+jmi.NS+"' id='"+sid+"'><description xmlns='"+
			"urn:xmpp:jingle:apps:rtp:1' media='audio'/></"+kind+">")
	}
	late := func(from jid.JID, sid string) (condition string) {
		t.Helper()
		deliver(from, "iq", "set", "late-"+sid, `<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' initiator='`+from.String()+`' sid='`+
			sid+`'><content creator='initiator' name='a'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'>`+
			`<payload-type id='0' name='PCMU' clockrate='8000'/></description>`+
			`<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'/></content></jingle>`)
		for {
			select {
			case answer := <-o.answers:
				if answer[0] == "late-"+sid {
					return answer[1]
				}
			case <-time.After(20 * time.Second):
				t.Fatal("the late session is not answered")
			}
		}
	}
	const friend, stranger = jid.JID("alice@example.test/a"), jid.JID("eve@example.test/e")
	for _, end := range []string{"retract", "finish"} {
		message(friend, "propose", end+"ed")
		if e := bob.incoming(); e.GetSid() != end+"ed" {
			t.Fatalf("%v rings", e)
		}
		message(friend, end, end+"ed")
		bob.ended(end + "ed")
		if got := late(friend, end+"ed"); got != "unexpected-request" {
			t.Errorf("the late session was answered with %q", got)
		}
		// A stranger does not learn that anybody is here.
		message(stranger, "propose", end)
		message(stranger, end, end)
		if got := late(stranger, end); got != "service-unavailable" {
			t.Errorf("the stranger was answered with %q", got)
		}
		message(friend, "propose", "after-"+end)
		if e := bob.incoming(); e.GetSid() != "after-"+end {
			t.Errorf("%v rings", e)
		}
		message(friend, "retract", "after-"+end)
		bob.ended("after-" + end)
	}
	bob.idle()
}
