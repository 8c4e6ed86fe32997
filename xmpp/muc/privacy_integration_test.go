package muc_test

import (
	"testing"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/disco"
	"github.com/jingled/jingled/xmpp/muc"
)

// testBeginsToShow has a room that hides addresses show them from some time on: who has not allowed that is gone at once.
func testBeginsToShow(t *testing.T, s *testkit.Server) {
	alice, bob, carol := login(t, s, "alice"), login(t, s, "bob"), login(t, s, "carol")
	room := jid.JID("glass@" + s.MUC)
	alice.join(muc.Config{Room: room, Nick: "alice", ShowAddress: true, Create: &muc.Creation{Name: "Glass"}})
	await[muc.Entered](alice, nil)
	bob.join(muc.Config{Room: room, Nick: "bob"})
	if e := await[muc.Entered](bob, nil); e.Info.NonAnonymous {
		t.Errorf("bob: %+v", e)
	}
	carol.join(muc.Config{Room: room, Nick: "carol", ShowAddress: true})
	await[muc.Entered](carol, nil)

	field := func(name, value string) *xmltree.Element {
		return xmltree.New(disco.NSData, "field").Set("var", name).Add(xmltree.New(disco.NSData, "value").AddText(value))
	}
	form := xmltree.New(disco.NSData, "x").Set("type", "submit").
		Add(field("FORM_TYPE", muc.NS+"#roomconfig"), field("muc#roomconfig_whois", "anyone"))
	if _, err := alice.client.Query(t.Context(), room, "set", xmltree.New(muc.NSOwner, "query").Add(form)); err != nil {
		t.Fatal(err)
	}
	if l := await[muc.Left](bob, nil); l.Cause != muc.ShowsAddresses {
		t.Errorf("bob: %+v", l)
	}
	await(carol, func(g muc.Gone) bool { return g.Occupant.Nick == "bob" })
	if !carol.Room(room, func(r *muc.Room) {
		if !r.Inside() || !r.Info().NonAnonymous {
			t.Errorf("carol is inside: %v, %+v", r.Inside(), r.Info())
		}
	}) {
		t.Error("carol has left")
	}
}
