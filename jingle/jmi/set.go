package jmi

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// Config says who we are and how long we wait. Zero durations and counts mean the defaults.
type Config struct {
	// Self is our full JID.
	Self jid.JID
	// NoCarbons says that our devices do not get copies of what we send (XEP-0280), and are told what they need to know.
	NoCarbons bool
	// Discovery is how long a device of the peer may take to react before [Unreached] says so (default 12 s).
	Discovery time.Duration
	// Unanswered is how long our proposal stands (default 60 s).
	Unanswered time.Duration
	// Ringing is how long we ring (default 60 s); the caller usually retracts before.
	Ringing time.Duration
	// Initiation is how long after our proceed we wait for the session-initiate (default 15 s, as Monal).
	Initiation time.Duration
	// Stale is the age from which a proposal does not ring (default 60 s, as Monal).
	Stale time.Duration
	// MaxOffered bounds the proposals of peers that wait for an answer (default 32), MaxPerPeer those of one peer
	// (default 4). More are dropped without a word.
	MaxOffered, MaxPerPeer int
}

func (c Config) withDefaults() Config {
	c.Discovery = cmp.Or(c.Discovery, 12*time.Second)
	c.Unanswered = cmp.Or(c.Unanswered, time.Minute)
	c.Ringing = cmp.Or(c.Ringing, time.Minute)
	c.Initiation = cmp.Or(c.Initiation, 15*time.Second)
	c.Stale = cmp.Or(c.Stale, time.Minute)
	c.MaxOffered = cmp.Or(c.MaxOffered, 32)
	c.MaxPerPeer = cmp.Or(c.MaxPerPeer, 4)
	return c
}

// Errors of the commands of a [Set].
var (
	// ErrUnknown is returned for a proposal that does not exist or has ended.
	ErrUnknown = errors.New("no such call proposal, or it has ended")
	// ErrState is wrapped where a command does not fit the state of its proposal.
	ErrState = errors.New("not possible in this state of the call proposal")
)

// maxEnded bounds the memory of proposals that have ended, whose late messages must not ring.
const maxEnded = 256

// Set is all proposals of an account. It is a function of its inputs; one goroutine at a time may use it.
type Set struct {
	cfg        Config
	live       map[Key]*Proposal
	order      []*Proposal // of live, by age, so that effects come in a fixed order
	ended      []Key       // the last maxEnded
	catchingUp bool
}

// NewSet returns an empty set.
func NewSet(cfg Config) *Set {
	return &Set{cfg: cfg.withDefaults(), live: make(map[Key]*Proposal)}
}

// Get returns a proposal that has not ended, or nil.
func (s *Set) Get(k Key) *Proposal { return s.live[k] }

// Expects reports whether we have accepted a proposal of this device, and wait for its session-initiate with this id.
func (s *Set) Expects(from jid.JID, sid string) bool {
	p := s.live[Key{from.Bare(), sid}]
	return p != nil && p.role == jingle.Responder && p.state == StateProceeding && p.peer == from
}

// Over reports whether a proposal has ended, among the last 256: no session begins for it any more.
func (s *Set) Over(k Key) bool { return slices.Contains(s.ended, k) }

// Deadline is when [Set.Advance] has something to do, and zero if it has not.
func (s *Set) Deadline() time.Time {
	var first time.Time
	for _, p := range s.order {
		if d := p.deadline(); !d.IsZero() && (first.IsZero() || d.Before(first)) {
			first = d
		}
	}
	return first
}

// Advance tells the time.
func (s *Set) Advance(now time.Time) []Effect {
	var out []Effect
	for _, p := range slices.Clone(s.order) {
		out = append(out, s.settle(p, p.advance(now))...)
	}
	return out
}

// CatchUp says that a catch-up has begun or ended: the messages of a resumed stream or of an archive come in together,
// and a proposal may be followed by its retraction. Proposals are offered when it ends, if they still stand (section 5).
func (s *Set) CatchUp(now time.Time, going bool) []Effect {
	s.catchingUp = going
	var out []Effect
	for _, p := range slices.Clone(s.order) {
		if p.held && !going {
			p.held = false
			out = append(out, p.offer(""))
		}
	}
	return out
}

