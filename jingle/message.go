package jingle

import (
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// NSGrouping is the namespace of <group/> (XEP-0338).
const NSGrouping = "urn:xmpp:jingle:apps:grouping:0"

// Message is a <jingle/> element.
type Message struct {
	Action Action
	SID    string
	// Initiator belongs on session-initiate and Responder on session-accept only; elsewhere they are read and
	// ignored (XEP-0166 section 7.1).
	Initiator, Responder jid.JID
	Contents             []Content
	Groups               []Group
	Reason               *Reason
	// Info holds what else stands in <jingle/>: the payload of a session-info, a <muji/>, a <transfer/>.
	Info []Payload
}

// Content is a <content/> element (XEP-0166 section 7.3). Which parts are there depends on the action.
type Content struct {
	// Creator is the party that first added the content.
	Creator Role
	// Name identifies the content together with Creator.
	Name string
	// Disposition is "session" where the attribute is absent.
	Disposition string
	// Senders is empty where the attribute is absent; that means both, but for content-modify.
	Senders Senders
	// Description, Transport and Security are nil where absent.
	Description, Transport, Security Payload
	// Extra holds children that are none of the three.
	Extra []Payload
}

// ContentID identifies a content in its session (XEP-0166 section 7.3).
type ContentID struct {
	Creator Role
	Name    string
}

// ID returns the content's identity.
func (c *Content) ID() ContentID { return ContentID{c.Creator, c.Name} }

// Group is a <group/> element (XEP-0338 section 2), e.g. of the semantics BUNDLE.
type Group struct {
	Semantics string
	Contents  []string // names
}

// Content returns the first content of this name, or nil. Every client writes creator='initiator', also for contents
// that the responder made, so a name is what identifies a content in practice.
func (m *Message) Content(name string) *Content {
	for i := range m.Contents {
		if m.Contents[i].Name == name {
			return &m.Contents[i]
		}
	}
	return nil
}

// Element returns the <jingle/> element.
func (m *Message) Element() *xmltree.Element {
	e := xmltree.New(NS, "jingle").Set("action", string(m.Action)).
		SetOpt("initiator", m.Initiator.String()).SetOpt("responder", m.Responder.String()).Set("sid", m.SID)
	for i := range m.Contents {
		e.Add(m.Contents[i].element())
	}
	for _, g := range m.Groups {
		e.Add(g.element())
	}
	for _, p := range m.Info {
		e.Add(p.Element())
	}
	if m.Reason != nil {
		e.Add(m.Reason.Element())
	}
	return e
}

func (c *Content) element() *xmltree.Element {
	e := xmltree.New(NS, "content").Set("creator", c.Creator.String())
	if c.Disposition != DispositionSession {
		e.SetOpt("disposition", c.Disposition)
	}
	e.Set("name", c.Name).SetOpt("senders", string(c.Senders))
	for _, p := range []Payload{c.Description, c.Transport, c.Security} {
		if p != nil {
			e.Add(p.Element())
		}
	}
	for _, p := range c.Extra {
		e.Add(p.Element())
	}
	return e
}

func (g *Group) element() *xmltree.Element {
	e := xmltree.New(NSGrouping, "group").Set("semantics", g.Semantics)
	for _, n := range g.Contents {
		e.Add(xmltree.New(NSGrouping, "content").Set("name", n))
	}
	return e
}

// ParseMessage reads a <jingle/> element; payloads are read by the codecs of reg. Its error is an [*xmltree.Error]
// and is answered with bad-request. An unknown action is no error here: see [Action.Known].
func ParseMessage(e *xmltree.Element, reg *Registry) (*Message, error) {
	if !e.Is(NS, "jingle") {
		return nil, &xmltree.Error{Element: e.Name.Local, Problem: "is not a <jingle/> element of " + NS}
	}
	r := xmltree.Attrs(e)
	m := &Message{Action: Action(r.Required("action")), SID: r.Required("sid")}
	if err := r.Err(); err != nil {
		return nil, err
	}
	// XEP-0166 section 7.1: to be ignored where they make no sense, so a broken one is as good as none.
	m.Initiator, _ = jid.Parse(r.String("initiator"))
	m.Responder, _ = jid.Parse(r.String("responder"))
	for c := range e.Elements() {
		switch {
		case c.Is(NS, "content"):
			content, err := parseContent(c, reg)
			if err != nil {
				return nil, err
			}
			m.Contents = append(m.Contents, content)
		case c.Is(NS, "reason"):
			m.Reason = ParseReason(c)
		case c.Is(NSGrouping, "group"):
			g, err := parseGroup(c)
			if err != nil {
				return nil, err
			}
			m.Groups = append(m.Groups, g)
		default:
			p, err := reg.Parse(c)
			if err != nil {
				return nil, err
			}
			m.Info = append(m.Info, p)
		}
	}
	return m, nil
}

func parseContent(e *xmltree.Element, reg *Registry) (Content, error) {
	r := xmltree.Attrs(e)
	c := Content{Name: r.Required("name"), Creator: Initiator, Disposition: DispositionSession}
	// XEP-0166 section 7.3 requires 'creator' and section 17 gives it the default "initiator".
	if r.OneOf("creator", "initiator", "responder") == "responder" {
		c.Creator = Responder
	}
	if d := r.String("disposition"); d != "" {
		c.Disposition = d
	}
	c.Senders = Senders(r.OneOf("senders", "both", "initiator", "none", "responder"))
	if err := r.Err(); err != nil {
		return c, err
	}
	for x := range e.Elements() {
		p, err := reg.Parse(x)
		if err != nil {
			return c, err
		}
		slot := &c.Description
		switch x.Name.Local {
		case "description":
		case "transport":
			slot = &c.Transport
		case "security":
			slot = &c.Security
		default:
			c.Extra = append(c.Extra, p)
			continue
		}
		if *slot != nil {
			return c, &xmltree.Error{Element: "content", Problem: "has more than one <" + x.Name.Local + "/>"}
		}
		*slot = p
	}
	return c, nil
}

func parseGroup(e *xmltree.Element) (Group, error) {
	r := xmltree.Attrs(e)
	g := Group{Semantics: r.Required("semantics")}
	if err := r.Err(); err != nil {
		return g, err
	}
	for c := range e.Elements() {
		// The names stand in the grouping namespace by the text of XEP-0338 and in Jingle's by its first drafts.
		if c.Name.Local == "content" {
			cr := xmltree.Attrs(c)
			g.Contents = append(g.Contents, cr.Required("name"))
			if err := cr.Err(); err != nil {
				return g, err
			}
		}
	}
	return g, nil
}
