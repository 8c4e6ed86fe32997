package jmi

import (
	"fmt"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// NS is the namespace of XEP-0353, as its text, schema and all clients have it; its registrar section has another.
const NS = "urn:xmpp:jingle-message:0"

// NSDevice is where Conversations, Dino and Monal put <device id=”/>, a child of proceed, and by it the wish to verify
// the call's fingerprint by OMEMO. It is found in [Message.Extra].
const NSDevice = "http://gultsch.de/xmpp/drafts/omemo/dlts-srtp-verification"

// Kind is the name of the element.
type Kind string

// The elements of XEP-0353. Accept is of its version 0.3.1.
const (
	Propose Kind = "propose"
	Ringing Kind = "ringing"
	Proceed Kind = "proceed"
	Accept  Kind = "accept"
	Reject  Kind = "reject"
	Retract Kind = "retract"
	Finish  Kind = "finish"
)

// Kinds lists every kind.
var Kinds = []Kind{Propose, Ringing, Proceed, Accept, Reject, Retract, Finish}

const (
	maxID           = 256 // bytes
	maxDescriptions = 16
)

// Message is an element of XEP-0353, the child of a message stanza.
type Message struct {
	Kind Kind
	// ID is the id of the Jingle session that is to follow.
	ID string
	// Descriptions tell what is proposed, one for each medium; in [Propose] only.
	Descriptions []jingle.Payload
	// Reason is nil if absent.
	Reason *jingle.Reason
	// TieBreak says that a crossing proposal won (section 4.1); in [Reject] and [Retract].
	TieBreak bool
	// Migrated is the id of the session that takes the place of this one (section 4.2), or ""; in [Finish].
	Migrated string
	// Extra holds child elements that are none of the above.
	Extra []*xmltree.Element
}

// Element returns the element.
func (m *Message) Element() *xmltree.Element {
	e := xmltree.New(NS, string(m.Kind)).Set("id", m.ID)
	for _, d := range m.Descriptions {
		e.Add(d.Element())
	}
	if m.Reason != nil {
		e.Add(m.Reason.Element())
	}
	if m.TieBreak {
		e.Add(xmltree.New(NS, "tie-break"))
	}
	if m.Migrated != "" {
		e.Add(xmltree.New(NS, "migrated").Set("to", m.Migrated))
	}
	for _, x := range m.Extra {
		e.Add(x.Clone())
	}
	return e
}

// Is reports whether e is an element of XEP-0353.
func Is(e *xmltree.Element) bool {
	if e == nil || e.Name.Space != NS {
		return false
	}
	for _, k := range Kinds {
		if e.Name.Local == string(k) {
			return true
		}
	}
	return false
}

// ParseMessage reads an element of XEP-0353; descriptions are read by the codecs of reg. Its error is an
// [*xmltree.Error].
func ParseMessage(e *xmltree.Element, reg *jingle.Registry) (*Message, error) {
	if !Is(e) {
		return nil, &xmltree.Error{Element: e.Name.Local, Problem: "is not an element of " + NS}
	}
	r := xmltree.Attrs(e)
	m := &Message{Kind: Kind(e.Name.Local), ID: r.Required("id")}
	if len(m.ID) > maxID {
		r.Fail("id", fmt.Sprintf("is longer than %d bytes", maxID))
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	for c := range e.Elements() {
		switch {
		case m.Kind == Propose && c.Name.Local == "description":
			if len(m.Descriptions) == maxDescriptions {
				r.Fail("", fmt.Sprintf("has more than %d descriptions", maxDescriptions))
				return nil, r.Err()
			}
			d, err := reg.Parse(c)
			if err != nil {
				return nil, err
			}
			m.Descriptions = append(m.Descriptions, d)
		case c.Name.Local == "reason" && m.Reason == nil:
			m.Reason = jingle.ParseReason(c)
			// Monal's tie-break comes without its namespace, wherever that puts it.
			if app := m.Reason.App; app != nil && app.Name.Local == "tie-break" {
				m.TieBreak, m.Reason.App = true, nil
			}
		case c.Name.Local == "tie-break" && mine(c):
			m.TieBreak = true
		case c.Name.Local == "migrated" && mine(c) && c.Attr("to") != "":
			if m.Migrated = c.Attr("to"); len(m.Migrated) > maxID {
				return nil, &xmltree.Error{Element: "migrated", Attr: "to", Problem: fmt.Sprintf("is longer than %d bytes", maxID)}
			}
		default:
			m.Extra = append(m.Extra, c)
		}
	}
	// Section 3.1 wants a description for each medium, and without one there is nothing to agree to.
	if m.Kind == Propose && len(m.Descriptions) == 0 {
		r.Fail("", "has no <description/>")
	}
	return m, r.Err()
}

// mine reports whether the element's namespace is ours, or one that an element without its namespace ends up in.
func mine(e *xmltree.Element) bool {
	switch e.Name.Space {
	case NS, "", "jabber:client", jingle.NS:
		return true
	}
	return false
}

// media names what a proposal is about: the namespace of each description with its 'media', in the order given.
func media(ds []jingle.Payload) []string {
	var out []string
	for _, d := range ds {
		e := d.Element()
		out = append(out, e.Name.Space+" "+e.Attr("media"))
	}
	return out
}