// Propose starts a call: id is a fresh random one (UUIDv4), and becomes that of the Jingle session.
func (s *Set) Propose(now time.Time, peer jid.JID, id string, ds ...jingle.Payload) ([]Effect, error) {
	k := Key{peer.Bare(), id}
	switch {
	case id == "" || len(id) > maxID || len(ds) == 0 || len(ds) > maxDescriptions:
		return nil, fmt.Errorf("jmi: a proposal has an id of 1 to %d bytes and 1 to %d descriptions", maxID, maxDescriptions)
	case k.Peer == "" || k.Peer == s.cfg.Self.Bare():
		return nil, fmt.Errorf("jmi: %q cannot be called", peer)
	case s.live[k] != nil:
		return nil, fmt.Errorf("jmi: %s: %w", k, ErrState)
	}
	p := &Proposal{cfg: &s.cfg, key: k, role: jingle.Initiator, peer: k.Peer, desc: ds}
	s.add(p)
	return p.propose(now), nil
}

// Ring is the decision to ask the user about a proposal: the caller is told that we ring. As this tells that we are
// here, it needs the user's permission for callers who do not see our presence (section 6).
func (s *Set) Ring(now time.Time, k Key) ([]Effect, error) {
	p, err := s.in(k, jingle.Responder, StateOffered)
	if err != nil {
		return nil, err
	}
	return p.ring(now), nil
}

// Accept is the decision to take a call here. extra goes into the proceed, e.g. a <device/>.
func (s *Set) Accept(now time.Time, k Key, extra ...*xmltree.Element) ([]Effect, error) {
	p, err := s.in(k, jingle.Responder, StateOffered, StateRinging)
	if err != nil {
		return nil, err
	}
	var out []Effect
	if old := s.live[Key{k.Peer, p.replaces}]; p.replaces != "" && old != nil {
		out = s.settle(old, old.migrate(k.ID))
	}
	return append(out, p.accept(now, extra)...), nil
}

// Started says that there is a Jingle session now: we have sent or received the session-initiate. From then on the
// proposal has no deadline; when the session ends, [Set.End] tells all devices.
func (s *Set) Started(k Key) error {
	p := s.live[k]
	if p == nil {
		return fmt.Errorf("jmi: %s: %w", k, ErrUnknown)
	}
	if p.state != StateProceeding {
		return fmt.Errorf("jmi: %s is %s: %w", k, p.state, ErrState)
	}
	p.started()
	return nil
}

// End ends a proposal from our side, by retract, reject or finish, as its state demands. A nil reason is the default of
// the XEP, which gives nothing away.
func (s *Set) End(now time.Time, k Key, reason *jingle.Reason) ([]Effect, error) {
	p := s.live[k]
	if p == nil {
		return nil, fmt.Errorf("jmi: %s: %w", k, ErrUnknown)
	}
	return s.settle(p, p.hangUp(reason)), nil
}

func (s *Set) in(k Key, role jingle.Role, states ...State) (*Proposal, error) {
	p := s.live[k]
	if p == nil {
		return nil, fmt.Errorf("jmi: %s: %w", k, ErrUnknown)
	}
	if p.role != role || p.held || !slices.Contains(states, p.state) {
		return nil, fmt.Errorf("jmi: %s is %s: %w", k, p.state, ErrState)
	}
	return p, nil
}

