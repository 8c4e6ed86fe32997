package jmi

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

func parse(t testing.TB, s string) *xmltree.Element {
	t.Helper()
	e, err := xmltree.Parse([]byte(s), xmltree.Limits{})
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return e
}

var wellFormed = []string{
	`<propose xmlns='urn:xmpp:jingle-message:0' id='1'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'/></propose>`,
	`<ringing xmlns='urn:xmpp:jingle-message:0' id='1'/>`,
	`<proceed xmlns='urn:xmpp:jingle-message:0' id='1'><device xmlns='http://gultsch.de/xmpp/drafts/omemo/dlts-srtp-verification' id='7'/></proceed>`,
	`<accept xmlns='urn:xmpp:jingle-message:0' id='1'/>`,
	`<reject xmlns='urn:xmpp:jingle-message:0' id='1'><reason xmlns='urn:xmpp:jingle:1'><expired/><text>Tie-Break</text></reason><tie-break/></reject>`,
	`<retract xmlns='urn:xmpp:jingle-message:0' id='1'><reason xmlns='urn:xmpp:jingle:1'><cancel/></reason></retract>`,
	`<finish xmlns='urn:xmpp:jingle-message:0' id='1'><reason xmlns='urn:xmpp:jingle:1'><expired/></reason><migrated to='2'/></finish>`,
}

func TestRoundTrip(t *testing.T) {
	for _, s := range wellFormed {
		e := parse(t, s)
		m, err := ParseMessage(e, &jingle.Registry{})
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if got := m.Element(); !got.Equal(e) {
			t.Errorf("%s\nwritten as %s", s, got)
		}
	}
}

func TestTieBreakWithoutNamespace(t *testing.T) {
	for _, s := range []string{
		`<reject xmlns='urn:xmpp:jingle-message:0' id='1'><reason xmlns='urn:xmpp:jingle:1'><expired/></reason><tie-break xmlns=''/></reject>`,
		`<reject xmlns='urn:xmpp:jingle-message:0' id='1'><reason xmlns='urn:xmpp:jingle:1'><expired/><tie-break xmlns=''/></reason></reject>`,
		`<reject xmlns='urn:xmpp:jingle-message:0' id='1'><tie-break xmlns='jabber:client'/></reject>`,
	} {
		m, err := ParseMessage(parse(t, s), &jingle.Registry{})
		if err != nil || !m.TieBreak {
			t.Errorf("%s: tie-break not seen: %v", s, err)
		}
	}
}

func TestHostile(t *testing.T) {
	for _, s := range []string{
		`<propose xmlns='urn:xmpp:jingle-message:1' id='1'/>`,
		`<proposal xmlns='urn:xmpp:jingle-message:0' id='1'/>`,
		`<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>`,
		`<ringing xmlns='urn:xmpp:jingle-message:0'/>`,
		`<ringing xmlns='urn:xmpp:jingle-message:0' id=''/>`,
		`<ringing xmlns='urn:xmpp:jingle-message:0' id='` + strings.Repeat("x", 257) + `'/>`,
		`<finish xmlns='urn:xmpp:jingle-message:0' id='1'><migrated to='` + strings.Repeat("x", 257) + `'/></finish>`,
		`<propose xmlns='urn:xmpp:jingle-message:0' id='1'>` + strings.Repeat(`<description xmlns='x'/>`, 17) + `</propose>`,
	} {
		var xe *xmltree.Error
		if _, err := ParseMessage(parse(t, s), &jingle.Registry{}); !errors.As(err, &xe) {
			t.Errorf("%.100s: error is %v", s, err)
		}
	}
}

func TestSendStanza(t *testing.T) {
	s := Send{
		To: "juliet@capulet.example", StanzaID: "jm-retract-1", WantsReceipt: true,
		Message: &Message{Kind: Retract, ID: "1", Reason: &jingle.Reason{Condition: jingle.Cancel}},
	}
	want := parse(t, `<message xmlns='jabber:client' to='juliet@capulet.example' type='chat' id='jm-retract-1'>
		<retract xmlns='urn:xmpp:jingle-message:0' id='1'><reason xmlns='urn:xmpp:jingle:1'><cancel/></reason></retract>
		<request xmlns='urn:xmpp:receipts'/><store xmlns='urn:xmpp:hints'/></message>`)
	if got := s.Stanza("jabber:client"); !got.Equal(want) {
		t.Errorf("got %s", got)
	}
}

// A stranger cannot make us hold more than the bounds say.
func TestBounds(t *testing.T) {
	s := NewSet(Config{Self: "a@x/1"})
	propose := func(from, id string) []Effect {
		m, err := ParseMessage(parse(t, fmt.Sprintf(
			`<propose xmlns='urn:xmpp:jingle-message:0' id='%s'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></propose>`, id)),
			&jingle.Registry{})
		if err != nil {
			t.Fatal(err)
		}
		return s.Receive(epoch, Inbound{From: jid.JID(from), To: "a@x", Message: m})
	}
	for i := range 10 {
		if got, want := len(propose("b@x/1", fmt.Sprint(i))), i < 4; (got == 1) != want {
			t.Errorf("proposal %d of one peer: %d effects", i, got)
		}
	}
	for i := range 1000 {
		propose(fmt.Sprintf("c%d@x/1", i), "1")
	}
	if len(s.live) != 32 || len(s.order) != 32 {
		t.Errorf("%d proposals held, want 32", len(s.live))
	}
	s.Advance(epoch.Add(time.Minute))
	if len(s.live) != 0 || len(s.ended) > maxEnded {
		t.Errorf("%d proposals and %d ended ones held after the deadline", len(s.live), len(s.ended))
	}
	for i := range 1000 {
		s.Receive(epoch, Inbound{From: "b@x/1", To: "a@x", Message: &Message{Kind: Retract, ID: fmt.Sprint(i)}})
	}
	if len(s.ended) != maxEnded {
		t.Errorf("%d ended proposals remembered, want %d", len(s.ended), maxEnded)
	}
}

