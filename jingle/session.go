package jingle

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jingled/jingled/jid"
)

// State is where a session stands (XEP-0166 section 5.1).
type State uint8

// The states. Idle is before the session-initiate.
const (
	Idle State = iota
	Pending
	Active
	Done
)

func (s State) String() string {
	return [...]string{"IDLE", "PENDING", "ACTIVE", "ENDED"}[s]
}

// ErrNoReply is the error of a request that the peer did not answer in time, or whose answer was lost.
var ErrNoReply = errors.New("the peer did not answer")

// SessionConfig says what a [Session] is. SID, Role, Local and Peer must be set.
type SessionConfig struct {
	SID         string
	Role        Role // ours
	Local, Peer jid.JID
	// ReplyTimeout is how long to wait for the reply to a request (default 30 s).
	ReplyTimeout time.Duration
	// PeerGrace is how long a peer that went unavailable may stay silent (default 10 s; XEP-0166 section 6.7 has
	// 5 or 10 seconds).
	PeerGrace time.Duration
	// ReplaceTimeout is how long to wait, once a transport failed, for the peer to offer another, and for its answer to
	// one that we offer (default 30 s).
	ReplaceTimeout time.Duration
	// MaxContents bounds the contents of the session (default 16), MaxRequests the requests without an answer
	// (default 256) and MaxReplaces the transports that one content may go through (default 8).
	MaxContents, MaxRequests, MaxReplaces int
}

func (c SessionConfig) withDefaults() SessionConfig {
	if c.ReplyTimeout <= 0 {
		c.ReplyTimeout = 30 * time.Second
	}
	if c.PeerGrace <= 0 {
		c.PeerGrace = 10 * time.Second
	}
	if c.ReplaceTimeout <= 0 {
		c.ReplaceTimeout = 30 * time.Second
	}
	if c.MaxContents <= 0 {
		c.MaxContents = 16
	}
	if c.MaxRequests <= 0 {
		c.MaxRequests = 256
	}
	if c.MaxReplaces <= 0 {
		c.MaxReplaces = 8
	}
	return c
}

// Session is one Jingle session as a function of its inputs: [Session.Receive], [Session.Do], [Session.Replied],
// [Session.TransportFailed], [Session.PeerUnavailable], [Session.Heard], [Session.Ask] and [Session.Advance]. Each returns the effects
// to be carried out. It is not safe for concurrent use.
type Session struct {
	cfg       SessionConfig
	state     State
	contents  []*content
	requests  []*request // without a reply yet, oldest first
	nextN     uint64
	gone      []string  // names of contents removed lately
	goneUntil time.Time // the peer is unavailable and must be heard of until then; zero if it is available
	unsure    *Message  // our session-accept, if it had no answer and nothing has shown that it came; see [Session.Ask]
	out       []Effect
}

// NewSession returns an idle session. An initiator goes on with Do(session-initiate), a responder with
// Receive(session-initiate).
func NewSession(cfg SessionConfig) *Session {
	return &Session{cfg: cfg.withDefaults()}
}

// SID returns the session's identifier, chosen by the initiator.
func (s *Session) SID() string { return s.cfg.SID }

// Role returns our part in the session.
func (s *Session) Role() Role { return s.cfg.Role }

// Peer returns the other party's full address.
func (s *Session) Peer() jid.JID { return s.cfg.Peer }

// State returns where the session stands.
func (s *Session) State() State { return s.state }

// request is an IQ of ours that has no reply yet.
type request struct {
	n        uint64
	message  *Message
	deadline time.Time
}

func (s *Session) emit(e ...Effect) { s.out = append(s.out, e...) }

// take hands the collected effects over.
func (s *Session) take() []Effect {
	out := s.out
	s.out = nil
	return out
}

// request emits an IQ and remembers it until its reply.
func (s *Session) request(now time.Time, m *Message) {
	s.nextN++
	m.SID = s.cfg.SID
	s.requests = append(s.requests, &request{s.nextN, m, now.Add(s.cfg.ReplyTimeout)})
	s.emit(Request{s.nextN, m})
}

// outstanding returns our oldest unanswered request with this action that satisfies match.
func (s *Session) outstanding(a Action, match func(*Message) bool) *request {
	for _, r := range s.requests {
		if r.message.Action == a && (match == nil || match(r.message)) {
			return r
		}
	}
	return nil
}

// end moves to the last state. XEP-0166 section 6.7: whoever sends session-terminate is in it at once.
func (s *Session) end(e Ended) {
	if s.state == Done {
		return
	}
	if e.Reason == nil {
		e.Reason = &Reason{Condition: GeneralError}
	}
	s.state = Done
	s.contents, s.goneUntil = nil, time.Time{}
	s.emit(e)
}

// terminate sends session-terminate and ends the session.
func (s *Session) terminate(now time.Time, r *Reason, err error) {
	s.request(now, &Message{Action: SessionTerminate, Reason: r})
	s.end(Ended{Reason: r, Err: err})
}

// Replied tells the session of the reply to request n: nil for a result, a [*StanzaError] of the peer, or any other
// error if there will be no reply.
func (s *Session) Replied(now time.Time, n uint64, err error) []Effect {
	for i, r := range s.requests {
		if r.n == n {
			s.requests = append(s.requests[:i:i], s.requests[i+1:]...)
			s.replied(now, r.message, err)
			break
		}
	}
	return s.take()
}

