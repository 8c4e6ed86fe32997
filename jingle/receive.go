package jingle

import (
	"slices"
	"time"
)

// Receive takes a message of the peer, which came in the IQ named iq (any name that is unique among the IQs that have
// no answer yet). The sender must have been checked: it is the peer's full address.
func (s *Session) Receive(now time.Time, iq string, m *Message) []Effect {
	s.Heard()
	if err := s.receive(now, iq, m); err != nil {
		s.emit(Answer{iq, err})
	}
	return s.take()
}

// receive either answers iq itself (or leaves that to an InfoReceived) and returns nil, or returns the error to answer
// with and has changed nothing.
func (s *Session) receive(now time.Time, iq string, m *Message) *StanzaError {
	if s.state == Done {
		return ErrUnknownSession() // XEP-0166 section 6.7
	}
	if s.state == Idle && m.Action != SessionInitiate {
		return ErrUnknownSession()
	}
	switch m.Action {
	case SessionInitiate:
		return s.receiveInitiate(iq, m)
	case SessionAccept:
		return s.receiveAccept(iq, m)
	case SessionTerminate:
		r := m.Reason
		if r == nil {
			// XEP-0166 section 6.7 says only SHOULD; Success is what a hang-up means.
			r = &Reason{Condition: Success}
		}
		s.emit(Answer{IQ: iq})
		s.end(Ended{Reason: r, ByPeer: true})
		return nil
	case SessionInfo:
		if len(m.Info) == 0 && len(m.Contents) == 0 {
			s.emit(Answer{IQ: iq}) // a ping, XEP-0166 section 6.8
			return nil
		}
		s.emit(InfoReceived{iq, m})
		return nil
	case DescriptionInfo, SecurityInfo, TransportInfo:
		return s.receiveInfo(iq, m)
	case ContentAdd:
		return s.receiveAdd(iq, m)
	case ContentAccept:
		return s.receiveContentAccept(iq, m)
	case ContentReject:
		return s.receiveContentReject(now, iq, m)
	case ContentRemove:
		return s.receiveRemove(now, iq, m)
	case ContentModify:
		return s.receiveModify(iq, m)
	case TransportReplace:
		return s.receiveReplace(now, iq, m)
	case TransportAccept:
		return s.receiveReplaceAccept(iq, m)
	case TransportReject:
		return s.receiveReplaceReject(now, iq, m)
	}
	// XEP-0166 section 7.2: an unknown action is ignored and answered with bad-request.
	return ErrBadRequest("The action %.40q is not known.", string(m.Action))
}

func (s *Session) receiveInitiate(iq string, m *Message) *StanzaError {
	if s.state != Idle || s.cfg.Role != Responder {
		return ErrOutOfOrder("The session has been initiated already.")
	}
	if err := s.checkInitiate(m); err != nil {
		return err
	}
	// XEP-0166 section 7.3: contents of one name are alternatives for one purpose. The first that is understood counts.
	var cs []Content
	for _, c := range m.Contents {
		c.Creator = Initiator
		i := slices.IndexFunc(cs, func(o Content) bool { return o.Name == c.Name })
		switch {
		case i < 0:
			cs = append(cs, c)
		case !understood(&cs[i]) && understood(&c):
			cs[i] = c
		}
	}
	m = m.withContents(cs)
	for i := range cs {
		s.add(&cs[i], offeredByPeer)
	}
	s.state = Pending
	s.emit(Answer{IQ: iq}, Initiated{m})
	return nil
}

func understood(c *Content) bool {
	_, opaqueDescription := c.Description.(Opaque)
	_, opaqueTransport := c.Transport.(Opaque)
	return !opaqueDescription && !opaqueTransport
}

func (s *Session) checkInitiate(m *Message) *StanzaError {
	if len(m.Contents) > s.cfg.MaxContents {
		return ErrResourceConstraint("A session may have at most %d contents.", s.cfg.MaxContents)
	}
	session := false
	for i := range m.Contents {
		c := &m.Contents[i]
		if c.Description == nil || c.Transport == nil {
			return ErrBadRequest("The content %.40q lacks its description or its transport.", c.Name)
		}
		session = session || c.Disposition == DispositionSession || c.Disposition == ""
	}
	if !session {
		return ErrBadRequest("A session-initiate needs a content with the disposition 'session'.") // section 7.2.10
	}
	return nil
}