func TestCommandErrors(t *testing.T) {
	s := NewSet(Config{Self: "a@x/1"})
	k := Key{"b@x", "1"}
	if _, err := s.Ring(epoch, k); !errors.Is(err, ErrUnknown) {
		t.Errorf("Ring: %v", err)
	}
	if _, err := s.End(epoch, k, nil); !errors.Is(err, ErrUnknown) {
		t.Errorf("End: %v", err)
	}
	d := jingle.Opaque{XML: xmltree.New("x", "description")}
	for _, c := range []struct {
		peer jid.JID
		id   string
		ds   []jingle.Payload
	}{
		{"b@x", "", []jingle.Payload{d}},
		{"b@x", "1", nil},
		{"a@x/2", "1", []jingle.Payload{d}},
		{"", "1", []jingle.Payload{d}},
	} {
		if _, err := s.Propose(epoch, c.peer, c.id, c.ds...); err == nil {
			t.Errorf("proposed %v", c)
		}
	}
	if _, err := s.Propose(epoch, "b@x/phone", "1", d); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Propose(epoch, "b@x", "1", d); !errors.Is(err, ErrState) {
		t.Errorf("proposed twice: %v", err)
	}
	if _, err := s.Accept(epoch, k); !errors.Is(err, ErrState) {
		t.Errorf("accepted our own: %v", err)
	}
	if err := s.Started(k); !errors.Is(err, ErrState) {
		t.Errorf("started before proceed: %v", err)
	}
}

func TestExpects(t *testing.T) {
	s := NewSet(Config{Self: "a@x/1"})
	m := &Message{Kind: Propose, ID: "1", Descriptions: []jingle.Payload{jingle.Opaque{XML: xmltree.New("x", "description")}}}
	s.Receive(epoch, Inbound{From: "b@x/phone", To: "a@x", Message: m})
	if s.Expects("b@x/phone", "1") {
		t.Error("a session is expected before we have accepted")
	}
	if _, err := s.Accept(epoch, Key{"b@x", "1"}); err != nil {
		t.Fatal(err)
	}
	if !s.Expects("b@x/phone", "1") || s.Expects("b@x/other", "1") || s.Expects("b@x/phone", "2") {
		t.Error("the session is expected of the proposer's device, and of no other")
	}
}

// FuzzMessage: what parses is written back as something that parses to the same.
func FuzzMessage(f *testing.F) {
	for _, s := range wellFormed {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := xmltree.Parse([]byte(s), xmltree.Limits{})
		if err != nil {
			return
		}
		m, err := ParseMessage(e, &jingle.Registry{})
		if err != nil {
			return
		}
		first := m.Element()
		m, err = ParseMessage(first, &jingle.Registry{})
		if err != nil {
			t.Fatalf("%s does not parse: %v", first, err)
		}
		if second := m.Element(); !second.Equal(first) {
			t.Fatalf("%s\nbecame %s", first, second)
		}
	})
}

// FuzzSet: whatever peers and devices send, in whatever order, the set stays within its bounds and has no deadline in
// the past after it was told the time.
func FuzzSet(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte("propose ring accept end"))
	f.Fuzz(func(t *testing.T, script []byte) {
		s := NewSet(Config{Self: "a@x/1"})
		now := epoch
		d := jingle.Opaque{XML: xmltree.New("x", "description")}
		peers := []jid.JID{"b@x/1", "b@x/2", "a@x/2", "c@x/1", "b@x"}
		for i := 0; i+2 < len(script); i += 3 {
			op, a, b := script[i], script[i+1], script[i+2]
			id := string(rune('a' + b%4))
			k := Key{peers[int(a)%len(peers)].Bare(), id}
			now = now.Add(time.Duration(op) * 100 * time.Millisecond)
			switch {
			case op < 140:
				kind := Kinds[int(op)%len(Kinds)]
				m := &Message{Kind: kind, ID: id, TieBreak: b&16 != 0}
				if kind == Propose {
					m.Descriptions = []jingle.Payload{d}
				}
				to := jid.JID("a@x/1")
				if b&32 != 0 {
					to = "a@x"
				}
				s.Receive(now, Inbound{From: peers[int(a)%len(peers)], To: to, Message: m})
			case op < 160:
				_, _ = s.Propose(now, k.Peer, id, d)
			case op < 180:
				_, _ = s.Ring(now, k)
			case op < 200:
				_, _ = s.Accept(now, k)
			case op < 220:
				_ = s.Started(k)
			default:
				_, _ = s.End(now, k, nil)
			}
			s.Advance(now)
			if dl := s.Deadline(); !dl.IsZero() && !dl.After(now) {
				t.Fatalf("deadline %v is not after %v", dl, now)
			}
			if len(s.live) != len(s.order) || len(s.ended) > maxEnded {
				t.Fatalf("%d live, %d in order, %d ended", len(s.live), len(s.order), len(s.ended))
			}
		}
	})
}
