package jingle

import (
	"encoding/xml"
	"fmt"

	"github.com/jingled/jingled/xmltree"
)

// Payload is a value that stands inside <jingle/>: a description, a transport, a security precondition, the content
// of a session-info. It is immutable once it has been handed over.
type Payload interface {
	// Element returns the payload's XML form, a new element at each call.
	Element() *xmltree.Element
}

// Opaque is a payload of a namespace that nobody registered. It is written back as it was read.
type Opaque struct{ XML *xmltree.Element }

// Element implements [Payload].
func (o Opaque) Element() *xmltree.Element { return o.XML.Clone() }

// Parse reads one payload. The error it returns is the peer's fault and is answered with bad-request, its text
// included; it should be an [*xmltree.Error]. Unknown attributes and children are no error: keep or ignore them.
type Parse func(*xmltree.Element) (Payload, error)

// Registry maps element names to the codecs of their payloads. The zero value knows none. It must not be changed
// once it is in use.
type Registry struct {
	parse map[xml.Name]Parse
}

// Register adds the codec of {ns}local. It panics if there is one already, as that is a mistake of the program.
func (r *Registry) Register(ns, local string, p Parse) {
	name := xml.Name{Space: ns, Local: local}
	if _, dup := r.parse[name]; dup {
		panic(fmt.Sprintf("jingle: {%s}%s registered twice", ns, local))
	}
	if r.parse == nil {
		r.parse = make(map[xml.Name]Parse)
	}
	r.parse[name] = p
}

// Known reports whether there is a codec for {ns}local.
func (r *Registry) Known(ns, local string) bool {
	_, ok := r.parse[xml.Name{Space: ns, Local: local}]
	return ok
}

// Parse reads an element by its registered codec, or as [Opaque].
func (r *Registry) Parse(e *xmltree.Element) (Payload, error) {
	if p, ok := r.parse[e.Name]; ok {
		return p(e)
	}
	return Opaque{e}, nil
}

// NSOf returns the namespace of a payload, and "" for nil.
func NSOf(p Payload) string {
	switch p := p.(type) {
	case nil:
		return ""
	case Opaque:
		return p.XML.Name.Space
	}
	return p.Element().Name.Space
}
