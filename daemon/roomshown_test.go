package daemon

import (
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/disco"
	"github.com/jingled/jingled/xmpp/muc"
)

// TestRoomBeginsToShow has the owner of a room that hides addresses show them: everybody who has not said that theirs may be
// shown is gone at once, the owner, too.
func TestRoomBeginsToShow(t *testing.T) { testkit.Each(t, roomBeginsToShow) }

func roomBeginsToShow(t *testing.T, s *testkit.Server) {
	for _, u := range []string{"owner", "guest"} {
		s.AddUser(t, u, "secret")
	}
	owner, other := guest(t, s, "owner", nil), guest(t, s, "guest", nil)
	room := s.Room("glass")
	owner.join(&jingledv1.JoinRoomRequest{Room: room, Nick: "O", Create: true, Invite: []string{other.jid.String()}})
	owner.entered(room)
	other.until("an invitation", func(e *jingledv1.Event) bool { return e.GetRoomInvited() != nil })
	other.join(&jingledv1.JoinRoomRequest{Room: room, Nick: "G"})
	other.entered(room)

	field := func(name, value string) *xmltree.Element {
		return xmltree.New(disco.NSData, "field").Set("var", name).Add(xmltree.New(disco.NSData, "value").AddText(value))
	}
	form := xmltree.New(disco.NSData, "x").Set("type", "submit").
		Add(field("FORM_TYPE", muc.NS+"#roomconfig"), field("muc#roomconfig_whois", "anyone"))
	if _, err := owner.accounts[0].client.Query(t.Context(), jid.JID(room), "set", xmltree.New(muc.NSOwner, "query").Add(form)); err != nil {
		t.Fatal(err)
	}
	for _, a := range []*actor{owner, other} {
		if e := a.leftRoom(room); e.GetCause() != muc.ShowsAddresses.String() {
			t.Errorf("%s: %v", a.jid, e)
		}
	}
}
