package carbons_test

import (
	"errors"
	"testing"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/carbons"
)

func TestUnwrap(t *testing.T) {
	const me = jid.JID("alice@example.test")
	fwd := func(outer, ns, inner string) string {
		return "<message xmlns='jabber:client'><" + outer + " xmlns='" + ns + "'>" + inner + "</" + outer + "></message>"
	}
	full := "<forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2026-01-02T03:04:05Z'/><message xmlns='jabber:client' id='in'/></forwarded>"
	for _, tc := range []struct {
		name, xml string
		from      jid.JID
		kind      carbons.Kind
		err       error
	}{
		{"direct", "<message xmlns='jabber:client' id='in'/>", "eve@evil.test", carbons.Direct, nil},
		{"sent", fwd("sent", carbons.NS, full), me, carbons.Sent, nil},
		{"received", fwd("received", carbons.NS, full), "", carbons.Received, nil},
		{"archived", fwd("result", carbons.NSArchive, full), me, carbons.Archived, nil},
		{"forged", fwd("sent", carbons.NS, full), "eve@evil.test", carbons.Sent, carbons.ErrForged},
		{"own resource", fwd("sent", carbons.NS, full), me + "/x", carbons.Sent, carbons.ErrForged},
		{"own domain", fwd("result", carbons.NSArchive, full), "example.test", carbons.Archived, carbons.ErrForged},
		{"empty", fwd("sent", carbons.NS, ""), me, carbons.Sent, carbons.ErrMalformed},
		{"no message", fwd("sent", carbons.NS, "<forwarded xmlns='urn:xmpp:forward:0'/>"), me, carbons.Sent, carbons.ErrMalformed},
		{"another element", fwd("private", carbons.NS, full), "eve@evil.test", carbons.Direct, nil},
	} {
		m, err := xmltree.Parse([]byte(tc.xml), xmltree.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		inner, kind, delay, err := carbons.Unwrap(m, me, tc.from)
		if kind != tc.kind || !errors.Is(err, tc.err) || (err != nil) != (inner == nil) {
			t.Errorf("%s: %v %s %v", tc.name, inner, kind, err)
		}
		if err == nil && kind != carbons.Direct && (inner.Attr("id") != "in" || delay == nil) {
			t.Errorf("%s: %s %s", tc.name, inner, delay)
		}
		if err == nil && kind == carbons.Direct && inner != m {
			t.Errorf("%s: not the message itself", tc.name)
		}
	}
	if carbons.Enable().String() != `<enable xmlns="urn:xmpp:carbons:2"/>` || carbons.Private().Name.Local != "private" {
		t.Error("payloads")
	}
}
