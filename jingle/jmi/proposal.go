package jmi

import (
	"fmt"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// State is where a proposal stands.
type State uint8

// The states; see the package's comment.
const (
	StateProposed   State = iota + 1 // caller: no device has said that it rings
	StateOffered                     // callee: nothing decided and nothing sent
	StateRinging                     // caller: a device rings; callee: the user is asked
	StateProceeding                  // taken, the Jingle session is to come
	StateLive                        // there is a Jingle session
	StateEnded
)

func (s State) String() string {
	if s == 0 || s > StateEnded {
		return "none"
	}
	return [...]string{"proposed", "offered", "ringing", "proceeding", "live", "ended"}[s-1]
}

// Proposal is one proposal, ours or a peer's. It belongs to a [Set], which is how it gets its inputs.
type Proposal struct {
	cfg   *Config
	key   Key
	role  jingle.Role // Initiator is the caller
	state State
	// peer is the device of the other party: the caller's from the start, the callee's once it proceeds.
	peer jid.JID
	desc []jingle.Payload

	receiptFor string // callee: stanza id to acknowledge when we ring, or ""
	replaces   string // callee: id of the session that ends when this one is accepted, or ""
	heard      bool   // caller: some device of the peer has reacted
	contested  bool   // callee: another device of ours has taken the call as well
	held       bool   // callee: not yet offered, as a catch-up is going on

	quietAt time.Time // caller: when Unreached is due; zero if it is not
	endAt   time.Time // when the state times out; zero if it does not
}

// Key returns the proposal's name.
func (p *Proposal) Key() Key { return p.key }

// Role tells who has proposed: [jingle.Initiator] if we have.
func (p *Proposal) Role() jingle.Role { return p.role }

// State returns where the proposal stands.
func (p *Proposal) State() State { return p.state }

// Peer returns the device of the other party: the caller's always, the callee's once it has taken the call, and until
// then its bare JID.
func (p *Proposal) Peer() jid.JID { return p.peer }

// Descriptions returns what is proposed.
func (p *Proposal) Descriptions() []jingle.Payload { return p.desc }

func (p *Proposal) deadline() time.Time {
	if !p.quietAt.IsZero() && (p.endAt.IsZero() || p.quietAt.Before(p.endAt)) {
		return p.quietAt
	}
	return p.endAt
}

// undecided reports whether nobody has taken the call.
func (p *Proposal) undecided() bool {
	return p.state == StateProposed || p.state == StateOffered || p.state == StateRinging
}

// message is a message about this proposal. The stanza's id is made as Conversations does, so no randomness is needed;
// each kind is sent once.
func (p *Proposal) message(k Kind, to jid.JID, reason *jingle.Reason) Send {
	return Send{
		To: to, StanzaID: "jm-" + string(k) + "-" + p.key.ID,
		Message: &Message{Kind: k, ID: p.key.ID, Reason: reason},
	}
}

func (p *Proposal) end(c Cause, reason *jingle.Reason) Ended {
	e := Ended{Key: p.key, Cause: c, State: p.state, Reason: reason}
	p.state, p.quietAt, p.endAt = StateEnded, time.Time{}, time.Time{}
	return e
}

// propose starts the caller's side (section 3.1).
func (p *Proposal) propose(now time.Time) []Effect {
	p.state = StateProposed
	p.quietAt, p.endAt = now.Add(p.cfg.Discovery), now.Add(p.cfg.Unanswered)
	s := p.message(Propose, p.key.Peer, nil)
	s.Message.Descriptions = p.desc
	// A receipt is how Conversations tells us that a device is there, and we tell it.
	s.WantsReceipt = true
	return []Effect{SendPresence{To: p.key.Peer}, s}
}

// ring is the decision to ask the user (section 3.2).
func (p *Proposal) ring(now time.Time) []Effect {
	p.state = StateRinging
	p.endAt = now.Add(p.cfg.Ringing)
	return append(p.acknowledge(), p.message(Ringing, p.peer, nil))
}

func (p *Proposal) acknowledge() []Effect {
	if p.receiptFor == "" {
		return nil
	}
	r := SendReceipt{To: p.peer, StanzaID: p.receiptFor}
	p.receiptFor = ""
	return []Effect{r}
}

// accept is the decision to take the call here (section 3.4).
func (p *Proposal) accept(now time.Time, extra []*xmltree.Element) []Effect {
	p.state = StateProceeding
	p.endAt = now.Add(p.cfg.Initiation)
	proceed := p.message(Proceed, p.peer, nil)
	proceed.Message.Extra = extra
	return append(p.acknowledge(),
		SendPresence{To: p.peer},
		// Own devices of version 0.3.1 stop ringing by accept, the others by the carbon of proceed.
		p.message(Accept, p.cfg.Self.Bare(), nil),
		proceed)
}

// hangUp is our decision to end, whatever the state is. The default reasons are the ones that tell the least (section 6).
func (p *Proposal) hangUp(reason *jingle.Reason) []Effect {
	or := func(c jingle.Condition) *jingle.Reason {
		if reason != nil {
			return reason
		}
		return &jingle.Reason{Condition: c}
	}
	switch {
	case p.undecided() && p.role == jingle.Initiator: // section 3.3
		r := or(jingle.Cancel)
		return []Effect{p.message(Retract, p.key.Peer, r), p.end(ByUs, r)}
	case p.undecided(): // section 3.5
		r := or(jingle.Busy)
		out := []Effect{p.message(Reject, p.peer, r)}
		if p.cfg.NoCarbons {
			own := p.message(Reject, p.cfg.Self.Bare(), r)
			out = append(out, own)
		}
		return append(out, p.end(ByUs, r))
	case p.state == StateProceeding:
		r := or(jingle.Expired)
		return []Effect{p.message(Finish, p.peer, r), p.end(ByUs, r)}
	default: // section 3.7
		r := or(jingle.Success)
		return []Effect{p.message(Finish, p.peer, r), p.end(ByUs, r)}
	}
}

// migrate ends a session in favour of another (section 4.2).
func (p *Proposal) migrate(to string) []Effect {
	r := &jingle.Reason{Condition: jingle.Expired}
	s := p.message(Finish, p.peer, r)
	s.Message.Migrated = to
	e := p.end(ByMigration, r)
	e.Successor = to
	return []Effect{s, e}
}

// started says that the Jingle session exists now.
func (p *Proposal) started() {
	p.state, p.endAt = StateLive, time.Time{}
}

// fromPeer takes a message of the other party.
func (p *Proposal) fromPeer(in Inbound) []Effect {
	m := in.Message
	switch m.Kind {
	case Ringing:
		if p.role == jingle.Initiator && (p.state == StateProposed || p.state == StateRinging) {
			p.state, p.heard, p.quietAt = StateRinging, true, time.Time{}
			return []Effect{PeerRinging{p.key, in.From}}
		}
	case Proceed, Accept:
		// Version 0.3.1 and Dino make no difference. A session needs a full JID to go to.
		if p.role == jingle.Initiator && p.undecided() && !in.From.IsBare() {
			p.state, p.peer, p.quietAt, p.endAt = StateProceeding, in.From, time.Time{}, time.Time{}
			return []Effect{SendPresence{To: in.From}, Proceeding{p.key, in.From, m}}
		}
	case Reject:
		// One device may decline after another has taken the call.
		if p.role == jingle.Initiator && (p.undecided() || p.state == StateProceeding && in.From == p.peer) {
			return []Effect{p.endedBy(m)}
		}
	case Retract:
		// Once there is a session, it ends by its own means.
		if p.role == jingle.Responder && p.state != StateLive {
			return []Effect{p.endedBy(m)}
		}
	case Finish:
		// Another device may have taken the call too and given up; that is not our session. One that vanished and comes
		// back under a new resource has lost its session anyway.
		if !p.undecided() && in.From != p.peer {
			return nil
		}
		var out []Effect
		// Section 3.7: both parties send finish. One that migrates is the other party's to send.
		if !p.undecided() && m.Migrated == "" {
			r := &jingle.Reason{Condition: jingle.Success}
			if m.Reason != nil {
				r.Condition = m.Reason.Condition
			}
			out = append(out, p.message(Finish, p.peer, r))
		}
		return append(out, p.endedBy(m))
	}
	return nil
}

func (p *Proposal) endedBy(m *Message) Ended {
	cause := ByPeer
	switch {
	case m.TieBreak:
		cause = ByTieBreak
	case m.Migrated != "":
		cause = ByMigration
	}
	e := p.end(cause, m.Reason)
	e.Successor = m.Migrated
	return e
}

// fromOwnDevice takes a message that another device of ours has sent to the other party or to our bare JID.
func (p *Proposal) fromOwnDevice(m *Message) []Effect {
	if p.role != jingle.Responder {
		return nil
	}
	switch m.Kind {
	case Proceed, Accept:
		if p.undecided() {
			e := p.end(ByOwnDevice, nil)
			e.Taken = true
			return []Effect{e}
		}
		// Both have taken it; the caller will choose.
		p.contested = p.state == StateProceeding
	case Reject, Finish:
		if p.undecided() {
			return []Effect{p.end(ByOwnDevice, m.Reason)}
		}
	}
	return nil
}

// receipt takes a XEP-0184 receipt for the proposal.
func (p *Proposal) receipt(from jid.JID) []Effect {
	if p.role != jingle.Initiator || p.state != StateProposed {
		return nil
	}
	p.heard, p.quietAt = true, time.Time{}
	return []Effect{DeviceFound{p.key, from}}
}

// bounced takes the news that the proposal could not be delivered.
func (p *Proposal) bounced(from jid.JID, serr *jingle.StanzaError) []Effect {
	// An error of one device says nothing about the others.
	if p.role != jingle.Initiator || p.state != StateProposed || p.heard || !from.IsBare() {
		return nil
	}
	e := p.end(ByPeer, &jingle.Reason{Condition: jingle.Gone, Text: serr.Error()})
	e.Error = serr
	return []Effect{e}
}

// advance takes the time.
func (p *Proposal) advance(now time.Time) []Effect {
	var out []Effect
	if !p.quietAt.IsZero() && !now.Before(p.quietAt) {
		p.quietAt = time.Time{}
		out = append(out, Unreached{p.key})
	}
	if p.endAt.IsZero() || now.Before(p.endAt) {
		return out
	}
	switch {
	case p.role == jingle.Initiator:
		// Section 3.3: cancel is the reason that gives nothing away.
		r := &jingle.Reason{Condition: jingle.Cancel}
		return append(out, p.message(Retract, p.key.Peer, r), p.end(ByTimeout, r))
	case p.undecided():
		// Other devices may still be ringing, so nothing is said.
		return append(out, p.end(ByTimeout, nil))
	case p.contested:
		// The caller has chosen another device of ours, whose call has the same id: a finish would end it.
		e := p.end(ByOwnDevice, nil)
		e.Taken = true
		return append(out, e)
	default:
		r := &jingle.Reason{Condition: jingle.Expired}
		return append(out, p.message(Finish, p.peer, r), p.end(ByTimeout, r))
	}
}

func (k Key) String() string { return fmt.Sprintf("%s with %s", k.ID, k.Peer) }
