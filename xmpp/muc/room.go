package muc

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/disco"
)

// Config says which room, and as whom. Room and Nick must be set.
type Config struct {
	Room jid.JID // bare
	Nick string
	// First is tried before Nick, for who enters again and had another name then; "" is none.
	First string
	// Password of the room, or "".
	Password string
	// Extra goes with every presence in the room, e.g. capabilities.
	Extra []*xmltree.Element
	// ShowAddress enters also where everybody sees our real address.
	ShowAddress bool
	// Create makes the room if there is none; otherwise it must be there.
	Create *Creation
	// Patience is how long each step of entering and leaving may take (default 20 s).
	Patience time.Duration
}

// maxNicks is how many names are tried if they are taken.
const maxNicks = 8

type state uint8

const (
	idle state = iota
	asking
	entering
	configuring
	present
	leaving
	left
)

// Room is our part in one room. After [Left] it is of no more use.
type Room struct {
	cfg       Config
	state     state
	nick      string
	tries     int
	info      Info
	created   bool
	occupants map[string]Occupant
	deadline  time.Time
	asked     int
	awaiting  string // the request whose reply the state waits for
	grants    map[string]bool
}

// New returns a room that is not entered yet.
func New(cfg Config) (*Room, error) {
	if !cfg.Room.IsBare() || cfg.Room.Local() == "" {
		return nil, fmt.Errorf("muc: %q is not the address of a room, such as talk@rooms.example.org", cfg.Room)
	}
	if _, ok := occupant(cfg.Room, cfg.Nick); !ok {
		return nil, fmt.Errorf("muc: %q cannot be a nickname", cfg.Nick)
	}
	if cfg.Patience <= 0 {
		cfg.Patience = 20 * time.Second
	}
	nick := cfg.Nick
	if _, ok := occupant(cfg.Room, cfg.First); ok {
		nick = cfg.First
	}
	return &Room{cfg: cfg, nick: nick, occupants: make(map[string]Occupant), grants: make(map[string]bool)}, nil
}

// Address returns the room's.
func (r *Room) Address() jid.JID { return r.cfg.Room }

// Nick returns the name that we have, or would like, in the room.
func (r *Room) Nick() string { return r.nick }

// Self returns our address in the room.
func (r *Room) Self() jid.JID {
	j, _ := occupant(r.cfg.Room, r.nick)
	return j
}

// Info returns what the room has said of itself.
func (r *Room) Info() Info { return r.info }

// Inside reports whether we are in the room.
func (r *Room) Inside() bool { return r.state == present }

// Over reports whether [Left] was told.
func (r *Room) Over() bool { return r.state == left }

// Occupants returns who is in the room, ourselves included, ordered by name.
func (r *Room) Occupants() []Occupant {
	out := make([]Occupant, 0, len(r.occupants))
	for _, o := range r.occupants {
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b Occupant) int {
		if a.Nick < b.Nick {
			return -1
		}
		return 1
	})
	return out
}

// Occupant returns one of them by name.
func (r *Room) Occupant(nick string) (Occupant, bool) {
	o, ok := r.occupants[nick]
	return o, ok
}

// Deadline returns when [Room.Advance] is due, zero for never.
func (r *Room) Deadline() time.Time { return r.deadline }

var errState = errors.New("muc: not in the room")

// Join begins to enter.
func (r *Room) Join(now time.Time) []Effect {
	if r.state != idle {
		return nil
	}
	r.to(asking, now)
	return []Effect{r.ask(r.cfg.Room, "get", xmltree.New(disco.NSInfo, "query"))}
}

// to changes the state, and gives it its time.
func (r *Room) to(s state, now time.Time) {
	r.state, r.deadline = s, now.Add(r.cfg.Patience)
	if s == idle || s == present || s == left {
		r.deadline = time.Time{}
	}
}

