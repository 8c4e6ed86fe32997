// Package xmltree holds one XML element as a value: what every stanza and every payload of this project is
// read from and written to.
//
// It is the infoset that XMPP allows (RFC 6120 section 11: no comments, no processing instructions, no DTD, no
// entities but the predefined ones) and nothing more. Namespaces are resolved; prefixes are not kept.
package xmltree

import (
	"cmp"
	"encoding/xml"
	"iter"
	"slices"
	"strings"
)

// Node is a child of an element: an [*Element] or [Text].
type Node interface{ node() }

// Text is character data, unescaped.
type Text string

func (Text) node()     {}
func (*Element) node() {}

// Element is an XML element with resolved names. Attrs never holds namespace declarations.
type Element struct {
	Name     xml.Name
	Attrs    []xml.Attr
	Children []Node
}

// New returns an empty element. Attributes are added with [Element.Set].
func New(ns, local string) *Element {
	return &Element{Name: xml.Name{Space: ns, Local: local}}
}

// Is reports whether the element has this namespace and local name.
func (e *Element) Is(ns, local string) bool {
	return e != nil && e.Name.Local == local && e.Name.Space == ns
}

// Attr returns the value of the attribute without a namespace, and "" if it is absent.
func (e *Element) Attr(local string) string {
	v, _ := e.LookupAttr(local)
	return v
}

// LookupAttr is [Element.Attr] that tells an empty attribute from an absent one.
func (e *Element) LookupAttr(local string) (string, bool) {
	for i := range e.Attrs {
		if a := &e.Attrs[i]; a.Name.Local == local && a.Name.Space == "" {
			return a.Value, true
		}
	}
	return "", false
}

// Set sets the attribute without a namespace and returns e, so that calls can be chained.
func (e *Element) Set(local, value string) *Element {
	for i := range e.Attrs {
		if a := &e.Attrs[i]; a.Name.Local == local && a.Name.Space == "" {
			a.Value = value
			return e
		}
	}
	e.Attrs = append(e.Attrs, xml.Attr{Name: xml.Name{Local: local}, Value: value})
	return e
}

// SetOpt is [Element.Set], but leaves e as it is when the value is empty.
func (e *Element) SetOpt(local, value string) *Element {
	if value == "" {
		return e
	}
	return e.Set(local, value)
}

// Add appends child elements, passing over nil ones, and returns e.
func (e *Element) Add(children ...*Element) *Element {
	for _, c := range children {
		if c != nil {
			e.Children = append(e.Children, c)
		}
	}
	return e
}

// AddText appends character data and returns e.
func (e *Element) AddText(s string) *Element {
	if s != "" {
		e.Children = append(e.Children, Text(s))
	}
	return e
}

// Elements yields the child elements in order.
func (e *Element) Elements() iter.Seq[*Element] {
	return func(yield func(*Element) bool) {
		for _, n := range e.Children {
			if c, ok := n.(*Element); ok && !yield(c) {
				return
			}
		}
	}
}

// Child returns the first child element with this name, or nil.
func (e *Element) Child(ns, local string) *Element {
	for c := range e.Elements() {
		if c.Is(ns, local) {
			return c
		}
	}
	return nil
}

// First returns the first child element of any name, or nil.
func (e *Element) First() *Element {
	for c := range e.Elements() {
		return c
	}
	return nil
}

// Text returns the element's own character data, joined, without surrounding white space.
func (e *Element) Text() string {
	var b strings.Builder
	for _, n := range e.Children {
		if t, ok := n.(Text); ok {
			b.WriteString(string(t))
		}
	}
	return strings.TrimSpace(b.String())
}

// ChildText returns the [Element.Text] of the first child with this name, and "" if there is none.
func (e *Element) ChildText(ns, local string) string {
	if c := e.Child(ns, local); c != nil {
		return c.Text()
	}
	return ""
}

// Clone returns a deep copy.
func (e *Element) Clone() *Element {
	if e == nil {
		return nil
	}
	c := &Element{Name: e.Name, Attrs: slices.Clone(e.Attrs)}
	if e.Children != nil {
		c.Children = make([]Node, len(e.Children))
	}
	for i, n := range e.Children {
		if el, ok := n.(*Element); ok {
			c.Children[i] = el.Clone()
		} else {
			c.Children[i] = n
		}
	}
	return c
}

// Equal reports whether two elements carry the same information: names, attributes in any order, text, and child
// elements. The order of children of one name counts; that of children of different names does not, as no XMPP protocol
// gives it a meaning. White space around text and between elements does not count either.
func (e *Element) Equal(o *Element) bool {
	if e == nil || o == nil {
		return e == o
	}
	if e.Name != o.Name || len(e.Attrs) != len(o.Attrs) || e.Text() != o.Text() {
		return false
	}
	for _, a := range e.Attrs {
		if !slices.Contains(o.Attrs, a) {
			return false
		}
	}
	byName := func(a, b *Element) int {
		return cmp.Or(cmp.Compare(a.Name.Local, b.Name.Local), cmp.Compare(a.Name.Space, b.Name.Space))
	}
	return slices.EqualFunc(slices.SortedStableFunc(e.Elements(), byName), slices.SortedStableFunc(o.Elements(), byName),
		(*Element).Equal)
}
