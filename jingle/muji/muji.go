// Package muji is XEP-0272 (version 0.2.0): a call of all with all in a chat room, each pair by a Jingle session of its
// own.
//
// <muji/> in presence to the room says what a participant sends, or with <preparing/> that it is about to decide; in a
// session-initiate it names the room that the session belongs to; in an invite of XEP-0482 it is a way to join.
package muji

import (
	"fmt"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// NS is the namespace of XEP-0272.
const NS = "urn:xmpp:jingle:muji:0"

// MaxContents bounds the contents that one participant announces.
const MaxContents = 16

// Muji is a <muji/>.
type Muji struct {
	// Room is the room of the call; empty in presence, which goes to the room.
	Room jid.JID
	// Preparing says that the participant is choosing its contents, and others are to wait (section 4).
	Preparing bool
	// Contents are what the participant sends, each with a description. The payload types that one number stands for
	// must be the same for all participants (section 6).
	Contents []jingle.Content
	// Extra holds child elements that are none of the above.
	Extra []*xmltree.Element
}

// Element implements [jingle.Payload].
func (m Muji) Element() *xmltree.Element {
	e := xmltree.New(NS, "muji").SetOpt("room", m.Room.String())
	for i := range m.Contents {
		c := &m.Contents[i]
		x := xmltree.New(NS, "content").Set("creator", c.Creator.String()).Set("name", c.Name).
			SetOpt("senders", string(c.Senders))
		for _, p := range append([]jingle.Payload{c.Description}, c.Extra...) {
			if p != nil {
				x.Add(p.Element())
			}
		}
		e.Add(x)
	}
	if m.Preparing {
		e.Add(xmltree.New(NS, "preparing"))
	}
	for _, x := range m.Extra {
		e.Add(x.Clone())
	}
	return e
}

// Parse reads a <muji/>; descriptions are read by the codecs of reg. Its error is an [*xmltree.Error].
func Parse(e *xmltree.Element, reg *jingle.Registry) (Muji, error) {
	if !e.Is(NS, "muji") {
		return Muji{}, &xmltree.Error{Element: e.Name.Local, Problem: "is not a <muji/> of " + NS}
	}
	r := xmltree.Attrs(e)
	var m Muji
	if s := r.String("room"); s != "" {
		room, err := jid.Parse(s)
		if err != nil || !room.IsBare() || room.Local() == "" {
			r.Fail("room", "is not the address of a room")
		}
		m.Room = room
	}
	for c := range e.Elements() {
		switch {
		case c.Is(NS, "preparing"):
			m.Preparing = true
		case c.Name.Local == "content" && (c.Name.Space == NS || c.Name.Space == jingle.NS):
			if len(m.Contents) == MaxContents {
				r.Fail("", fmt.Sprintf("has more than %d contents", MaxContents))
				return m, r.Err()
			}
			content, err := parseContent(c, reg)
			if err != nil {
				return m, err
			}
			m.Contents = append(m.Contents, content)
		default:
			m.Extra = append(m.Extra, c)
		}
	}
	return m, r.Err()
}

func parseContent(e *xmltree.Element, reg *jingle.Registry) (jingle.Content, error) {
	r := xmltree.Attrs(e)
	c := jingle.Content{
		Name: r.Required("name"), Creator: jingle.Initiator, Disposition: jingle.DispositionSession,
		Senders: jingle.Senders(r.OneOf("senders", "both", "initiator", "none", "responder")),
	}
	if r.OneOf("creator", "initiator", "responder") == "responder" {
		c.Creator = jingle.Responder
	}
	if err := r.Err(); err != nil {
		return c, err
	}
	for x := range e.Elements() {
		p, err := reg.Parse(x)
		if err != nil {
			return c, err
		}
		if x.Name.Local == "description" && c.Description == nil {
			c.Description = p
		} else {
			c.Extra = append(c.Extra, p)
		}
	}
	return c, nil
}

// Register adds the codec of this package to r, whose other codecs read what stands in a <muji/>.
func Register(r *jingle.Registry) {
	r.Register(NS, "muji", func(e *xmltree.Element) (jingle.Payload, error) {
		m, err := Parse(e, r)
		if err != nil {
			return nil, err
		}
		return m, nil
	})
}
