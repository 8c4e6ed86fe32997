package muc

import (
	"strings"
	"testing"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/disco"
)

func TestInvitations(t *testing.T) {
	const room, romeo, juliet = jid.JID("coven@chat.example"), jid.JID("romeo@montague.example"), jid.JID("juliet@capulet.example/balcony")
	for _, c := range []struct {
		name, stanza string
		from         jid.JID
		want         Invitation
		ok           bool
	}{
		{"mediated", `<message><x xmlns='http://jabber.org/protocol/muc#user'><invite from='juliet@capulet.example/balcony'><reason>Hey!</reason></invite><password>p</password></x></message>`,
			room, Invitation{Room: room, From: juliet, Reason: "Hey!", Password: "p"}, true},
		{"mediated, by an occupant without a usable address", `<message><x xmlns='http://jabber.org/protocol/muc#user'><invite from='@'/></x></message>`,
			room, Invitation{Room: room, From: room}, true},
		{"mediated, by a person who is no room", `<message><x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b'/></x></message>`, juliet, Invitation{}, false},
		{"direct", `<message><x xmlns='jabber:x:conference' jid='coven@chat.example' reason='Hey!' password='p'/></message>`,
			juliet, Invitation{Room: room, From: juliet, Reason: "Hey!", Password: "p", Direct: true}, true},
		{"direct, to no room", `<message><x xmlns='jabber:x:conference' jid='chat.example'/></message>`, juliet, Invitation{}, false},
		{"said in a room", `<message type='groupchat'><x xmlns='jabber:x:conference' jid='coven@chat.example'/></message>`, juliet, Invitation{}, false},
		{"returned", `<message type='error'><x xmlns='jabber:x:conference' jid='coven@chat.example'/></message>`, juliet, Invitation{}, false},
		{"none", `<message><body/></message>`, juliet, Invitation{}, false},
	} {
		if got, ok := ParseInvitation(element(t, c.stanza), c.from); got != c.want || ok != c.ok {
			t.Errorf("%s: %+v, %v", c.name, got, ok)
		}
	}
	direct := Invitation{Room: room, From: juliet, Reason: "Hey!", Password: "p", Direct: true}
	if got, ok := ParseInvitation(direct.Stanza(romeo), juliet); got != direct || !ok {
		t.Errorf("our direct invitation is read as %+v, %v", got, ok)
	}
	if direct.Declined("no") != nil {
		t.Error("a direct invitation cannot be declined")
	}
	mediated := Invitation{Room: room, From: juliet, Reason: "Hey!"}
	want := `<message xmlns='jabber:client' to='coven@chat.example'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='romeo@montague.example'><reason>Hey!</reason></invite></x></message>`
	if got := mediated.Stanza(romeo); !got.Equal(element(t, want)) {
		t.Errorf("mediated: %s", got)
	}
	want = `<message xmlns='jabber:client' to='coven@chat.example'><x xmlns='http://jabber.org/protocol/muc#user'><decline to='juliet@capulet.example/balcony'><reason>no</reason></decline></x></message>`
	if got := mediated.Declined("no"); !got.Equal(element(t, want)) {
		t.Errorf("declined: %s", got)
	}
}

func TestInfo(t *testing.T) {
	q := element(t, `<query xmlns='http://jabber.org/protocol/disco#info'><identity category='conference' type='text' name='A Dark Cave'/>
		<feature var='http://jabber.org/protocol/muc'/><feature var='muc_nonanonymous'/><feature var='muc_membersonly'/><feature var='muc_persistent'/>
		<x xmlns='jabber:x:data' type='result'><field var='muc#roominfo_occupants'><value>3</value></field><field var='muc#roominfo_description'><value>Witches</value></field></x></query>`)
	info, err := disco.ParseInfo(q)
	if err != nil {
		t.Fatal(err)
	}
	want := Info{Name: "A Dark Cave", Description: "Witches", Occupants: 3, NonAnonymous: true, MembersOnly: true, Persistent: true}
	if got := ParseInfo(info); got != want {
		t.Errorf("%+v", got)
	}
	if got := ParseInfo(&disco.Info{}); got != (Info{Occupants: -1}) {
		t.Errorf("of nothing: %+v", got)
	}
}

// TestLongWords has others write more than is kept.
func TestLongWords(t *testing.T) {
	x := element(t, `<message><x xmlns='jabber:x:conference' jid='coven@chat.example' reason='`+strings.Repeat("ä", maxText)+`'/></message>`)
	i, ok := ParseInvitation(x, "a@b")
	if !ok || len(i.Reason) > maxText || !strings.HasSuffix(i.Reason, "ä") {
		t.Errorf("%d bytes are kept", len(i.Reason))
	}
}

// FuzzRoom has a room say anything at any time.
func FuzzRoom(f *testing.F) {
	f.Add(`<presence xmlns='jabber:client' from='a@b/n'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='participant'/><status code='110'/></x></presence>`, byte(0))
	f.Add(`<presence xmlns='jabber:client' from='a@b/n' type='unavailable'><x xmlns='http://jabber.org/protocol/muc#user'><item nick='m'/><status code='303'/><status code='110'/></x></presence>`, byte(1))
	f.Add(`<presence xmlns='jabber:client' from='a@b/n' type='error'><error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>`, byte(2))
	f.Fuzz(func(t *testing.T, stanza string, how byte) {
		e, err := xmltree.Parse([]byte(stanza), xmltree.Limits{})
		if err != nil {
			return
		}
		cfg := Config{Room: "a@b", Nick: "n", ShowAddress: how&4 != 0}
		if how&8 != 0 {
			cfg.Create = &Creation{MembersOnly: true}
		}
		r, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		r.Join(epoch)
		r.Replied(epoch, "muc1", xmltree.New(disco.NSInfo, "query"), nil)
		if how&1 != 0 {
			r.Receive(epoch, element(t, `<presence xmlns='jabber:client' from='a@b/n'><x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/></x></presence>`))
		}
		r.Receive(epoch, e)
		r.Receive(epoch, e)
		r.Replied(epoch, "muc2", e, nil)
		if how&2 != 0 {
			r.Leave(epoch)
			r.Receive(epoch, e)
		}
		if len(r.Occupants()) > 3 || r.Over() && r.Inside() {
			t.Errorf("%d occupants", len(r.Occupants()))
		}
	})
}
