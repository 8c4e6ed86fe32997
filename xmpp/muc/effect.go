package muc

import (
	"fmt"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// Effect is something to do or to tell, in the order of the list it came in.
type Effect interface{ effect() }

// Send is a stanza to send.
type Send struct{ Stanza *xmltree.Element }

// Ask is a request to send; its outcome goes to [Room.Replied] with the same ID.
type Ask struct {
	ID      string
	To      jid.JID
	Type    string // get or set
	Payload *xmltree.Element
}

// Entered tells that we are in the room.
type Entered struct {
	Nick    string // the name that we have got
	Created bool   // by our entering
	Info    Info
}

// Present tells of an occupant: a new one, or one whose presence has changed. Our own is told too, after Entered.
type Present struct {
	Occupant Occupant
	New      bool
	Self     bool
}

// Gone tells that another occupant has left. Renamed is the new name of somebody who goes on under it; PutOut says that
// somebody has put them out, or that they may not be there any more.
type Gone struct {
	Occupant Occupant
	Renamed  string
	PutOut   bool
}

// Granted tells that affiliations were given, or not.
type Granted struct {
	ID  string
	Err error
}

// Cause is why we are not in a room.
type Cause uint8

// The causes.
const (
	ByUs           Cause = iota + 1 // we have left
	Kicked                          // section 8.2
	Banned                          // section 9.1
	NotMember                       // we are no member any more, or the room has become one for members (sections 9.4, 10.2)
	RoomDestroyed                   // section 10.9
	ServiceStopped                  // the service goes down (section 15.6.2), or has had a fault
	Refused                         // the room does not let us in
	NoRoom                          // there is no such room
	ShowsAddresses                  // everybody would see our address, and we may not show it
	NoAnswer                        // the service does not answer
	NotSetUp                        // we have made the room, but it cannot be what it is to be
	Disconnected                    // our own connection to the server is lost
	cannotHappen
)

func (c Cause) String() string {
	if c == 0 || c >= cannotHappen {
		return "unknown"
	}
	return [...]string{"us", "kicked", "banned", "not a member", "destroyed", "service", "refused", "no room",
		"addresses", "no answer", "not set up", "disconnected"}[c-1]
}

// Left is the last effect: we are not in the room.
type Left struct {
	Cause     Cause
	By        string // who has done it, or ""
	Reason    string // what they say, or ""
	Alternate jid.JID
	Err       *jingle.StanzaError // of Refused
}

// Text says it in a sentence for people.
func (l Left) Text() string {
	text := l.sentence()
	if l.Reason != "" {
		text += fmt.Sprintf(" The reason given: %s", l.Reason)
	}
	if l.Alternate != "" {
		text += fmt.Sprintf(" It goes on in %s.", l.Alternate)
	}
	return text
}

func (l Left) sentence() string {
	by := ""
	if l.By != "" {
		by = " by " + l.By
	}
	switch l.Cause {
	case ByUs:
		return "We have left the room."
	case Kicked:
		return fmt.Sprintf("We were put out of the room%s.", by)
	case Banned:
		return fmt.Sprintf("We were banned from the room%s.", by)
	case NotMember:
		return "The room is for members only, and we are none any more."
	case RoomDestroyed:
		return "The room is no more."
	case ServiceStopped:
		return "The service of the room has stopped."
	case NoRoom:
		return "There is no such room."
	case ShowsAddresses:
		return "Everybody in this room sees the address of everybody else, and ours may be shown only if you say so."
	case NoAnswer:
		return "The service of the room does not answer."
	case NotSetUp:
		return "The room could not be set up as it was wanted."
	case Disconnected:
		return "The connection to the server was lost."
	}
	return refusal(l.Err)
}

// refusal says what the error of an entering means (section 7.2).
func refusal(e *jingle.StanzaError) string {
	condition := ""
	if e != nil {
		condition = e.Condition
	}
	text := map[string]string{
		"not-authorized":          "The room wants a password, and ours is none or wrong.",
		"forbidden":               "We are banned from the room.",
		"item-not-found":          "There is no such room, or it is not open yet.",
		"not-allowed":             "Rooms may not be made there by us.",
		"not-acceptable":          "The room wants the nickname that is registered for us.",
		"registration-required":   "The room is for members only: somebody in it has to invite us.",
		"conflict":                "Our nickname is taken by somebody else.",
		"service-unavailable":     "The room is full, or there is no such service.",
		"remote-server-not-found": "The server of the room cannot be found.",
		"remote-server-timeout":   "The server of the room does not answer.",
		"resource-constraint":     "The room or its server takes no more.",
		"gone":                    "The room is no more.",
		"jid-malformed":           "The room does not take this nickname.",
	}[condition]
	if text == "" {
		text = fmt.Sprintf("The room does not let us in (%s).", condition)
	}
	return text
}

func (Send) effect()    {}
func (Ask) effect()     {}
func (Entered) effect() {}
func (Present) effect() {}
func (Gone) effect()    {}
func (Granted) effect() {}
func (Left) effect()    {}
