package jingle

import (
	"slices"
	"time"
)

// phase is how far a content has come.
type phase uint8

const (
	offeredByUs phase = iota + 1
	offeredByPeer
	agreed
)

// content is what a session keeps of one content.
type content struct {
	id          ContentID
	disposition string
	senders     Senders
	before      Senders // what senders was before a content-modify of ours
	phase       phase
	added       bool    // by content-add rather than by session-initiate
	transport   string  // namespace in use or in negotiation
	description Payload // as it was offered
	// Fallback: see fallback.go.
	transports   []string // namespaces that we can use, in order
	tried        []string
	replaces     int
	ours         *Content  // our transport-replace that waits for transport-accept or -reject
	theirs       *Content  // the peer's transport-replace that waits for our answer
	replaceUntil time.Time // the transport failed and the peer is to offer another until then
}

// find returns the session's content of this identity. The name decides where the creator differs: every known client
// writes creator='initiator' whoever made the content.
func (s *Session) find(id ContentID) *content {
	var byName *content
	for _, c := range s.contents {
		if c.id == id {
			return c
		}
		if c.id.Name == id.Name && byName == nil {
			byName = c
		}
	}
	return byName
}

// Content reports what the session knows of a content: who may send, and whether both sides agreed to it.
func (s *Session) Content(id ContentID) (senders Senders, accepted, ok bool) {
	c := s.find(id)
	if c == nil {
		return "", false, false
	}
	return c.senders, c.phase == agreed, true
}

// Contents returns the identities of the session's contents in the order in which they came.
func (s *Session) Contents() []ContentID {
	ids := make([]ContentID, len(s.contents))
	for i, c := range s.contents {
		ids[i] = c.id
	}
	return ids
}

func (s *Session) add(c *Content, p phase) *content {
	senders := c.Senders
	if senders == "" {
		senders = SendersBoth
	}
	disposition := c.Disposition
	if disposition == "" {
		disposition = DispositionSession
	}
	k := &content{id: c.ID(), disposition: disposition, senders: senders, phase: p, transport: NSOf(c.Transport), description: c.Description}
	s.contents = append(s.contents, k)
	return k
}

func (s *Session) remove(c *content) {
	if i := slices.Index(s.contents, c); i >= 0 {
		s.contents = slices.Delete(s.contents, i, i+1)
		if s.gone = append(s.gone, c.id.Name); len(s.gone) > s.cfg.MaxContents {
			s.gone = s.gone[1:]
		}
	}
}

// added returns what we have added and the peer has not answered.
func (s *Session) added() (out []Content) {
	for _, c := range s.contents {
		if c.added && c.phase == offeredByUs {
			out = append(out, Content{Creator: c.id.Creator, Name: c.id.Name, Senders: c.senders})
		}
	}
	return out
}

// removed reports whether the session had a content of this name not long ago.
func (s *Session) removed(name string) bool { return slices.Contains(s.gone, name) }

// inPhase returns the contents of m that the session has in the phase p, as the session identifies them.
func (s *Session) inPhase(m *Message, p phase) ([]*content, []Content) {
	var known []*content
	var given []Content
	for _, c := range m.Contents {
		k := s.find(c.ID())
		if m.Action == ContentAccept && k != nil && !k.added {
			continue // contents of the session-initiate are accepted by session-accept
		}
		if k != nil && k.phase == p && !slices.Contains(known, k) {
			c.Creator = k.id.Creator
			known, given = append(known, k), append(given, c)
		}
	}
	return known, given
}

// agree marks a content as accepted by both sides; accepted is the answer of the side that was asked.
func (c *content) agree(accepted *Content) {
	c.phase = agreed
	if accepted.Senders != "" {
		c.senders = accepted.Senders
	}
	if accepted.Transport != nil {
		c.transport = NSOf(accepted.Transport)
	}
}

// withContents returns a copy of m with other contents.
func (m *Message) withContents(cs []Content) *Message {
	n := *m
	n.Contents = cs
	return &n
}
