// Package disco is service discovery (XEP-0030 v2.5): what an entity is, which features it has, which items it knows.
package disco

import (
	"context"
	"slices"
	"strings"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// The namespaces of this package.
const (
	NSInfo  = "http://jabber.org/protocol/disco#info"
	NSItems = "http://jabber.org/protocol/disco#items"
	NSData  = "jabber:x:data"
)

const nsXML = "http://www.w3.org/XML/1998/namespace"

// Limits on what an answer may hold; the rest of a longer one is refused.
const (
	maxIdentities = 64
	maxFeatures   = 1024
	maxForms      = 16
	maxItems      = 1024
)

// Identity says what an entity is, e.g. category "client", type "pc" (XEP-0030 section 3.1).
type Identity struct {
	Category string
	Type     string
	Lang     string // xml:lang, usually ""
	Name     string // for people, may be ""
}

// Info is the answer to a disco#info query.
type Info struct {
	Node       string // "" for the entity itself
	Identities []Identity
	Features   []string           // in the order received
	Forms      []*xmltree.Element // data forms that extend the answer (XEP-0128)
}

// Has reports whether every one of the features is there.
func (i *Info) Has(features ...string) bool {
	if i == nil {
		return false
	}
	for _, f := range features {
		if !slices.Contains(i.Features, f) {
			return false
		}
	}
	return true
}

// IsClient reports whether one of the identities is that of a client for people or machines.
func (i *Info) IsClient() bool {
	return i != nil && slices.ContainsFunc(i.Identities, func(d Identity) bool { return d.Category == "client" })
}

// Element returns the <query/> that answers a disco#info request.
func (i *Info) Element() *xmltree.Element {
	q := xmltree.New(NSInfo, "query").SetOpt("node", i.Node)
	for _, d := range i.Identities {
		x := xmltree.New(NSInfo, "identity").Set("category", d.Category).Set("type", d.Type).SetOpt("name", d.Name)
		setLang(x, d.Lang)
		q.Add(x)
	}
	for _, f := range i.Features {
		q.Add(xmltree.New(NSInfo, "feature").Set("var", f))
	}
	for _, f := range i.Forms {
		q.Add(f.Clone())
	}
	return q
}

// ParseInfo reads a disco#info <query/>. Its error is an [*xmltree.Error]. Lists longer than 64 identities, 1024
// features or 16 forms are refused.
func ParseInfo(q *xmltree.Element) (*Info, error) {
	if !q.Is(NSInfo, "query") {
		return nil, wrongElement(q, "is not a disco#info query")
	}
	i := &Info{Node: q.Attr("node")}
	for c := range q.Elements() {
		switch {
		case c.Is(NSInfo, "identity"):
			r := xmltree.Attrs(c)
			d := Identity{Category: r.Required("category"), Type: r.Required("type"), Name: r.String("name"), Lang: lang(c)}
			if r.Err() != nil {
				return nil, r.Err()
			}
			i.Identities = append(i.Identities, d)
		case c.Is(NSInfo, "feature"):
			r := xmltree.Attrs(c)
			i.Features = append(i.Features, r.Required("var"))
			if r.Err() != nil {
				return nil, r.Err()
			}
		case c.Is(NSData, "x"):
			i.Forms = append(i.Forms, c)
		}
	}
	if len(i.Identities) > maxIdentities || len(i.Features) > maxFeatures || len(i.Forms) > maxForms {
		return nil, wrongElement(q, "is too long")
	}
	return i, nil
}

// Item is an entity that another one knows (XEP-0030 section 4).
type Item struct {
	JID  jid.JID
	Node string
	Name string
}

// Items is the answer to a disco#items query.
type Items struct {
	Node  string
	Items []Item
}

// Element returns the <query/> that answers a disco#items request.
func (i *Items) Element() *xmltree.Element {
	q := xmltree.New(NSItems, "query").SetOpt("node", i.Node)
	for _, it := range i.Items {
		q.Add(xmltree.New(NSItems, "item").Set("jid", it.JID.String()).SetOpt("node", it.Node).SetOpt("name", it.Name))
	}
	return q
}

// ParseItems reads a disco#items <query/>. Items whose address is not valid are left out; more than 1024 are refused.
func ParseItems(q *xmltree.Element) (*Items, error) {
	if !q.Is(NSItems, "query") {
		return nil, wrongElement(q, "is not a disco#items query")
	}
	i := &Items{Node: q.Attr("node")}
	for c := range q.Elements() {
		if !c.Is(NSItems, "item") {
			continue
		}
		j, err := jid.Parse(c.Attr("jid"))
		if err != nil {
			continue
		}
		if len(i.Items) == maxItems {
			return nil, wrongElement(q, "is too long")
		}
		i.Items = append(i.Items, Item{JID: j, Node: c.Attr("node"), Name: c.Attr("name")})
	}
	return i, nil
}

// Querier sends an IQ and waits for its reply's payload; an error reply is a *jingle.StanzaError. An xmpp.Client is one.
type Querier interface {
	Query(ctx context.Context, to jid.JID, typ string, payload *xmltree.Element) (*xmltree.Element, error)
}

// QueryInfo asks an entity for its identities and features. node may be "".
func QueryInfo(ctx context.Context, q Querier, to jid.JID, node string) (*Info, error) {
	reply, err := q.Query(ctx, to, "get", xmltree.New(NSInfo, "query").SetOpt("node", node))
	if err != nil {
		return nil, err
	}
	return ParseInfo(reply)
}

// QueryItems asks an entity for the items it knows. node may be "".
func QueryItems(ctx context.Context, q Querier, to jid.JID, node string) (*Items, error) {
	reply, err := q.Query(ctx, to, "get", xmltree.New(NSItems, "query").SetOpt("node", node))
	if err != nil {
		return nil, err
	}
	return ParseItems(reply)
}

func lang(e *xmltree.Element) string {
	for _, a := range e.Attrs {
		if a.Name.Space == nsXML && a.Name.Local == "lang" {
			return a.Value
		}
	}
	return ""
}

func wrongElement(e *xmltree.Element, problem string) error {
	name := "query"
	if e != nil {
		name = strings.ToValidUTF8(e.Name.Local, "")
	}
	return &xmltree.Error{Element: name, Problem: problem}
}
