package muc

import (
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// Invitation is one to a room: mediated, that is sent by the room (section 7.8.2), or direct, from person to person
// (XEP-0249).
type Invitation struct {
	Room jid.JID // bare
	// From is who invites: a real address, or that of an occupant of the room.
	From             jid.JID
	Reason, Password string
	Direct           bool
}

// ParseInvitation reads the invitation in a message from an address, and reports false if there is none. That a mediated
// one is from whom it names is the room's word.
func ParseInvitation(m *xmltree.Element, from jid.JID) (Invitation, bool) {
	if m.Attr("type") == "error" {
		return Invitation{}, false
	}
	if x := m.Child(NSUser, "x"); x != nil && from.IsBare() && from.Local() != "" {
		if i := x.Child(NSUser, "invite"); i != nil {
			by, err := jid.Parse(i.Attr("from"))
			if err != nil {
				by = from
			}
			return Invitation{Room: from, From: by, Reason: clip(i.ChildText(NSUser, "reason")),
				Password: clip(x.ChildText(NSUser, "password"))}, true
		}
	}
	x := m.Child(NSDirect, "x")
	if x == nil {
		return Invitation{}, false
	}
	room, err := jid.Parse(x.Attr("jid"))
	if err != nil || !room.IsBare() || room.Local() == "" || m.Attr("type") == "groupchat" {
		return Invitation{}, false
	}
	return Invitation{Room: room, From: from, Reason: clip(x.Attr("reason")), Password: clip(x.Attr("password")), Direct: true}, true
}

// Stanza returns the message by which to is invited. In a room for members only, a mediated invitation makes them one.
func (i Invitation) Stanza(to jid.JID) *xmltree.Element {
	m := xmltree.New(nsClient, "message")
	if i.Direct {
		return m.Set("to", to.String()).Add(xmltree.New(NSDirect, "x").Set("jid", i.Room.String()).SetOpt("reason", i.Reason).
			SetOpt("password", i.Password))
	}
	invite := xmltree.New(NSUser, "invite").Set("to", to.String())
	if i.Reason != "" {
		invite.Add(xmltree.New(NSUser, "reason").AddText(i.Reason))
	}
	return m.Set("to", i.Room.String()).Add(xmltree.New(NSUser, "x").Add(invite))
}

// Declined returns the message that declines a mediated invitation (section 7.8.2); a direct one has no such thing, and nil
// is returned.
func (i Invitation) Declined(reason string) *xmltree.Element {
	if i.Direct {
		return nil
	}
	d := xmltree.New(NSUser, "decline").Set("to", i.From.String())
	if reason != "" {
		d.Add(xmltree.New(NSUser, "reason").AddText(reason))
	}
	return xmltree.New(nsClient, "message").Set("to", i.Room.String()).Add(xmltree.New(NSUser, "x").Add(d))
}
