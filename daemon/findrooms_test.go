package daemon

import (
	"strings"
	"testing"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/disco"
	"github.com/jingled/jingled/xmpp/muc"
)

// TestFindRoomsWithoutOne: a service that does not answer keeps nobody from the rooms of the others.
func TestFindRoomsWithoutOne(t *testing.T) {
	const mute, talks = jid.JID("mute.example.test"), jid.JID("talks.example.test")
	var srv *xmppserver.Server
	srv = testkit.Embedded(t, xmppserver.Config{
		Accounts: map[string]string{"alice": "secret of alice"}, Items: []xmppserver.Item{{JID: mute}, {JID: talks}},
		Tap: func(from jid.JID, stanza *xmltree.Element) *xmltree.Element {
			to := jid.JID(stanza.Attr("to"))
			if to != mute && to != talks {
				return stanza
			}
			reply := xmltree.New(nsClient, "iq").Set("type", "result").Set("id", stanza.Attr("id")).
				Set("from", to.String()).Set("to", from.String())
			switch {
			case stanza.Child(disco.NSInfo, "query") != nil:
				reply.Add(xmltree.New(disco.NSInfo, "query").Add(
					xmltree.New(disco.NSInfo, "identity").Set("category", "conference").Set("type", "text"),
					xmltree.New(disco.NSInfo, "feature").Set("var", muc.NS)))
			case to == mute:
				reply.Set("type", "error").Add(xmltree.New(nsClient, "error").Set("type", "cancel").
					Add(xmltree.New("urn:ietf:params:xml:ns:xmpp-stanzas", "internal-server-error")))
			default:
				reply.Add(xmltree.New(disco.NSItems, "query").
					Add(xmltree.New(disco.NSItems, "item").Set("jid", "talk@"+talks.String()).Set("name", "Talk")))
			}
			srv.Deliver(from, reply)
			return nil
		},
	})
	alice := act(t, srv, "alice", nil)
	found, err := alice.FindRooms(t.Context(), &jingledv1.FindRoomsRequest{Service: "example.test"})
	if err != nil || len(found.GetRooms()) != 1 || found.GetRooms()[0].GetRoom() != "talk@"+talks.String() {
		t.Errorf("rooms: %v, %v", found, err)
	}
	_, err = alice.FindRooms(t.Context(), &jingledv1.FindRoomsRequest{Service: mute.String()})
	if connect.CodeOf(err) != connect.CodeUnavailable || !strings.Contains(err.Error(), mute.String()) {
		t.Errorf("a service that tells nothing: %v", err)
	}
}