func (s *Session) receiveAccept(iq string, m *Message) *StanzaError {
	if s.state == Active {
		// Movim answers so as the initiator, too.
		if known, _ := s.inPhase(m, offeredByUs); s.cfg.Role == Initiator || len(known) > 0 {
			return s.receiveReaccept(iq, m)
		}
	}
	if s.cfg.Role != Initiator {
		return ErrOutOfOrder("Only the responder can accept the session.")
	}
	for i := range m.Contents {
		c := &m.Contents[i]
		if s.find(c.ID()) == nil {
			return ErrBadRequest("The content %.40q was not offered.", c.Name)
		}
		if c.Transport == nil {
			return ErrBadRequest("The content %.40q lacks its transport.", c.Name) // section 7.2.8
		}
	}
	known, given := s.inPhase(m, offeredByUs)
	known, given = s.withoutEarly(known, given)
	if len(known) == 0 {
		return ErrBadRequest("A session-accept must accept a content that was offered.")
	}
	for i, k := range known {
		if given[i].Description == nil {
			// Section 7.2.8 asks for it, but stanza.js leaves out that of a file. Then it is what was offered.
			given[i].Description = k.description
		}
		k.agree(&given[i])
	}
	// What the responder left out of its answer it did not accept (section 7.2.8).
	s.dropUnaccepted(offeredByUs)
	s.state = Active
	s.emit(Answer{IQ: iq}, Accepted{m.withContents(given)})
	return nil
}

// withoutEarly drops contents of the disposition early-session, which a session-accept does not accept
// (XEP-0269 section 2).
func (s *Session) withoutEarly(known []*content, given []Content) (k []*content, g []Content) {
	for i, c := range known {
		if c.disposition == DispositionSession {
			k, g = append(k, c), append(g, given[i])
		}
	}
	return k, g
}

// dropUnaccepted removes the contents of the session-initiate that the session-accept left out.
func (s *Session) dropUnaccepted(p phase) {
	for _, c := range slices.Clone(s.contents) {
		if c.phase == p && c.disposition == DispositionSession && !c.added {
			s.remove(c)
		}
	}
}

// receiveReaccept takes a second session-accept, which is how Movim answers content-add, -modify and -remove.
func (s *Session) receiveReaccept(iq string, m *Message) *StanzaError {
	known, given := s.inPhase(m, offeredByUs)
	s.emit(Answer{IQ: iq})
	if len(known) == 0 {
		return nil
	}
	for i, k := range known {
		k.agree(&given[i])
	}
	n := m.withContents(given)
	n.Action = ContentAccept
	s.emit(ContentAccepted{n})
	return nil
}

func (s *Session) receiveInfo(iq string, m *Message) *StanzaError {
	if len(m.Contents) == 0 {
		if m.Action == TransportInfo {
			return ErrBadRequest("A transport-info needs a content.")
		}
		s.emit(InfoReceived{iq, m})
		return nil
	}
	var given []Content
	for _, c := range m.Contents {
		k := s.find(c.ID())
		if k == nil && s.removed(c.Name) {
			continue // it crossed our content-remove on the way; an error would end the call of some clients
		}
		if k == nil {
			return ErrBadRequest("The session has no content %.40q.", c.Name)
		}
		c.Creator = k.id.Creator
		if m.Action == TransportInfo {
			ns := NSOf(c.Transport)
			if ns == "" {
				return ErrBadRequest("The content %.40q has no transport.", c.Name)
			}
			if slices.Contains(k.tried, ns) {
				continue // it crossed the replacement of its transport: received, and of no use any more
			}
			if !k.negotiates(ns) {
				return ErrUnsupportedInfo("The transport %.80q is not in use here.", ns)
			}
		}
		given = append(given, c)
	}
	if len(given) == 0 {
		s.emit(Answer{IQ: iq})
		return nil
	}
	s.emit(InfoReceived{iq, m.withContents(given)})
	return nil
}

