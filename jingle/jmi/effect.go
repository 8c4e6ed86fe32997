package jmi

import (
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
)

// Key names a proposal: ids are chosen by callers, so they say nothing without the peer.
type Key struct {
	Peer jid.JID // bare
	ID   string  // also the id of the Jingle session
}

// Effect is something to do or to tell, in the order of the list it came in.
type Effect interface{ effect() }

// Send is a message to send; see [Send.Stanza].
type Send struct {
	To           jid.JID
	StanzaID     string
	Message      *Message
	WantsReceipt bool
}

// SendReceipt is a receipt to send (XEP-0184).
type SendReceipt struct {
	To       jid.JID
	StanzaID string // of the stanza that has arrived
}

// SendPresence asks for directed presence with capabilities, unless the two share presence anyway (sections 3.1 and 3.4).
type SendPresence struct{ To jid.JID }

// Offered tells of a proposal to us that needs a decision: [Set.Ring], [Set.Accept] or [Set.End].
type Offered struct {
	Key          Key
	From         jid.JID // full
	Descriptions []jingle.Payload
	// Crossed is our own proposal to the same peer that lost the tie-break, or "". Its user wants to talk to this very
	// peer, so there is reason to accept without asking.
	Crossed string
	// Replaces is a session with the same peer that ends when this one is accepted, or "".
	Replaces string
}

// Stale tells of a proposal that is too old to ring, for the history.
type Stale struct {
	Key          Key
	Descriptions []jingle.Payload
	Sent         time.Time // zero if it is not known
}

// DeviceFound tells that a device of the peer has got our proposal.
type DeviceFound struct {
	Key    Key
	Device jid.JID
}

// PeerRinging tells that a device of the peer is ringing.
type PeerRinging struct {
	Key    Key
	Device jid.JID
}

// Unreached tells that no device of the peer has answered our proposal for [Config.Discovery]. It goes on: Dino sends
// neither receipts nor ringing.
type Unreached struct{ Key Key }

// Proceeding tells that the peer has taken our call on a device: send it a session-initiate with the same id, then
// call [Set.Started]. Monal gives up 15 seconds after it.
type Proceeding struct {
	Key    Key
	Device jid.JID // full
	// Message is the peer's proceed or accept, with what stands in it.
	Message *Message
}

// Migrated tells that the peer continues a call in a new session: the old one has ended, the new one is accepted already
// and its session-initiate will come (section 4.2).
type Migrated struct {
	Old, New     Key
	From         jid.JID // full
	Descriptions []jingle.Payload
}

// Cause is why a proposal ended.
type Cause uint8

// The causes.
const (
	ByUs         Cause = iota + 1 // by our command
	ByPeer                        // by a message of the peer, or an error from its server
	ByOwnDevice                   // another device of ours has answered or declined
	ByTimeout                     // nobody did anything in time
	ByTieBreak                    // a crossing proposal won (section 4.1)
	ByMigration                   // another session has taken its place (section 4.2)
	cannotHappen                  // keeps the list open for String
)

func (c Cause) String() string {
	if c == 0 || c >= cannotHappen {
		return "unknown"
	}
	return [...]string{"us", "peer", "own device", "timeout", "tie-break", "migration"}[c-1]
}

// Ended tells that a proposal has ended. If there is a Jingle session, that is to be ended too.
type Ended struct {
	Key   Key
	Cause Cause
	// State is the one that it ended in: a call that ended in [StateRinging] was missed.
	State State
	// Reason is the peer's or ours, or nil.
	Reason *jingle.Reason
	// Taken says, with ByOwnDevice, that the other device has taken the call.
	Taken bool
	// Successor is the id of the proposal that won or of the session that took over, or "".
	Successor string
	// Error is set, with ByPeer, where our proposal could not be delivered.
	Error *jingle.StanzaError
}

func (Send) effect()         {}
func (SendReceipt) effect()  {}
func (SendPresence) effect() {}
func (Offered) effect()      {}
func (Stale) effect()        {}
func (DeviceFound) effect()  {}
func (PeerRinging) effect()  {}
func (Unreached) effect()    {}
func (Proceeding) effect()   {}
func (Migrated) effect()     {}
func (Ended) effect()        {}
