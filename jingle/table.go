package jingle

import (
	"github.com/jingled/jingled/jid"
)

// Table is the sessions of one account: it says to which session a message belongs. It looks at nothing of a session
// that changes, so that a session may be owned by another goroutine than the table. It is not safe for concurrent use.
type Table struct {
	// MaxSessions bounds all sessions (0: 1000) and MaxPerPeer those with one bare address (0: 32).
	MaxSessions, MaxPerPeer int

	sessions map[tableKey]*tableEntry
	perPeer  map[jid.JID]int
}

// tableKey: a sid alone identifies nothing, as anyone may use any (XEP-0166 sections 6.7 and 10).
type tableKey struct {
	peer jid.JID
	sid  string
}

type tableEntry struct {
	session *Session
	// initiate is our session-initiate while it has no answer.
	initiate *Message
}

// Add enters a session. Its error is a [*StanzaError]: resource-constraint if there are too many sessions, conflict
// if there is one with this peer and sid.
func (t *Table) Add(s *Session) error {
	if err := t.room(s.Peer()); err != nil {
		return err
	}
	k := tableKey{s.Peer(), s.SID()}
	if t.sessions[k] != nil {
		return jingleError("cancel", "conflict", "", "There is a session with this id.")
	}
	if t.sessions == nil {
		t.sessions, t.perPeer = make(map[tableKey]*tableEntry), make(map[jid.JID]int)
	}
	t.sessions[k] = &tableEntry{session: s}
	t.perPeer[s.Peer().Bare()]++
	return nil
}

// Initiating tells the table that the session's session-initiate is sent, with its content, and, with nil, that its
// answer came. A tie-break is possible in between.
func (t *Table) Initiating(s *Session, m *Message) {
	if e := t.sessions[tableKey{s.Peer(), s.SID()}]; e != nil && e.session == s {
		e.initiate = m
	}
}

func (t *Table) room(peer jid.JID) *StanzaError {
	total, each := t.MaxSessions, t.MaxPerPeer
	if total <= 0 {
		total = 1000
	}
	if each <= 0 {
		each = 32
	}
	if len(t.sessions) >= total || t.perPeer[peer.Bare()] >= each {
		return ErrResourceConstraint("There are too many sessions already.")
	}
	return nil
}

// Remove takes a session out.
func (t *Table) Remove(s *Session) {
	k := tableKey{s.Peer(), s.SID()}
	if e := t.sessions[k]; e == nil || e.session != s {
		return
	}
	delete(t.sessions, k)
	bare := s.Peer().Bare()
	if t.perPeer[bare]--; t.perPeer[bare] <= 0 {
		delete(t.perPeer, bare)
	}
}

// Len returns the number of sessions.
func (t *Table) Len() int { return len(t.sessions) }

// Find returns the session with this peer (a full address) and sid, or nil.
func (t *Table) Find(peer jid.JID, sid string) *Session {
	if e := t.sessions[tableKey{peer, sid}]; e != nil {
		return e.session
	}
	return nil
}

// With returns the sessions with a peer. A bare address stands for all its resources.
func (t *Table) With(peer jid.JID) []*Session {
	var out []*Session
	for k, e := range t.sessions {
		if k.peer == peer || (peer.IsBare() && k.peer.Bare() == peer) {
			out = append(out, e.session)
		}
	}
	return out
}

// Route finds where a message from the peer (a full address) belongs. It returns the session to give it to; or
// accept, if it is a session-initiate that a new session may be made for; or the error to answer with.
func (t *Table) Route(local, peer jid.JID, m *Message) (s *Session, accept bool, err *StanzaError) {
	s = t.Find(peer, m.SID)
	if m.Action != SessionInitiate {
		if s == nil {
			return nil, false, ErrUnknownSession() // XEP-0166 sections 6.7 and 10
		}
		return s, false, nil
	}
	if s != nil && s.Role() != Initiator {
		return s, false, nil // it answers out-of-order
	}
	// XEP-0166 section 7.2.16. Ours crossed the peer's only if it has no answer yet: an answer, and so the peer's
	// knowledge of our session, would have come before this message.
	for k, e := range t.sessions {
		if k.peer == peer && e.initiate != nil && crossing(e.initiate, m) && overrules(k.sid, local, m.SID, peer) {
			return nil, false, ErrTieBreak("We call at this moment, and our call goes first.")
		}
	}
	if s != nil {
		// The same sid from both sides, and the peer's goes first: the peer answers ours with tie-break.
		t.Remove(s)
	}
	if err := t.room(peer); err != nil {
		return nil, false, err
	}
	return nil, true, nil
}