func (r *Room) ask(to jid.JID, typ string, payload *xmltree.Element) Ask {
	r.asked++
	r.awaiting = "muc" + strconv.Itoa(r.asked)
	return Ask{ID: r.awaiting, To: to, Type: typ, Payload: payload}
}

func (r *Room) end(l Left) []Effect {
	r.state, r.deadline = left, time.Time{}
	clear(r.occupants)
	return []Effect{l}
}

// enter sends the presence that enters, under the name in turn.
func (r *Room) enter(now time.Time) []Effect {
	r.to(entering, now)
	clear(r.occupants)
	return []Effect{Send{presence(r.Self(), "", append([]*xmltree.Element{join(r.cfg.Password)}, r.cfg.Extra...)...)}}
}

// Update changes what goes with our presence.
func (r *Room) Update(extra ...*xmltree.Element) ([]Effect, error) {
	if r.state != present {
		r.cfg.Extra = extra
		return nil, errState
	}
	r.cfg.Extra = extra
	return []Effect{Send{presence(r.Self(), "", extra...)}}, nil
}

// Leave goes out of the room. The end is told by [Left].
func (r *Room) Leave(now time.Time) []Effect {
	switch r.state {
	case left, leaving:
		return nil
	case idle, asking:
		return r.end(Left{Cause: ByUs})
	}
	r.to(leaving, now)
	return []Effect{Send{presence(r.Self(), "unavailable")}}
}

// Grant gives people an affiliation, such as member (section 9.3), each by a request of its own, as Prosody takes one at a
// time. The outcome is told by [Granted] with the id of the [Ask].
func (r *Room) Grant(affiliation string, people ...jid.JID) ([]Effect, error) {
	if r.state != present {
		return nil, errState
	}
	var out []Effect
	for _, p := range people {
		out = append(out, r.request(xmltree.New(NSAdmin, "query").
			Add(xmltree.New(NSAdmin, "item").Set("affiliation", affiliation).Set("jid", p.Bare().String()))))
	}
	return out, nil
}

// request asks the room for something that the state does not wait for.
func (r *Room) request(payload *xmltree.Element) Ask {
	a := r.ask(r.cfg.Room, "set", payload)
	r.grants[a.ID], r.awaiting = true, ""
	return a
}

// Destroy ends the room for all (section 10.9).
func (r *Room) Destroy(reason string) ([]Effect, error) {
	if r.state != present {
		return nil, errState
	}
	d := xmltree.New(NSOwner, "destroy")
	if reason != "" {
		d.Add(xmltree.New(NSOwner, "reason").AddText(reason))
	}
	return []Effect{r.request(xmltree.New(NSOwner, "query").Add(d))}, nil
}

// Advance is told the time at or after the deadline.
func (r *Room) Advance(now time.Time) []Effect {
	if r.deadline.IsZero() || now.Before(r.deadline) {
		return nil
	}
	if r.state == leaving {
		return r.end(Left{Cause: ByUs})
	}
	out := []Effect{}
	if r.state != asking {
		out = append(out, Send{presence(r.Self(), "unavailable")})
	}
	return append(out, r.end(Left{Cause: NoAnswer})...)
}

// Replied is told the outcome of an [Ask].
func (r *Room) Replied(now time.Time, id string, payload *xmltree.Element, err error) []Effect {
	if r.grants[id] {
		delete(r.grants, id)
		return []Effect{Granted{id, err}}
	}
	if id != r.awaiting {
		return nil
	}
	r.awaiting = ""
	switch r.state {
	case asking:
		return r.known(now, payload, err)
	case configuring:
		return r.configured(now, payload, err)
	}
	return nil
}

