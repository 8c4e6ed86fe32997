package main

import (
	"fmt"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

// roomRecord is record for what happens in rooms.
func roomRecord(e *jingledv1.Event, named func(string) head) any {
	switch b := e.GetBody().(type) {
	case *jingledv1.Event_RoomEntered:
		r := b.RoomEntered
		return struct {
			head
			Nick           string `json:"nick"`
			Created        bool   `json:"created"`
			Name           string `json:"name,omitempty"`
			MembersOnly    bool   `json:"members_only"`
			ShowsAddresses bool   `json:"shows_addresses"`
			Again          bool   `json:"again,omitempty"`
		}{named("room.entered"), r.GetNick(), r.GetCreated(), r.GetName(), r.GetMembersOnly(), r.GetShowsAddresses(), r.GetAgain()}
	case *jingledv1.Event_RoomOccupant:
		o := b.RoomOccupant
		return struct {
			head
			Nick      string `json:"nick"`
			JID       string `json:"jid,omitempty"`
			Present   bool   `json:"present"`
			InCall    bool   `json:"in_call"`
			Connected bool   `json:"connected"`
			Muted     bool   `json:"muted"`
			Text      string `json:"text,omitempty"`
			Renamed   string `json:"renamed_from,omitempty"`
			Video     bool   `json:"video,omitempty"`
			Seen      bool   `json:"seen,omitempty"`
			Recorded  string `json:"record_video,omitempty"`
		}{named("room.occupant"), o.GetNick(), o.GetJid(), o.GetPresent(), o.GetInCall(), o.GetConnected(), o.GetMuted(),
			o.GetText(), o.GetRenamedFrom(), o.GetVideo(), o.GetSeen(), o.GetRecordVideo()}
	case *jingledv1.Event_RoomCall:
		return struct {
			head
			Joined bool   `json:"joined"`
			Others uint32 `json:"others"`
			Text   string `json:"text,omitempty"`
		}{named("room.call"), b.RoomCall.GetJoined(), b.RoomCall.GetOthers(), b.RoomCall.GetText()}
	case *jingledv1.Event_RoomLeft:
		l := b.RoomLeft
		return struct {
			head
			Cause   string  `json:"cause"`
			Text    string  `json:"text"`
			Inside  bool    `json:"was_inside"`
			Seconds float64 `json:"seconds"`
			Audio   string  `json:"audio_error,omitempty"`
			Video   string  `json:"video_error,omitempty"`
		}{named("room.left"), l.GetCause(), l.GetText(), l.GetWasInside(), l.GetCallDuration().AsDuration().Seconds(), l.GetAudioError(), l.GetVideoError()}
	case *jingledv1.Event_RoomInvited:
		i := b.RoomInvited
		return struct {
			head
			Invitation string `json:"invitation"`
			From       string `json:"from"`
			Reason     string `json:"reason,omitempty"`
			Call       bool   `json:"call"`
			Video      bool   `json:"video"`
			Over       bool   `json:"over"`
		}{named("room.invited"), i.GetInvitation(), i.GetFrom(), i.GetReason(), i.GetCall(), i.GetVideo(), i.GetOver()}
	}
	return nil
}

// showRoom says in words what happens in a room.
func (p *printer) showRoom(e *jingledv1.Event) {
	switch b := e.GetBody().(type) {
	case *jingledv1.Event_RoomEntered:
		again := ""
		if b.RoomEntered.GetAgain() {
			again = " again"
		}
		p.line("%s: entered%s as %s", e.GetPeer(), again, clean(b.RoomEntered.GetNick()))
	case *jingledv1.Event_RoomCall:
		if !b.RoomCall.GetJoined() {
			p.line("%s: %s", e.GetPeer(), clean(b.RoomCall.GetText()))
			return
		}
		p.line("%s: in the call, with %d others", e.GetPeer(), b.RoomCall.GetOthers())
	case *jingledv1.Event_RoomLeft:
		p.line("%s: %s", e.GetPeer(), clean(b.RoomLeft.GetText()))
		if a := b.RoomLeft.GetAudioError(); a != "" {
			p.line("  sound: %s", clean(a))
		}
		if v := b.RoomLeft.GetVideoError(); v != "" {
			p.line("  video: %s", clean(v))
		}
	case *jingledv1.Event_RoomInvited:
		what := "into the room"
		if b.RoomInvited.GetCall() {
			what = "to the call in"
		}
		if b.RoomInvited.GetOver() {
			p.line("%s does not invite us %s %s any more", clean(b.RoomInvited.GetFrom()), what, e.GetPeer())
			return
		}
		p.line("%s invites us %s %s", clean(b.RoomInvited.GetFrom()), what, e.GetPeer())
	case *jingledv1.Event_RoomOccupant:
		o := b.RoomOccupant
		nick := clean(o.GetNick())
		switch {
		case !o.GetPresent() && o.GetConnected():
			p.occupant(e, "%s has lost the room, and may come back", nick)
		case !o.GetPresent():
			p.occupant(e, "%s has left", nick)
		case o.GetRenamedFrom() != "":
			p.occupant(e, "%s is now %s", clean(o.GetRenamedFrom()), nick)
		case o.GetText() != "":
			p.occupant(e, "%s cannot be heard: %s", nick, clean(o.GetText()))
		case o.GetMuted():
			p.occupant(e, "%s is muted", nick)
		case o.GetConnected():
			p.occupant(e, "%s is heard", nick)
		case o.GetInCall():
			p.occupant(e, "%s is in the call", nick)
		default:
			p.occupant(e, "%s is here", nick)
		}
	}
}

// occupant prints what is to be said of somebody in a room, unless that is what was said of them last: much of what changes is for
// programs.
func (p *printer) occupant(e *jingledv1.Event, format string, args ...any) {
	text, o := fmt.Sprintf(format, args...), e.GetRoomOccupant()
	who := e.GetPeer() + "/" + o.GetNick()
	if p.said[who] == text {
		return
	}
	delete(p.said, e.GetPeer()+"/"+o.GetRenamedFrom())
	if p.said[who] = text; !o.GetPresent() && !o.GetConnected() {
		delete(p.said, who)
	}
	p.line("%s", text)
}
