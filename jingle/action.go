package jingle

import "slices"

// NS is the namespace of the <jingle/> element (XEP-0166 section 14).
const NS = "urn:xmpp:jingle:1"

// NSErrors is the namespace of Jingle's own error conditions (XEP-0166 section 10).
const NSErrors = "urn:xmpp:jingle:errors:1"

// Action is the value of the 'action' attribute (XEP-0166 section 7.2).
type Action string

// The actions of XEP-0166 section 7.2.
const (
	ContentAccept    Action = "content-accept"
	ContentAdd       Action = "content-add"
	ContentModify    Action = "content-modify"
	ContentReject    Action = "content-reject"
	ContentRemove    Action = "content-remove"
	DescriptionInfo  Action = "description-info"
	SecurityInfo     Action = "security-info"
	SessionAccept    Action = "session-accept"
	SessionInfo      Action = "session-info"
	SessionInitiate  Action = "session-initiate"
	SessionTerminate Action = "session-terminate"
	TransportAccept  Action = "transport-accept"
	TransportInfo    Action = "transport-info"
	TransportReject  Action = "transport-reject"
	TransportReplace Action = "transport-replace"
)

// Actions lists every action, in the order of the specification.
var Actions = []Action{
	ContentAccept, ContentAdd, ContentModify, ContentReject, ContentRemove, DescriptionInfo, SecurityInfo,
	SessionAccept, SessionInfo, SessionInitiate, SessionTerminate, TransportAccept, TransportInfo, TransportReject,
	TransportReplace,
}

// Known reports whether a is one of [Actions].
func (a Action) Known() bool {
	return slices.Contains(Actions, a)
}

// Role is a party's part in a session; it never changes while the session lives.
type Role uint8

// The two roles (XEP-0166 section 3).
const (
	Initiator Role = iota + 1
	Responder
)

// Peer returns the other role.
func (r Role) Peer() Role {
	switch r {
	case Initiator:
		return Responder
	case Responder:
		return Initiator
	}
	return 0
}

func (r Role) String() string {
	switch r {
	case Initiator:
		return "initiator"
	case Responder:
		return "responder"
	}
	return ""
}

// Senders says who may send in a content (XEP-0166 section 7.3). The names are roles in the session, not the sender
// of the stanza.
type Senders string

// The values of 'senders'. An absent attribute is SendersBoth.
const (
	SendersBoth      Senders = "both"
	SendersInitiator Senders = "initiator"
	SendersNone      Senders = "none"
	SendersResponder Senders = "responder"
)

// Sends reports whether the party with this role may send.
func (s Senders) Sends(r Role) bool {
	switch s {
	case SendersBoth, "":
		return true
	case SendersInitiator:
		return r == Initiator
	case SendersResponder:
		return r == Responder
	}
	return false
}

// With returns who may send when one side begins or ceases to, and the other stays as it is.
func (s Senders) With(r Role, sends bool) Senders {
	initiator, responder := s.Sends(Initiator), s.Sends(Responder)
	if r == Initiator {
		initiator = sends
	} else {
		responder = sends
	}
	switch {
	case initiator && responder:
		return SendersBoth
	case initiator:
		return SendersInitiator
	case responder:
		return SendersResponder
	}
	return SendersNone
}

// DispositionSession is the default disposition of a content (XEP-0166 section 7.3).
const DispositionSession = "session"

// DispositionEarly marks early media (XEP-0269 section 2).
const DispositionEarly = "early-session"
