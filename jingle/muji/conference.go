package muji

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
)

// MaxParticipants is how many people a mesh takes, ourselves included, if [Config] says nothing else. Everyone sends to
// everyone, so it costs the square of it.
const MaxParticipants = 6

// Config says what a [Conference] is. Able must be set.
type Config struct {
	// Able are our media, the audio first; their payload types are those that we would choose.
	Able []rtp.Capabilities
	// Max is how many participants there may be, ourselves included; 0 stands for [MaxParticipants].
	Max int
	// Patience is how long others may prepare before we go on without them (default 10 s).
	Patience time.Duration
}

// Participant is somebody else in the call.
type Participant struct {
	Nick string
	// JID is who a session is made with: the real address, or that in the room where the room hides it.
	JID      jid.JID
	Contents []jingle.Content
}

// Sends reports whether the participant sends this medium.
func (p Participant) Sends(media string) bool {
	return slices.ContainsFunc(p.Contents, func(c jingle.Content) bool {
		d, ok := c.Description.(rtp.Description)
		return ok && d.Media == media
	})
}

// Effect is something to do or to tell.
type Effect interface{ effect() }

// Announce asks for this in our presence in the room; nil is nothing.
type Announce struct{ Muji *Muji }

// Joined tells that we are in the call, with these contents: sessions have their names and payload types.
type Joined struct{ Contents []jingle.Content }

// Call asks for a session with a participant who was there before us (section 3).
type Call struct{ Participant Participant }

// Appeared tells of a participant, Disappeared of the end of one. Those who were there when we joined are told after
// [Joined].
type Appeared struct{ Participant Participant }

// Disappeared is told when a participant leaves the call or the room: its session ends.
type Disappeared struct{ Participant Participant }

// Full tells that there are too many participants for us to join; nothing more comes.
type Full struct{ Max int }

func (Announce) effect()    {}
func (Joined) effect()      {}
func (Call) effect()        {}
func (Appeared) effect()    {}
func (Disappeared) effect() {}
func (Full) effect()        {}

type stage uint8

const (
	outside    stage = iota
	preparing        // we have said so, and wait for the room to tell it (section 3)
	waiting          // for those who were preparing then
	announcing       // our contents are on their way
	inside
	over
)

// Conference is our part in one call of all with all (section 3), a function of its inputs. Who calls whom follows from
// the order in which the room tells of presences: whoever stands in the call when our contents are told is called by us,
// and everybody later calls us. So no two call each other, however joins cross.
type Conference struct {
	cfg      Config
	stage    stage
	members  map[string]*member
	waitFor  map[string]bool
	contents []jingle.Content // ours
	deadline time.Time
}

type member struct {
	Participant
	preparing bool
	told      bool
}

// New returns a conference that is not joined.
func New(cfg Config) *Conference {
	if cfg.Max <= 0 {
		cfg.Max = MaxParticipants
	}
	if cfg.Patience <= 0 {
		cfg.Patience = 10 * time.Second
	}
	return &Conference{cfg: cfg, members: make(map[string]*member), waitFor: make(map[string]bool)}
}

// Join begins to join, once we are in the room and have seen who else is.
func (c *Conference) Join(now time.Time) []Effect {
	if c.stage != outside {
		return nil
	}
	c.stage, c.deadline = preparing, now.Add(c.cfg.Patience)
	return []Effect{Announce{&Muji{Preparing: true}}}
}

// Leave leaves the call, if we are in it: first our presence, then the sessions (section 4).
func (c *Conference) Leave() []Effect {
	if c.stage == over {
		return nil
	}
	was := c.stage
	c.stage, c.deadline = over, time.Time{}
	if was == outside {
		return nil
	}
	out := []Effect{Announce{}}
	for _, p := range c.Participants() {
		out = append(out, Disappeared{p})
	}
	return out
}

// Participants returns the others in the call, ordered by name.
func (c *Conference) Participants() []Participant {
	var out []Participant
	for _, m := range c.members {
		if len(m.Contents) > 0 {
			out = append(out, m.Participant)
		}
	}
	slices.SortFunc(out, func(a, b Participant) int { return strings.Compare(a.Nick, b.Nick) })
	return out
}

// Inside reports whether we are in the call.
func (c *Conference) Inside() bool { return c.stage == inside }

// Find returns the participant whose session comes from an address: only those are of the conference (section 3).
func (c *Conference) Find(peer jid.JID) (Participant, bool) {
	for _, m := range c.members {
		if m.JID == peer && len(m.Contents) > 0 {
			return m.Participant, true
		}
	}
	return Participant{}, false
}

// Deadline returns when [Conference.Advance] is due, zero for never.
func (c *Conference) Deadline() time.Time { return c.deadline }

// Advance is told the time at or after the deadline: we go on without those who are too slow.
func (c *Conference) Advance(now time.Time) []Effect {
	if c.deadline.IsZero() || now.Before(c.deadline) {
		return nil
	}
	switch c.stage {
	case preparing, waiting:
		clear(c.waitFor)
		c.stage = waiting
		return c.finish(now)
	case announcing:
		return c.joined()
	}
	c.deadline = time.Time{}
	return nil
}

// Self is told of our own presence as the room tells it to everybody.
func (c *Conference) Self(now time.Time, m *Muji) []Effect {
	switch {
	case m == nil:
	case c.stage == preparing && m.Preparing:
		c.stage = waiting
		for nick, other := range c.members {
			if other.preparing {
				c.waitFor[nick] = true
			}
		}
		return c.finish(now)
	case c.stage == announcing && len(m.Contents) > 0:
		return c.joined()
	}
	return nil
}

