package daemon

import (
	"slices"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/invite"
	"github.com/jingled/jingled/jingle/jmi"
	"github.com/jingled/jingled/jingle/muji"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
	"github.com/jingled/jingled/xmpp/carbons"
	"github.com/jingled/jingled/xmpp/muc"
)

// roomInvitation is one that we have got: to a call (XEP-0482), or to a room.
type roomInvitation struct {
	id   string // that clients of the API have for it
	call string // its id in XEP-0482, "" if it is none
	to   muc.Invitation
}

// maxInvitations bounds those that are remembered.
const maxInvitations = 64

// receiveFromRoom takes what a room says of itself. It runs on the dispatcher.
func (a *account) receiveFromRoom(m *xmpp.Message) {
	if m.Type == "groupchat" && m.Kind == carbons.Direct {
		a.rooms.Receive(m.Element)
	}
}

// receiveInvitation takes an invitation from those who may call us. It runs on the dispatcher.
func (a *account) receiveInvitation(m *xmpp.Message) {
	if m.Type == "error" || m.Type == "groupchat" {
		return
	}
	for x := range m.Element.Elements() {
		if invite.Is(x) {
			a.callInvitation(m, x)
			return // the same message may have a direct one for others
		}
	}
	to, ok := muc.ParseInvitation(m.Element, m.From)
	if !ok || !m.Live() || m.Outgoing() || !a.admits(to.From, true) {
		return
	}
	a.invited(&roomInvitation{id: newCallID(), to: to}, false)
}

// callInvitation follows XEP-0482, for calls in rooms.
func (a *account) callInvitation(m *xmpp.Message, x *xmltree.Element) {
	in, err := invite.Parse(x, a.registry)
	if err != nil {
		a.log.Debug("invitation", "err", err)
		return
	}
	switch {
	case in.Kind == invite.Invite:
		i := slices.IndexFunc(in.Methods, func(p jingle.Payload) bool { _, ok := p.(muji.Muji); return ok })
		if i < 0 || !m.Live() || m.Outgoing() || !a.admits(m.From, true) {
			return
		}
		room, _ := in.Methods[i].(muji.Muji)
		if room.Room == "" {
			return
		}
		// Section 3.1.
		id := m.ID
		if o := m.Element.Child("urn:xmpp:sid:0", "origin-id"); o != nil && o.Attr("id") != "" {
			id = o.Attr("id")
		}
		to := muc.Invitation{Room: room.Room, From: m.From, Direct: true}
		a.invited(&roomInvitation{id: newCallID(), call: id, to: to}, in.WantsVideo())
	case in.Kind == invite.Retract, m.Outgoing() && (in.Kind == invite.Accept || in.Kind == invite.Reject):
		// Taken back, or answered by another device of ours (section 3).
		from := m.From
		if m.Outgoing() {
			from = m.To
		}
		if got := a.dropInvitation(func(o *roomInvitation) bool { return o.call == in.ID && o.to.From.Bare() == from.Bare() }); got != nil {
			a.publish(got.to.Room, "", &jingledv1.Event{Body: &jingledv1.Event_RoomInvited{RoomInvited: &jingledv1.RoomInvited{
				Invitation: got.id, From: got.to.From.String(), Call: true, Over: true}}})
		}
	}
}

// invited tells of an invitation.
func (a *account) invited(i *roomInvitation, video bool) {
	a.mu.Lock()
	a.invitations = append(a.invitations, i)
	if over := len(a.invitations) - maxInvitations; over > 0 {
		a.invitations = slices.Delete(a.invitations, 0, over)
	}
	a.mu.Unlock()
	a.publish(i.to.Room, "", &jingledv1.Event{Body: &jingledv1.Event_RoomInvited{RoomInvited: &jingledv1.RoomInvited{
		Invitation: i.id, From: i.to.From.String(), Reason: i.to.Reason, Call: i.call != "", Video: video}}})
}

// dropInvitation takes one out and returns it, or nil.
func (a *account) dropInvitation(is func(*roomInvitation) bool) *roomInvitation {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.invitations, is)
	if i < 0 {
		return nil
	}
	out := a.invitations[i]
	a.invitations = slices.Delete(a.invitations, i, i+1)
	return out
}

// say sends a message of XEP-0482.
func (a *account) say(to jid.JID, id string, m *invite.Message, more ...*xmltree.Element) {
	st := xmltree.New(nsClient, "message").Set("to", to.String()).Set("type", "chat").Set("id", id).Add(m.Element()).Add(more...).
		Add(xmltree.New(jmi.NSHints, "store"))
	if err := a.client.Send(st); err != nil {
		a.log.Debug("invitation", "err", err)
	}
}

// invitePeople asks people into the room. Where we may, we make them members; else the room has to ask them.
func (r *room) invitePeople(people []string, reason string) {
	if len(people) == 0 {
		return
	}
	var who []jid.JID
	for _, p := range people {
		who = append(who, jid.JID(p)) // checked before
	}
	master := false
	r.account.rooms.Room(r.address, func(room *muc.Room) {
		self, _ := room.Occupant(room.Nick())
		master = self.Affiliation == "owner" || self.Affiliation == "admin"
	})
	var video *bool
	if r.video != nil && r.video.fan != nil {
		video = new(true)
	}
	direct := muc.Invitation{Room: r.address, Reason: reason, Password: r.req.GetPassword(), Direct: true}
	if master {
		if err := r.account.rooms.Grant(r.address, "member", who...); err != nil {
			r.account.log.Debug("members", "err", err)
		}
	} else {
		direct.Direct = false
	}
	for _, to := range who {
		if r.conf == nil || !direct.Direct {
			if err := r.account.client.Send(direct.Stanza(to)); err != nil {
				r.account.log.Debug("invitation", "err", err)
			}
		}
		if r.conf != nil {
			var more []*xmltree.Element
			if direct.Direct {
				more = append(more, direct.Stanza(to).First())
			}
			r.account.say(to, r.invite, &invite.Message{Kind: invite.Invite, Video: video, Methods: []jingle.Payload{muji.Muji{Room: r.address}}}, more...)
			r.sent = append(r.sent, to)
		}
	}
}

// answerInvitation tells who has invited us that we are here.
func (r *room) answerInvitation() {
	if r.accept != nil && r.accept.call != "" {
		r.account.say(r.accept.to.From, newCallID(), &invite.Message{Kind: invite.Accept, ID: r.accept.call,
			Methods: []jingle.Payload{muji.Muji{Room: r.address}}})
	}
}

// leftInvitation tells who has invited us that we go, and takes back what nobody has followed.
func (r *room) leftInvitation() {
	if r.accept != nil && r.accept.call != "" && r.inside {
		r.account.say(r.accept.to.From, newCallID(), &invite.Message{Kind: invite.Left, ID: r.accept.call})
	}
	r.mu.Lock()
	alone := len(r.people) == 0
	r.mu.Unlock()
	if !alone {
		return
	}
	for _, to := range r.sent {
		r.account.say(to, newCallID(), &invite.Message{Kind: invite.Retract, ID: r.invite})
	}
}