// known follows what the room has said of itself.
func (r *Room) known(now time.Time, payload *xmltree.Element, err error) []Effect {
	var se *jingle.StanzaError
	switch {
	case err == nil && payload != nil:
		info, err := disco.ParseInfo(payload)
		if err != nil {
			return r.end(Left{Cause: Refused, Err: jingle.ErrBadRequest("%v", err)})
		}
		r.info = ParseInfo(info)
		if r.info.NonAnonymous && !r.cfg.ShowAddress {
			return r.end(Left{Cause: ShowsAddresses})
		}
	case errors.As(err, &se) && se.Condition == "item-not-found":
		if r.cfg.Create == nil {
			return r.end(Left{Cause: NoRoom})
		}
	case errors.As(err, &se):
		if se.Condition == "remote-server-not-found" || se.Condition == "remote-server-timeout" || se.Condition == "gone" ||
			!r.cfg.ShowAddress {
			// What the room does not tell may be that it shows addresses.
			return r.end(Left{Cause: Refused, Err: se})
		}
	default:
		return r.end(Left{Cause: NoAnswer})
	}
	return r.enter(now)
}

// configured follows the form of a new room, and that it was taken.
func (r *Room) configured(now time.Time, payload *xmltree.Element, err error) []Effect {
	if err != nil {
		out := []Effect{Send{presence(r.Self(), "unavailable")}}
		var se *jingle.StanzaError
		_ = errors.As(err, &se)
		return append(out, r.end(Left{Cause: NotSetUp, Err: se})...)
	}
	if payload != nil { // the form
		return []Effect{r.ask(r.cfg.Room, "set", r.cfg.Create.fill(payload.Child(disco.NSData, "x")))}
	}
	if r.cfg.Create != nil {
		r.info.NonAnonymous, r.info.MembersOnly = r.cfg.Create.NonAnonymous, r.cfg.Create.MembersOnly
	}
	return r.inside(now)
}

func (r *Room) inside(now time.Time) []Effect {
	r.to(present, now)
	out := []Effect{Entered{Nick: r.nick, Created: r.created, Info: r.info}}
	for _, o := range r.Occupants() {
		out = append(out, Present{Occupant: o, New: true, Self: o.Nick == r.nick})
	}
	return out
}

// Receive takes a presence or a message from the room. What is none is passed over.
func (r *Room) Receive(now time.Time, e *xmltree.Element) []Effect {
	from, err := jid.Parse(e.Attr("from"))
	if err != nil || from.Bare() != r.cfg.Room || r.state == idle || r.state == asking || r.state == left {
		return nil
	}
	switch {
	case e.Name.Local == "message" && e.Attr("type") == "groupchat" && from.IsBare():
		return r.changed(readUser(e, from))
	case e.Name.Local != "presence":
		return nil
	}
	switch e.Attr("type") {
	case "error":
		return r.refused(now, from, e)
	case "unavailable":
		return r.gone(readUser(e, from))
	case "":
		return r.here(now, readUser(e, from))
	}
	return nil
}

// refused follows an error to our presence.
func (r *Room) refused(now time.Time, from jid.JID, e *xmltree.Element) []Effect {
	se := &jingle.StanzaError{Type: "cancel", Condition: "undefined-condition"}
	if x := e.Child(nsClient, "error"); x != nil {
		se = jingle.ParseStanzaError(x)
	}
	if r.state != entering || !from.IsBare() && from != r.Self() {
		return nil
	}
	if se.Condition == "conflict" && r.tries < maxNicks {
		// Section 7.2.8: another name may be free.
		if r.nick == r.cfg.First && r.cfg.First != r.cfg.Nick {
			r.nick, r.cfg.First = r.cfg.Nick, ""
			return r.enter(now)
		}
		r.tries++
		r.nick = fmt.Sprintf("%s %d", r.cfg.Nick, r.tries+1)
		return r.enter(now)
	}
	return r.end(Left{Cause: Refused, Err: se})
}