// Receive takes a message stanza.
func (s *Set) Receive(now time.Time, in Inbound) []Effect {
	own := in.From.Bare() == s.cfg.Self.Bare()
	switch {
	case in.From == "" || in.From == s.cfg.Self:
		// Our own accept comes back to us, as it goes to our bare JID.
		return nil
	case in.Error != nil || in.Receipt != "" && in.Message == nil:
		return s.receiveReply(in)
	case in.Message == nil:
		return nil
	case own:
		return s.receiveOwn(in)
	case !in.To.IsBare() && in.To != s.cfg.Self:
		// A copy of what was for another device of ours.
		return nil
	}
	k := Key{in.From.Bare(), in.Message.ID}
	if in.Message.Kind == Propose {
		return s.receivePropose(now, k, in)
	}
	p := s.live[k]
	if p == nil {
		if in.Message.Kind == Retract || in.Message.Kind == Finish {
			// An archive need not be in order: what has been retracted must not ring later.
			s.remember(k)
		}
		return nil
	}
	if s.stale(now, in) && !ends(in.Message.Kind) {
		return nil
	}
	return s.settle(p, p.fromPeer(in))
}

func ends(k Kind) bool { return k == Retract || k == Reject || k == Finish }

func (s *Set) stale(now time.Time, in Inbound) bool {
	return in.Archived || !in.Sent.IsZero() && now.Sub(in.Sent) > s.cfg.Stale
}

func (s *Set) receiveReply(in Inbound) []Effect {
	id, isError := in.Receipt, in.Error != nil
	if isError {
		id = in.StanzaID
	}
	sid, ok := strings.CutPrefix(id, "jm-propose-")
	p := s.live[Key{in.From.Bare(), sid}]
	switch {
	case !ok || p == nil:
		return nil
	case isError:
		return s.settle(p, p.bounced(in.From, in.Error))
	}
	return p.receipt(in.From)
}

// receiveOwn takes what another device of ours has sent: to the peer, as a carbon, or to our bare JID.
func (s *Set) receiveOwn(in Inbound) []Effect {
	if peer := in.To.Bare(); peer != s.cfg.Self.Bare() {
		k := Key{peer, in.Message.ID}
		if p := s.live[k]; p != nil {
			return s.settle(p, p.fromOwnDevice(in.Message))
		}
		if in.Message.Kind != Propose {
			s.remember(k)
		}
		return nil
	}
	// To our bare JID, so it does not tell the peer.
	var out []Effect
	for _, p := range slices.Clone(s.order) {
		if p.key.ID == in.Message.ID {
			out = append(out, s.settle(p, p.fromOwnDevice(in.Message))...)
		}
	}
	return out
}

func (s *Set) receivePropose(now time.Time, k Key, in Inbound) []Effect {
	m := in.Message
	if in.From.IsBare() || s.Over(k) {
		return nil
	}
	if s.stale(now, in) {
		if s.live[k] != nil {
			return nil
		}
		return []Effect{Stale{k, m.Descriptions, in.Sent}}
	}
	p := &Proposal{
		cfg: &s.cfg, key: k, role: jingle.Responder, state: StateOffered, peer: in.From, desc: m.Descriptions,
		held: s.catchingUp, endAt: now.Add(s.cfg.Ringing),
	}
	if in.WantsReceipt {
		p.receiptFor = in.StanzaID
	}
	// The same proposal again, or the id of a call that is on.
	if known := s.live[k]; known != nil && (known.role == jingle.Responder || !known.undecided()) {
		return nil
	}
	if ours := s.crossing(p); ours != nil {
		return s.tieBreak(ours, p)
	}
	if s.live[k] != nil || !s.room(k.Peer) {
		return nil
	}
	if old := s.running(p); old != nil {
		return s.succeed(now, old, p)
	}
	s.add(p)
	if p.held {
		return nil
	}
	return []Effect{p.offer("")}
}

// crossing returns our own proposal to the same peer that nobody has taken, and that is about the same kind of thing.
func (s *Set) crossing(theirs *Proposal) *Proposal {
	if p := s.live[theirs.key]; p != nil && p.alike(theirs) {
		return p
	}
	for _, p := range s.order {
		if p.role == jingle.Initiator && p.undecided() && p.key.Peer == theirs.key.Peer && p.alike(theirs) {
			return p
		}
	}
	return nil
}

