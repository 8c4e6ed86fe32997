package jingle

import (
	"fmt"
	"slices"
	"time"
)

// CommandError says that a command of ours does not fit the session's state. It is a local mistake or a race with the
// peer, and nothing was sent.
type CommandError struct {
	Action Action
	Why    string
}

func (e *CommandError) Error() string {
	return fmt.Sprintf("jingle: cannot send %s: %s", e.Action, e.Why)
}

// Do sends a message to the peer, if the session's state allows its action. The session fills in the sid, and the
// initiator or responder where they belong. A *[CommandError] says why nothing was done.
func (s *Session) Do(now time.Time, m *Message) ([]Effect, error) {
	if err := s.allowed(m); err != nil {
		return nil, err
	}
	m = m.withContents(slices.Clone(m.Contents))
	var err error
	switch m.Action {
	case SessionInitiate:
		err = s.doInitiate(now, m)
	case SessionAccept:
		err = s.doAccept(now, m)
	case SessionTerminate:
		r := m.Reason
		if r == nil {
			r = &Reason{Condition: Success} // clients depend on there being one
		}
		m.Reason = r
		s.request(now, m)
		s.end(Ended{Reason: r})
	case ContentAdd:
		err = s.doAdd(now, m)
	case ContentAccept:
		err = s.doAnswer(now, m, true)
	case ContentReject:
		err = s.doAnswer(now, m, false)
	case TransportReplace:
		err = s.doReplace(now, m)
	case TransportAccept, TransportReject:
		err = s.doReplaceAnswer(now, m)
	case ContentRemove:
		err = s.doRemove(now, m)
	case ContentModify:
		err = s.doModify(now, m)
	default: // the infos
		if err = s.own(m); err == nil {
			s.request(now, m)
		}
	}
	if err != nil {
		return nil, err
	}
	return s.take(), nil
}

func (s *Session) allowed(m *Message) error {
	no := func(why string) error { return &CommandError{m.Action, why} }
	switch {
	case !m.Action.Known():
		return no("there is no such action")
	case s.state == Done:
		return no("the session has ended")
	case m.Action == SessionInitiate && (s.cfg.Role != Initiator || s.state != Idle):
		return no("only an initiator can, and only once")
	case m.Action != SessionInitiate && s.state == Idle:
		return no("the session has not been initiated")
	case m.Action == SessionAccept && (s.cfg.Role != Responder || s.state != Pending):
		return no("only a responder can, and only once")
	case m.Action != SessionTerminate && len(s.requests) >= s.cfg.MaxRequests:
		return no("too many requests wait for an answer")
	}
	return nil
}

// own checks that the session has every content of m, and completes their creators.
func (s *Session) own(m *Message) error {
	for i := range m.Contents {
		k := s.find(m.Contents[i].ID())
		if k == nil {
			return &CommandError{m.Action, fmt.Sprintf("the session has no content %q", m.Contents[i].Name)}
		}
		m.Contents[i].Creator = k.id.Creator
	}
	return nil
}

func (s *Session) doInitiate(now time.Time, m *Message) error {
	for i := range m.Contents {
		m.Contents[i].Creator = Initiator
	}
	if err := s.checkInitiate(m); err != nil {
		return &CommandError{m.Action, err.Text}
	}
	for i := range m.Contents {
		s.add(&m.Contents[i], offeredByUs)
	}
	s.state = Pending
	m.Initiator = s.cfg.Local
	s.request(now, m)
	return nil
}

func (s *Session) doAccept(now time.Time, m *Message) error {
	known, given := s.inPhase(m, offeredByPeer)
	if len(known) == 0 || len(known) < len(m.Contents) {
		return &CommandError{m.Action, "it must accept contents that were offered"}
	}
	for i, k := range known {
		if given[i].Description == nil || given[i].Transport == nil {
			return &CommandError{m.Action, "every content needs its description and its transport"} // section 7.2.8
		}
		k.agree(&given[i])
	}
	s.dropUnaccepted(offeredByPeer)
	s.state = Active
	m.Contents, m.Responder = given, s.cfg.Local
	s.request(now, m)
	return nil
}

func (s *Session) doAdd(now time.Time, m *Message) error {
	if len(m.Contents) == 0 || len(s.contents)+len(m.Contents) > s.cfg.MaxContents {
		return &CommandError{m.Action, fmt.Sprintf("a session has from 1 to %d contents", s.cfg.MaxContents)}
	}
	for i := range m.Contents {
		c := &m.Contents[i]
		if c.Creator == 0 {
			c.Creator = s.cfg.Role
		}
		if s.find(c.ID()) != nil {
			return &CommandError{m.Action, fmt.Sprintf("the session has a content %q already", c.Name)}
		}
		if c.Description == nil || c.Transport == nil {
			return &CommandError{m.Action, "every content needs its description and its transport"}
		}
	}
	for i := range m.Contents {
		s.add(&m.Contents[i], offeredByUs).added = true
	}
	s.request(now, m)
	return nil
}

