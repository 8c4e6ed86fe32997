package muc

import (
	"strconv"
	"unicode/utf8"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// The bounds of what a room can make us hold.
const (
	maxOccupants = 1000
	maxText      = 1024 // bytes of what others write for people
	maxStatuses  = 32
)

// Occupant is somebody in a room.
type Occupant struct {
	Nick string
	// JID is the real address, empty where the room does not tell it to us.
	JID jid.JID
	// Affiliation is owner, admin, member, outcast or none, and Role moderator, participant, visitor or none (section 5).
	Affiliation, Role string
	// Presence is the whole stanza; it must not be changed.
	Presence *xmltree.Element
}

// The status codes of section 15.6 that matter here.
const (
	statusNonAnonymous = 100
	statusSelf         = 110

	statusNowNonAnonymous  = 172
	statusNowSemiAnonymous = 173
	statusNowAnonymous     = 174

	statusCreated     = 201
	statusNickGiven   = 210
	statusBanned      = 301
	statusRenamed     = 303
	statusKicked      = 307
	statusAffiliation = 321
	statusMembersOnly = 322
	statusShutdown    = 332
	statusFault       = 333
)

// user is what a room adds to a presence (section 7.2.2).
type user struct {
	occupant Occupant
	newNick  string
	actor    string // who has done it, a nickname or an address
	reason   string
	statuses map[int]bool
	destroy  *Destroyed
}

// Destroyed says that a room is no more (section 10.9).
type Destroyed struct {
	Alternate jid.JID // where to go instead, or ""
	Reason    string
}

func readUser(e *xmltree.Element, from jid.JID) user {
	u := user{occupant: Occupant{Nick: from.Resource(), Presence: e}, statuses: make(map[int]bool)}
	for x := range e.Elements() {
		if !x.Is(NSUser, "x") {
			continue
		}
		for c := range x.Elements() {
			switch {
			case c.Is(NSUser, "item"):
				u.occupant.Affiliation, u.occupant.Role = clip(c.Attr("affiliation")), clip(c.Attr("role"))
				u.occupant.JID, _ = jid.Parse(c.Attr("jid"))
				u.newNick, u.reason = c.Attr("nick"), clip(c.ChildText(NSUser, "reason"))
				if a := c.Child(NSUser, "actor"); a != nil {
					if u.actor = clip(a.Attr("nick")); u.actor == "" {
						u.actor = clip(a.Attr("jid"))
					}
				}
			case c.Is(NSUser, "status"):
				if n, err := strconv.Atoi(c.Attr("code")); err == nil && len(u.statuses) < maxStatuses {
					u.statuses[n] = true
				}
			case c.Is(NSUser, "destroy"):
				u.destroy = &Destroyed{Reason: clip(c.ChildText(NSUser, "reason"))}
				u.destroy.Alternate, _ = jid.Parse(c.Attr("jid"))
			}
		}
	}
	return u
}

// clip bounds what others write.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	s = s[:maxText]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}

// presence to a room or an occupant of it; typ is "" or "unavailable".
func presence(to jid.JID, typ string, extra ...*xmltree.Element) *xmltree.Element {
	e := xmltree.New(nsClient, "presence").Set("to", to.String()).SetOpt("type", typ)
	for _, x := range extra {
		e.Add(x.Clone())
	}
	return e
}

// join is what marks a presence as one that enters (section 7.2.1). Nothing of what was said before is wanted.
func join(password string) *xmltree.Element {
	x := xmltree.New(NS, "x").Add(xmltree.New(NS, "history").Set("maxstanzas", "0"))
	if password != "" {
		x.Add(xmltree.New(NS, "password").AddText(password))
	}
	return x
}

// occupant returns the address of somebody in a room, and false if the name cannot be one.
func occupant(room jid.JID, nick string) (jid.JID, bool) {
	j, err := jid.Parse(room.String() + "/" + nick)
	return j, err == nil && nick != ""
}