// tieBreak is section 4.1: the lower id wins, and if they are the same, the lower JID.
func (s *Set) tieBreak(ours, theirs *Proposal) []Effect {
	if known := s.live[theirs.key]; known != nil && known != ours {
		return nil
	}
	order := strings.Compare(theirs.key.ID, ours.key.ID)
	if order == 0 {
		order = strings.Compare(theirs.peer.String(), s.cfg.Self.String())
	}
	r := &jingle.Reason{Condition: jingle.Expired}
	if order >= 0 {
		if theirs.key == ours.key {
			return nil // a reject of theirs would read like one of ours
		}
		reject := theirs.message(Reject, theirs.peer, r)
		reject.Message.TieBreak = true
		s.remember(theirs.key)
		return []Effect{reject}
	}
	var out []Effect
	if theirs.key != ours.key {
		retract := ours.message(Retract, ours.key.Peer, r)
		retract.Message.TieBreak = true
		out = append(out, retract)
	}
	e := ours.end(ByTieBreak, r)
	e.Successor = theirs.key.ID
	out = append(out, s.settle(ours, []Effect{e})...)
	theirs.held = false
	s.add(theirs)
	return append(out, theirs.offer(ours.key.ID))
}

// running returns a session with the same peer that is about the same kind of thing.
func (s *Set) running(theirs *Proposal) *Proposal {
	for _, p := range s.order {
		if (p.state == StateLive || p.state == StateProceeding) && p.key.Peer == theirs.key.Peer && p.alike(theirs) {
			return p
		}
	}
	return nil
}

// succeed is section 4.2. The new session is accepted without asking if it has no medium that the old one has not; else
// the user is asked, and the old one stays until the answer is yes.
func (s *Set) succeed(now time.Time, old, p *Proposal) []Effect {
	p.held = false
	s.add(p)
	had := media(old.desc)
	for _, m := range media(p.desc) {
		if !slices.Contains(had, m) {
			p.replaces = old.key.ID
			return []Effect{p.offer("")}
		}
	}
	out := s.settle(old, old.migrate(p.key.ID))
	out = append(out, p.accept(now, nil)...)
	return append(out, Migrated{Old: old.key, New: p.key, From: p.peer, Descriptions: p.desc})
}

// alike reports whether two proposals share a kind of application.
func (p *Proposal) alike(o *Proposal) bool {
	for _, a := range p.desc {
		for _, b := range o.desc {
			if jingle.NSOf(a) == jingle.NSOf(b) {
				return true
			}
		}
	}
	return false
}

func (p *Proposal) offer(crossed string) Offered {
	return Offered{Key: p.key, From: p.peer, Descriptions: p.desc, Crossed: crossed, Replaces: p.replaces}
}

// room reports whether one more proposal of this peer is taken.
func (s *Set) room(peer jid.JID) bool {
	all, same := 0, 0
	for _, p := range s.order {
		if p.role == jingle.Responder && p.undecided() {
			all++
			if p.key.Peer == peer {
				same++
			}
		}
	}
	return all < s.cfg.MaxOffered && same < s.cfg.MaxPerPeer
}

func (s *Set) add(p *Proposal) {
	s.live[p.key] = p
	s.order = append(s.order, p)
}

// settle forgets a proposal that has ended, and returns its effects.
func (s *Set) settle(p *Proposal, out []Effect) []Effect {
	if p.state != StateEnded {
		return out
	}
	delete(s.live, p.key)
	s.order = slices.DeleteFunc(s.order, func(o *Proposal) bool { return o == p })
	s.remember(p.key)
	if p.held {
		// It was never offered, so there is nobody to tell.
		out = slices.DeleteFunc(out, func(e Effect) bool { _, is := e.(Ended); return is })
	}
	return out
}

func (s *Set) remember(k Key) {
	if slices.Contains(s.ended, k) {
		return
	}
	if len(s.ended) == maxEnded {
		s.ended = slices.Delete(s.ended, 0, 1)
	}
	s.ended = append(s.ended, k)
}