func (s *Session) receiveAdd(iq string, m *Message) *StanzaError {
	if len(m.Contents) == 0 {
		return ErrBadRequest("A content-add needs a content.")
	}
	if len(s.contents)+len(m.Contents) > s.cfg.MaxContents {
		return ErrResourceConstraint("A session may have at most %d contents.", s.cfg.MaxContents)
	}
	if s.cfg.Role == Initiator && s.outstanding(ContentAdd, func(o *Message) bool { return equivalentContents(o, m) }) != nil {
		return ErrTieBreak("We add the same content at this moment.") // section 7.2.16
	}
	for i := range m.Contents {
		c := &m.Contents[i]
		if c.Description == nil || c.Transport == nil {
			return ErrBadRequest("The content %.40q lacks its description or its transport.", c.Name)
		}
		k := s.find(c.ID())
		if k == nil {
			continue
		}
		overruled := s.cfg.Role == Responder && k.phase == offeredByUs &&
			s.outstanding(ContentAdd, func(o *Message) bool { return o.Content(k.id.Name) != nil }) != nil
		if !overruled {
			return ErrBadRequest("The session has a content %.40q already.", c.Name)
		}
		// Section 7.2.16: the responder accepts the initiator's action; ours will be answered with tie-break.
		s.remove(k)
		s.emit(ContentRemoved{&Message{Action: ContentRemove, Contents: []Content{{Creator: k.id.Creator, Name: k.id.Name}}}, true})
	}
	for i := range m.Contents {
		s.add(&m.Contents[i], offeredByPeer).added = true
	}
	s.emit(Answer{IQ: iq}, ContentAdded{m})
	return nil
}

func (s *Session) receiveContentAccept(iq string, m *Message) *StanzaError {
	known, given := s.inPhase(m, offeredByUs)
	if len(known) == 0 || len(known) < len(m.Contents) {
		return ErrOutOfOrder("There is no such content that waits to be accepted.")
	}
	for i, k := range known {
		k.agree(&given[i])
	}
	s.emit(Answer{IQ: iq}, ContentAccepted{m.withContents(given)})
	return nil
}

func (s *Session) receiveContentReject(now time.Time, iq string, m *Message) *StanzaError {
	if len(m.Contents) == 0 {
		m = m.withContents(s.added()) // stanza.js does not say which
	}
	known, given := s.inPhase(m, offeredByUs)
	if len(known) == 0 || len(known) < len(m.Contents) {
		return ErrOutOfOrder("There is no such content that waits to be accepted.")
	}
	for _, k := range known {
		s.remove(k)
	}
	s.emit(Answer{IQ: iq}, ContentRejected{m.withContents(given)})
	s.endIfEmpty(now, m.Reason)
	return nil
}

func (s *Session) receiveRemove(now time.Time, iq string, m *Message) *StanzaError {
	if len(m.Contents) == 0 {
		return ErrBadRequest("A content-remove needs a content.")
	}
	var known []*content
	var given []Content
	crossing := s.outstanding(ContentRemove, func(o *Message) bool { return sharesContent(o, m) }) != nil
	if crossing && s.cfg.Role == Initiator {
		return ErrTieBreak("We remove this content at this moment.") // section 7.2.16
	}
	for _, c := range m.Contents {
		k := s.find(c.ID())
		switch {
		case k != nil:
			c.Creator = k.id.Creator
			known, given = append(known, k), append(given, c)
		case !s.removed(c.Name):
			return ErrBadRequest("The session has no content %.40q.", c.Name)
		}
	}
	if len(known) == 0 {
		s.emit(Answer{IQ: iq})
		return nil
	}
	for _, k := range known {
		s.remove(k)
	}
	s.emit(Answer{IQ: iq}, ContentRemoved{m.withContents(given), false})
	s.endIfEmpty(now, m.Reason)
	return nil
}

// endIfEmpty terminates a session that has no content left (XEP-0166 sections 7.2.4 and 7.2.5; XEP-0234 section 6.5).
func (s *Session) endIfEmpty(now time.Time, r *Reason) {
	if len(s.contents) > 0 || s.state == Done {
		return
	}
	if r == nil {
		r = &Reason{Condition: Success}
	}
	s.terminate(now, &Reason{Condition: r.Condition, Text: "The session has no content left."}, nil)
}

func (s *Session) receiveModify(iq string, m *Message) *StanzaError {
	if len(m.Contents) == 0 {
		return ErrBadRequest("A content-modify needs a content.")
	}
	var known []*content
	for _, c := range m.Contents {
		k := s.find(c.ID())
		if k == nil {
			return ErrBadRequest("The session has no content %.40q.", c.Name)
		}
		if c.Senders == "" {
			return ErrBadRequest("A content-modify needs the attribute 'senders'.") // section 7.3
		}
		known = append(known, k)
	}
	if s.cfg.Role == Initiator && s.outstanding(ContentModify, func(o *Message) bool { return sharesContent(o, m) }) != nil {
		return ErrTieBreak("We modify this content at this moment.") // section 7.2.16
	}
	s.emit(Answer{IQ: iq})
	for i, k := range known {
		old := k.senders
		k.senders = m.Contents[i].Senders
		s.emit(ContentModified{k.id, old, k.senders})
	}
	return nil
}