// here follows the presence of somebody.
func (r *Room) here(now time.Time, u user) []Effect {
	nick := u.occupant.Nick
	// Older services do not mark our own (section 7.2.2), but it has our name.
	self := u.statuses[statusSelf] || nick == r.nick && r.state == entering
	if nick == "" {
		return nil
	}
	_, known := r.occupants[nick]
	if !known && len(r.occupants) >= maxOccupants && !self {
		return nil
	}
	if self && (nick == r.nick || u.statuses[statusNickGiven]) {
		r.nick = nick
	}
	r.occupants[nick] = u.occupant
	if u.statuses[statusNonAnonymous] {
		r.info.NonAnonymous = true
	}
	switch {
	case r.state == present:
		out := []Effect{Present{Occupant: u.occupant, New: !known, Self: nick == r.nick}}
		return append(out, r.shown()...)
	case !self || r.state != entering:
		return nil // told when we are in
	case u.statuses[statusCreated]:
		if r.cfg.Create == nil {
			// It was gone between the question and our entering.
			return append([]Effect{Send{presence(r.Self(), "unavailable")}}, r.end(Left{Cause: NoRoom})...)
		}
		r.created = true
		r.to(configuring, now)
		if *r.cfg.Create == (Creation{}) {
			return []Effect{r.ask(r.cfg.Room, "set", r.cfg.Create.fill(nil))}
		}
		return []Effect{r.ask(r.cfg.Room, "get", xmltree.New(NSOwner, "query"))}
	}
	if out := r.shown(); out != nil {
		return out
	}
	return r.inside(now)
}

// shown leaves a room that has begun to show addresses, unless ours may be shown.
func (r *Room) shown() []Effect {
	if !r.info.NonAnonymous || r.cfg.ShowAddress || r.created {
		return nil
	}
	return append([]Effect{Send{presence(r.Self(), "unavailable")}}, r.end(Left{Cause: ShowsAddresses})...)
}

// changed follows a change of the room itself, which it tells of in its own name (section 10.2.1).
func (r *Room) changed(u user) []Effect {
	if u.statuses[statusNowSemiAnonymous] || u.statuses[statusNowAnonymous] {
		r.info.NonAnonymous = false
	}
	if !u.statuses[statusNowNonAnonymous] {
		return nil
	}
	r.info.NonAnonymous = true
	if r.cfg.ShowAddress || r.created && r.cfg.Create.NonAnonymous || r.state == leaving {
		return nil
	}
	return append([]Effect{Send{presence(r.Self(), "unavailable")}}, r.end(Left{Cause: ShowsAddresses})...)
}

// gone follows the end of somebody's presence.
func (r *Room) gone(u user) []Effect {
	nick := u.occupant.Nick
	self := u.statuses[statusSelf] || nick == r.nick
	if u.destroy != nil && (self || nick == "") {
		return r.end(Left{Cause: RoomDestroyed, Reason: u.destroy.Reason, Alternate: u.destroy.Alternate})
	}
	if u.statuses[statusRenamed] && u.newNick != "" {
		if _, ok := occupant(r.cfg.Room, u.newNick); !ok {
			return nil
		}
		old, known := r.occupants[nick]
		delete(r.occupants, nick)
		if self {
			r.nick = u.newNick
		}
		if !known {
			return nil
		}
		moved := old
		moved.Nick = u.newNick
		r.occupants[u.newNick] = moved
		if r.state != present || self {
			return nil
		}
		return []Effect{Gone{Occupant: old, Renamed: u.newNick}}
	}
	if self {
		return r.end(Left{Cause: r.causeOf(u), By: u.actor, Reason: u.reason})
	}
	old, known := r.occupants[nick]
	delete(r.occupants, nick)
	if !known || r.state != present {
		return nil
	}
	return []Effect{Gone{Occupant: old, PutOut: r.causeOf(u) != ServiceStopped}}
}

func (r *Room) causeOf(u user) Cause {
	switch {
	case u.statuses[statusBanned]:
		return Banned
	case u.statuses[statusFault], u.statuses[statusShutdown]:
		return ServiceStopped
	case u.statuses[statusKicked]:
		return Kicked
	case u.statuses[statusAffiliation], u.statuses[statusMembersOnly]:
		return NotMember
	case r.state == leaving:
		return ByUs
	}
	return ServiceStopped
}
