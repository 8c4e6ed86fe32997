// Package pub is XEP-0358 (version 0.4): telling others of Jingle sessions that they can have for the asking, e.g. a file
// in a PubSub node or a camera in a message.
//
// The one who wants it sends <start/> as an IQ-get; the answer <starting/> has the id of the session that the publisher
// will initiate. An unknown id is answered with not-acceptable, a forbidden one with forbidden (section 2.2).
package pub

import (
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// NS is the namespace of XEP-0358.
const NS = "urn:xmpp:jinglepub:1"

const (
	maxDescriptions = 16
	xmlNS           = "http://www.w3.org/XML/1998/namespace"
)

// Publication is a <jinglepub/> (section 2.1).
type Publication struct {
	// From is who to ask; empty if it is the sender of the stanza.
	From jid.JID
	ID   string
	// URI leads to the content, or something about it, in another way.
	URI string
	// Metas tell people what it is, in one or more languages.
	Metas []Meta
	// Descriptions tell what the session will have.
	Descriptions []jingle.Payload
	// Extra holds child elements that are none of the above.
	Extra []*xmltree.Element
}

// Meta is a <meta/>.
type Meta struct{ Lang, Title, Summary string }

// Element implements [jingle.Payload].
func (p Publication) Element() *xmltree.Element {
	e := xmltree.New(NS, "jinglepub").SetOpt("from", p.From.String()).Set("id", p.ID)
	if p.URI != "" {
		e.Add(xmltree.New(NS, "uri").AddText(p.URI))
	}
	for _, m := range p.Metas {
		x := xmltree.New(NS, "meta").SetOpt("title", m.Title).SetOpt("summary", m.Summary)
		if m.Lang != "" {
			x.Attrs = append(x.Attrs, xml.Attr{Name: xml.Name{Space: xmlNS, Local: "lang"}, Value: m.Lang})
		}
		e.Add(x)
	}
	for _, d := range p.Descriptions {
		e.Add(d.Element())
	}
	for _, x := range p.Extra {
		e.Add(x.Clone())
	}
	return e
}

// ParsePublication reads a <jinglepub/>; descriptions are read by the codecs of reg. Its error is an [*xmltree.Error].
func ParsePublication(e *xmltree.Element, reg *jingle.Registry) (Publication, error) {
	if !e.Is(NS, "jinglepub") {
		return Publication{}, &xmltree.Error{Element: e.Name.Local, Problem: "is not a <jinglepub/> of " + NS}
	}
	r := xmltree.Attrs(e)
	p := Publication{ID: r.Required("id")}
	if s := r.String("from"); s != "" {
		var err error
		if p.From, err = jid.Parse(s); err != nil {
			r.Fail("from", "is not an XMPP address")
		}
	}
	for c := range e.Elements() {
		switch {
		case c.Is(NS, "uri") && p.URI == "":
			p.URI = c.Text()
		case c.Is(NS, "meta"):
			m := Meta{Title: c.Attr("title"), Summary: c.Attr("summary")}
			for _, a := range c.Attrs {
				if a.Name.Space == xmlNS && a.Name.Local == "lang" {
					m.Lang = a.Value
				}
			}
			p.Metas = append(p.Metas, m)
		case c.Name.Local == "description" && len(p.Descriptions) < maxDescriptions:
			d, err := reg.Parse(c)
			if err != nil {
				return p, err
			}
			p.Descriptions = append(p.Descriptions, d)
		default:
			p.Extra = append(p.Extra, c)
		}
	}
	return p, r.Err()
}

// Start is a <start/>, the request for a session (section 2.2).
type Start struct{ ID string }

// Element returns the <start/>.
func (s Start) Element() *xmltree.Element { return xmltree.New(NS, "start").Set("id", s.ID) }

// ParseStart reads a <start/>. Some examples of the XEP have the id as text.
func ParseStart(e *xmltree.Element) (Start, error) {
	if !e.Is(NS, "start") {
		return Start{}, &xmltree.Error{Element: e.Name.Local, Problem: "is not a <start/> of " + NS}
	}
	s := Start{ID: e.Attr("id")}
	if s.ID == "" {
		s.ID = e.Text()
	}
	if s.ID == "" || len(s.ID) > 1024 {
		return s, &xmltree.Error{Element: "start", Attr: "id", Problem: "is missing or longer than 1024 bytes"}
	}
	return s, nil
}

// Starting is a <starting/>, the answer to [Start].
type Starting struct{ SID string }

// Element returns the <starting/>.
func (s Starting) Element() *xmltree.Element { return xmltree.New(NS, "starting").Set("sid", s.SID) }

// ParseStarting reads a <starting/>.
func ParseStarting(e *xmltree.Element) (Starting, error) {
	if !e.Is(NS, "starting") {
		return Starting{}, &xmltree.Error{Element: e.Name.Local, Problem: "is not a <starting/> of " + NS}
	}
	r := xmltree.Attrs(e)
	s := Starting{SID: r.Required("sid")}
	return s, r.Err()
}

// URI returns the xmpp: URI that asks the publisher for a session (section 6.3).
func URI(publisher jid.JID, id string) string {
	return fmt.Sprintf("xmpp:%s?jingle;id=%s", escape(publisher.String()), escape(id))
}

// escape keeps what RFC 5122 section 2.2 allows everywhere in an xmpp: URI.
func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~@/", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// Register adds the codec of <jinglepub/> to r, whose other codecs read its descriptions.
func Register(r *jingle.Registry) {
	r.Register(NS, "jinglepub", func(e *xmltree.Element) (jingle.Payload, error) {
		p, err := ParsePublication(e, r)
		if err != nil {
			return nil, err
		}
		return p, nil
	})
}