// Seen is told of another occupant's presence; m is nil if it is not in a call.
func (c *Conference) Seen(now time.Time, nick string, address jid.JID, m *Muji) []Effect {
	if c.stage == over {
		return nil
	}
	if m == nil {
		return c.Gone(now, nick)
	}
	one := c.members[nick]
	if one == nil {
		one = &member{}
		c.members[nick] = one
	}
	one.Nick, one.JID, one.preparing, one.Contents = nick, address, m.Preparing, m.Contents
	if !m.Preparing {
		delete(c.waitFor, nick)
	}
	var out []Effect
	if c.stage == inside {
		out = one.tell(out)
	}
	return append(out, c.finish(now)...)
}

// tell tells of a participant once it is one, and of one that is none any more.
func (m *member) tell(out []Effect) []Effect {
	switch is := len(m.Contents) > 0; {
	case is && !m.told:
		m.told = true
		return append(out, Appeared{m.Participant})
	case !is && m.told:
		m.told = false
		return append(out, Disappeared{m.Participant})
	}
	return out
}

// Gone is told when an occupant has left the room.
func (c *Conference) Gone(now time.Time, nick string) []Effect {
	one := c.members[nick]
	if one == nil || c.stage == over {
		return nil
	}
	delete(c.members, nick)
	delete(c.waitFor, nick)
	var out []Effect
	if one.told {
		out = append(out, Disappeared{one.Participant})
	}
	return append(out, c.finish(now)...)
}

// Renamed is told when an occupant goes on under another name.
func (c *Conference) Renamed(old, nick string) {
	if one := c.members[old]; one != nil {
		delete(c.members, old)
		one.Nick = nick
		c.members[nick] = one
		if c.waitFor[old] {
			delete(c.waitFor, old)
			c.waitFor[nick] = true
		}
	}
}

// finish announces our contents once nobody is waited for any more.
func (c *Conference) finish(now time.Time) []Effect {
	if c.stage != waiting || len(c.waitFor) > 0 {
		return nil
	}
	others := c.Participants()
	if len(others) >= c.cfg.Max {
		c.stage, c.deadline = over, time.Time{}
		return []Effect{Announce{}, Full{c.cfg.Max}}
	}
	c.stage, c.deadline = announcing, now.Add(c.cfg.Patience)
	c.contents = Plan(others, c.cfg.Able)
	return []Effect{Announce{&Muji{Contents: c.contents}}}
}

func (c *Conference) joined() []Effect {
	c.stage, c.deadline = inside, time.Time{}
	out := []Effect{Joined{c.contents}}
	for _, p := range c.Participants() {
		c.members[p.Nick].told = true
		out = append(out, Appeared{p}, Call{p})
	}
	return out
}

// Plan chooses the names and payload types of our contents so that they fit those of the others: one number means the same
// for everybody (section 3).
func Plan(others []Participant, able []rtp.Capabilities) []jingle.Content {
	var out []jingle.Content
	used, names := taken(others)
	for _, can := range able {
		name := cmp.Or(names[can.Media], can.Media)
		d := rtp.Description{Media: can.Media}
		for _, pt := range can.PayloadTypes {
			if id, ok := choose(pt, used); ok {
				pt.ID = id
				used[id] = pt
				pt.Feedback = rtp.Feedback{}
				d.PayloadTypes = append(d.PayloadTypes, pt)
			}
		}
		out = append(out, jingle.Content{Creator: jingle.Initiator, Name: name, Senders: jingle.SendersBoth, Description: d})
	}
	return out
}

// taken returns what the numbers of the others stand for, and the names of their contents by medium; the first one counts. Sound and
// pictures share the numbers, as they may share a transport.
func taken(others []Participant) (used map[uint8]rtp.PayloadType, names map[string]string) {
	used, names = map[uint8]rtp.PayloadType{}, map[string]string{}
	var contents []jingle.Content
	for _, p := range others {
		contents = append(contents, p.Contents...)
	}
	for _, content := range contents {
		d, ok := content.Description.(rtp.Description)
		if !ok || len(d.Categories) > 0 {
			continue
		}
		names[d.Media] = cmp.Or(names[d.Media], content.Name)
		for _, pt := range d.PayloadTypes {
			if _, there := used[pt.ID]; !there {
				used[pt.ID] = pt
			}
		}
	}
	return used, names
}

// choose returns the number of an encoding: that of the others, or the one that we would like, or one that is free.
func choose(pt rtp.PayloadType, used map[uint8]rtp.PayloadType) (uint8, bool) {
	for id, other := range used {
		if same(pt, other) {
			return id, true
		}
	}
	if _, taken := used[pt.ID]; !taken {
		return pt.ID, true
	}
	if pt.ID < 96 {
		return 0, false // static numbers have one meaning (RFC 3551 section 6)
	}
	for id := uint8(127); id >= 96; id-- {
		if _, taken := used[id]; !taken {
			return id, true
		}
	}
	return 0, false
}

func same(a, b rtp.PayloadType) bool {
	x, ok1 := a.Normal()
	y, ok2 := b.Normal()
	return ok1 && ok2 && strings.EqualFold(x.Name, y.Name) && x.Clockrate == y.Clockrate && max(x.Channels, 1) == max(y.Channels, 1)
}

// Text says why we do not join, in a sentence for people.
func (f Full) Text() string {
	return fmt.Sprintf("There are %d people in the call already, and more are not taken.", f.Max)
}