func (s *Session) replied(now time.Time, m *Message, err error) {
	var se *StanzaError
	fromPeer := errors.As(err, &se)
	if err == nil || fromPeer && !undelivered(se) {
		// An error is an answer too: the peer is there.
		s.goneUntil = time.Time{}
	}
	again := s.unsure == m
	if m.Action == SessionAccept {
		s.unsure = nil
	}
	if err == nil || s.state == Done {
		return
	}
	switch {
	case m.Action == SessionInitiate && !fromPeer:
		// The message may have arrived and only its reply be lost: the peer must not go on ringing.
		s.terminate(now, reasonOfInitiateError(nil, err), err)
	case m.Action == SessionInitiate:
		s.end(Ended{Reason: reasonOfInitiateError(se, err), ByPeer: fromPeer, Err: err})
	case fromPeer && se.HasApp("unknown-session"):
		// The peer has no such session (any more); a terminate would only earn the same error.
		s.end(Ended{Reason: &Reason{Condition: Gone, Text: "The other side does not know this session any more."},
			ByPeer: true, Err: err})
	case fromPeer && again && se.Condition == "unexpected-request":
		// It had come, and only the answer was lost.
	case fromPeer && m.Action == SessionAccept && undelivered(se):
		s.end(Ended{Reason: &Reason{Condition: Gone, Text: "The other side is not reachable any more."}, ByPeer: true, Err: err})
	case fromPeer && m.Action == SessionAccept:
		s.terminate(now, &Reason{Condition: FailedApplication,
			Text: "The session-accept was refused: " + se.Error()}, err)
	case fromPeer:
		s.undo(now, m, se)
		if s.state != Done {
			s.emit(RequestFailed{m, err})
		}
	case m.Action == TransportReplace:
		s.undo(now, m, jingleError("wait", "remote-server-timeout", "", ""))
	default:
		// Monal does not answer several actions at all, so silence alone ends nothing.
		if m.Action == SessionAccept {
			s.unsure = m
		}
		s.emit(RequestFailed{m, ErrNoReply})
	}
}

// undelivered reports whether an error may be a server's, which answers for those who are not there (RFC 6120 section
// 8.3.3, RFC 6121 section 8.5.3.2.3).
func undelivered(se *StanzaError) bool {
	switch se.Condition {
	case "service-unavailable", "recipient-unavailable", "remote-server-not-found", "remote-server-timeout":
		return true
	}
	return false
}

// reasonOfInitiateError translates an error reply to a session-initiate (XEP-0166 section 6.3.2) into a reason.
func reasonOfInitiateError(se *StanzaError, err error) *Reason {
	if se == nil {
		return &Reason{Condition: Timeout, Text: fmt.Sprintf("The session-initiate was not answered: %v.", err)}
	}
	switch {
	case se.HasApp("tie-break"):
		return &Reason{Condition: Expired, Text: "The other side called at the same moment, and its call goes first."}
	case undelivered(se), se.Condition == "item-not-found":
		return &Reason{Condition: Gone, Text: "The other side is not reachable or does not take sessions from us."}
	case se.Condition == "resource-constraint":
		return &Reason{Condition: Busy, Text: "The other side has no room for another session."}
	case se.Condition == "redirect":
		return &Reason{Condition: AlternativeSession, Text: "The other side asks to call " + se.URI + "."}
	}
	return &Reason{Condition: FailedApplication, Text: "The session-initiate was refused: " + se.Error()}
}

// PeerUnavailable tells the session that the peer sent unavailable presence (XEP-0166 section 6.7).
func (s *Session) PeerUnavailable(now time.Time) []Effect {
	if s.state != Done && s.state != Idle && s.goneUntil.IsZero() {
		s.goneUntil = now.Add(s.cfg.PeerGrace)
	}
	return s.take()
}

// Heard tells the session that the peer is there: a connectivity check or media came in.
func (s *Session) Heard() { s.goneUntil, s.unsure = time.Time{}, nil }

// Ask asks the peer of a running session whether it still knows it, by an empty session-info (XEP-0166 section 6.8). A
// session-accept of ours that may have been lost is sent again instead. heard tells that something has come by a connection of
// the session at some time: then the session-accept has arrived, and clients like Conversations end a session that gets two.
func (s *Session) Ask(now time.Time, heard bool) []Effect {
	if heard {
		s.unsure = nil
	}
	switch {
	case s.state != Active || len(s.requests) >= s.cfg.MaxRequests:
	case s.unsure != nil && s.outstanding(SessionAccept, nil) == nil:
		s.request(now, s.unsure)
	default:
		s.request(now, &Message{Action: SessionInfo})
	}
	return s.take()
}

// Deadline returns when [Session.Advance] wants to be called next, and the zero time if never.
func (s *Session) Deadline() time.Time {
	d := s.goneUntil
	for _, r := range s.requests {
		d = earlier(d, r.deadline)
	}
	for _, c := range s.contents {
		d = earlier(d, c.replaceUntil)
	}
	return d
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// Advance tells the session the time.
func (s *Session) Advance(now time.Time) []Effect {
	due := func(t time.Time) bool { return !t.IsZero() && !t.After(now) }
	for len(s.requests) > 0 && due(s.requests[0].deadline) {
		r := s.requests[0]
		s.requests = s.requests[1:]
		s.replied(now, r.message, ErrNoReply)
	}
	if s.state != Done && due(s.goneUntil) {
		s.terminate(now, &Reason{Condition: Gone, Text: "The other side went offline."}, nil)
	}
	for _, c := range slices.Clone(s.contents) {
		if s.state == Done || !due(c.replaceUntil) {
			continue
		}
		c.replaceUntil = time.Time{}
		if c.ours != nil {
			s.replaceFailed(now, c)
		} else {
			s.giveUp(now, c, &Reason{Condition: ConnectivityError,
				Text: "No connection could be made, and no other transport was offered."})
		}
	}
	return s.take()
}