// doAnswer sends content-accept or content-reject.
func (s *Session) doAnswer(now time.Time, m *Message, accept bool) error {
	known, given := s.inPhase(m, offeredByPeer)
	if len(known) == 0 || len(known) < len(m.Contents) {
		return &CommandError{m.Action, "the peer does not wait for an answer about this content"}
	}
	m.Contents = given
	s.request(now, m)
	for i, k := range known {
		if accept {
			k.agree(&given[i])
		} else {
			s.remove(k)
		}
	}
	s.endIfEmpty(now, m.Reason)
	return nil
}

func (s *Session) doRemove(now time.Time, m *Message) error {
	if err := s.own(m); err != nil {
		return err
	}
	if len(m.Contents) == 0 {
		return &CommandError{m.Action, "it needs a content"}
	}
	if len(m.Contents) >= len(s.contents) {
		// The peer would have to terminate anyway (section 7.2.5).
		s.terminate(now, m.Reason, nil)
		return nil
	}
	for i := range m.Contents {
		s.remove(s.find(m.Contents[i].ID()))
	}
	s.request(now, m)
	return nil
}

func (s *Session) doModify(now time.Time, m *Message) error {
	if err := s.own(m); err != nil {
		return err
	}
	for i := range m.Contents {
		if m.Contents[i].Senders == "" {
			return &CommandError{m.Action, "it needs 'senders'"} // section 7.3
		}
	}
	s.request(now, m)
	for i := range m.Contents {
		k := s.find(m.Contents[i].ID())
		k.before, k.senders = k.senders, m.Contents[i].Senders
	}
	return nil
}

func (s *Session) doReplace(now time.Time, m *Message) error {
	if err := s.own(m); err != nil {
		return err
	}
	for i := range m.Contents {
		k := s.find(m.Contents[i].ID())
		switch {
		case m.Contents[i].Transport == nil:
			return &CommandError{m.Action, "it needs a transport"}
		case k.ours != nil || k.theirs != nil:
			return &CommandError{m.Action, "another replacement has no answer yet"}
		case k.replaces >= s.cfg.MaxReplaces:
			return &CommandError{m.Action, "too many transports were tried"}
		}
	}
	for i := range m.Contents {
		k := s.find(m.Contents[i].ID())
		k.ours = &m.Contents[i]
		k.replaces++
		k.replaceUntil = now.Add(s.cfg.ReplaceTimeout)
	}
	s.request(now, m)
	return nil
}

// doReplaceAnswer sends transport-accept or transport-reject.
func (s *Session) doReplaceAnswer(now time.Time, m *Message) error {
	if err := s.own(m); err != nil {
		return err
	}
	for i := range m.Contents {
		if k := s.find(m.Contents[i].ID()); k.theirs == nil {
			return &CommandError{m.Action, "the peer offered no transport"}
		}
	}
	s.request(now, m)
	for i := range m.Contents {
		k := s.find(m.Contents[i].ID())
		if m.Action == TransportAccept {
			k.markTried(k.transport)
			k.transport = NSOf(k.theirs.Transport)
		} else {
			k.markTried(NSOf(k.theirs.Transport))
			if s.cfg.Role == Responder && slices.Contains(k.tried, k.transport) {
				k.replaceUntil = now.Add(s.cfg.ReplaceTimeout)
			}
		}
		k.theirs = nil
	}
	return nil
}

// undo takes back what we assumed when we sent m, after the peer answered it with an error.
func (s *Session) undo(now time.Time, m *Message, se *StanzaError) {
	for i := range m.Contents {
		k := s.find(m.Contents[i].ID())
		if k == nil {
			continue
		}
		switch m.Action {
		case ContentAdd:
			// If the peer's crossing content-add won, the content is the peer's now.
			if k.phase == offeredByUs {
				s.remove(k)
			}
		case ContentModify:
			if k.before != "" && k.senders == m.Contents[i].Senders {
				k.senders = k.before
			}
		case TransportReplace:
			if k.ours == nil || NSOf(k.ours.Transport) != NSOf(m.Contents[i].Transport) {
				continue
			}
			if se.HasApp("tie-break") {
				k.ours = nil // the peer's own replacement is on its way
				k.replaceUntil = now.Add(s.cfg.ReplaceTimeout)
				continue
			}
			s.replaceFailed(now, k)
		}
	}
	if m.Action == ContentAdd {
		s.endIfEmpty(now, nil)
	}
}
