package jingle

import (
	"slices"
	"time"
)

// This file is the fallback from a transport that failed to another one (XEP-0166 sections 7.2.12, 7.2.14 and 7.2.15).
//
// The initiator leads, as XEP-0260 section 3 has it: when its transport failed it offers the next one that both may
// have, and ends the content when none is left. The responder waits for that offer. Either side may offer a replacement
// by itself at any time.

// SetTransports says which transports we can use for a content, best first, by their namespaces. Without it the content
// keeps the transport that it has: a transport-replace of the peer is rejected and a failure ends the content.
func (s *Session) SetTransports(id ContentID, ns ...string) {
	if c := s.find(id); c != nil {
		c.transports = slices.Clone(ns)
	}
}

// TransportFailed tells the session that a transport of a content cannot work: the one in use, or one that a
// [TransportNeeded] asked for and that could not be made. reason is for the peer, if nothing else is left to try.
func (s *Session) TransportFailed(now time.Time, id ContentID, ns string, reason *Reason) []Effect {
	c := s.find(id)
	if c == nil || s.state == Done {
		return s.take()
	}
	c.markTried(ns)
	if c.theirs != nil || c.ours != nil {
		return s.take() // a replacement is under way already
	}
	switch {
	case !slices.Contains(c.tried, c.transport):
		// What failed was only an alternative.
	case len(c.transports) == 0:
		s.giveUp(now, c, reason)
	case s.cfg.Role == Responder:
		c.replaceUntil = now.Add(s.cfg.ReplaceTimeout)
	default:
		s.next(now, c, reason)
	}
	return s.take()
}

func (c *content) markTried(ns string) {
	if ns != "" && !slices.Contains(c.tried, ns) {
		c.tried = append(c.tried, ns)
	}
}

// next asks for the next transport that was not tried, or gives the content up.
func (s *Session) next(now time.Time, c *content, reason *Reason) {
	for _, ns := range c.transports {
		if !slices.Contains(c.tried, ns) && c.replaces < s.cfg.MaxReplaces {
			s.emit(TransportNeeded{c.id, ns})
			return
		}
	}
	if reason == nil {
		reason = &Reason{Condition: FailedTransport, Text: "Every transport that both sides have was tried."}
	}
	s.giveUp(now, c, reason)
}

// giveUp ends a content whose transport failed for good, and the session with its last one.
func (s *Session) giveUp(now time.Time, c *content, reason *Reason) {
	if reason == nil {
		reason = &Reason{Condition: FailedTransport}
	}
	if len(s.contents) <= 1 {
		s.terminate(now, reason, nil)
		return
	}
	m := &Message{Action: ContentRemove, Contents: []Content{{Creator: c.id.Creator, Name: c.id.Name}}, Reason: reason}
	s.remove(c)
	s.request(now, m)
	s.emit(ContentRemoved{m, true})
}

// negotiates reports whether ns is a transport that is in use for the content or may become so.
func (c *content) negotiates(ns string) bool {
	return ns == c.transport || (c.ours != nil && ns == NSOf(c.ours.Transport)) ||
		(c.theirs != nil && ns == NSOf(c.theirs.Transport))
}

func (s *Session) receiveReplace(now time.Time, iq string, m *Message) *StanzaError {
	if len(m.Contents) == 0 {
		return ErrBadRequest("A transport-replace needs a content.")
	}
	for i := range m.Contents {
		c := &m.Contents[i]
		k := s.find(c.ID())
		if k == nil {
			return ErrBadRequest("The session has no content %.40q.", c.Name)
		}
		if c.Transport == nil {
			return ErrBadRequest("The content %.40q has no transport.", c.Name)
		}
		if k.ours != nil && s.cfg.Role == Initiator {
			return ErrTieBreak("We replace this transport at this moment.") // section 7.2.16
		}
		if k.theirs != nil {
			return ErrOutOfOrder("The transport offered before has no answer yet.")
		}
	}
	s.emit(Answer{IQ: iq})
	var offered, refused []Content
	for _, c := range m.Contents {
		k := s.find(c.ID())
		c.Creator = k.id.Creator
		k.ours = nil // section 7.2.16: the responder takes the initiator's; ours will be answered with tie-break
		k.replaces++
		if !slices.Contains(k.transports, NSOf(c.Transport)) || k.replaces > s.cfg.MaxReplaces {
			refused = append(refused, Content{Creator: c.Creator, Name: c.Name, Transport: c.Transport})
			continue
		}
		k.replaceUntil = time.Time{}
		k.theirs = &c
		offered = append(offered, c)
	}
	if len(refused) > 0 {
		s.request(now, &Message{Action: TransportReject, Contents: refused,
			Reason: &Reason{Condition: UnsupportedTransports, Text: "This transport cannot be used here."}})
	}
	if len(offered) > 0 {
		s.emit(TransportOffered{m.withContents(offered)})
	}
	return nil
}

// replacing returns the contents of m whose replacement we offered.
func (s *Session) replacing(m *Message) (known []*content, given []Content) {
	for _, c := range m.Contents {
		if k := s.find(c.ID()); k != nil && k.ours != nil && !slices.Contains(known, k) {
			c.Creator = k.id.Creator
			known, given = append(known, k), append(given, c)
		}
	}
	return known, given
}

func (s *Session) receiveReplaceAccept(iq string, m *Message) *StanzaError {
	known, given := s.replacing(m)
	if len(known) == 0 || len(known) < len(m.Contents) {
		return ErrOutOfOrder("There is no transport that waits to be accepted.")
	}
	for i, k := range known {
		if offered, got := NSOf(k.ours.Transport), NSOf(given[i].Transport); offered != got {
			return ErrBadRequest("The transport %.80q was offered, not %.80q.", offered, got)
		}
	}
	for i, k := range known {
		k.markTried(k.transport)
		k.transport, k.ours, k.replaceUntil = NSOf(given[i].Transport), nil, time.Time{}
	}
	s.emit(Answer{IQ: iq}, TransportReplaced{m.withContents(given)})
	return nil
}

func (s *Session) receiveReplaceReject(now time.Time, iq string, m *Message) *StanzaError {
	known, _ := s.replacing(m)
	if len(known) == 0 || len(known) < len(m.Contents) {
		return ErrOutOfOrder("There is no transport that waits to be accepted.")
	}
	s.emit(Answer{IQ: iq})
	for _, k := range known {
		s.replaceFailed(now, k)
	}
	return nil
}

// replaceFailed drops our offer of a transport that the peer does not take. If the transport in use had failed
// before, the next one is tried.
func (s *Session) replaceFailed(now time.Time, k *content) {
	k.markTried(NSOf(k.ours.Transport))
	k.ours, k.replaceUntil = nil, time.Time{}
	if s.state == Done || !slices.Contains(k.tried, k.transport) {
		return
	}
	if s.cfg.Role == Responder {
		k.replaceUntil = now.Add(s.cfg.ReplaceTimeout)
		return
	}
	s.next(now, k, nil)
}
