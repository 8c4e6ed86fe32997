// Package jet is XEP-0391 (version 0.1.2) and what XEP-0396 (0.2.0) makes of it: a <security/> by which the key of an
// encrypted transport comes in an end-to-end encrypted envelope.
//
// A content with it must never be received as if it had none: whoever cannot open the envelope ends the content with
// security-error (section 7), and does not store what comes. [Conn] is the encrypted stream; what an envelope is, an
// [Envelope] says, and package pinned is one.
package jet

import (
	"strings"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// The namespaces, which are disco features as well.
const (
	NS      = "urn:xmpp:jingle:jet:0"
	NSOMEMO = "urn:xmpp:jingle:jet-omemo:0"
)

// TypeOMEMO is the envelope of XEP-0396: a key transport element of OMEMO in its old namespace.
const TypeOMEMO = "eu.siacs.conversations.axolotl"

// Cipher is a cipher by the name that its section 5 gives it.
type Cipher string

// The ciphers of XEP-0391 section 5. With OMEMO only the first is used (XEP-0396 section 4).
const (
	AES128GCM Cipher = "urn:xmpp:ciphers:aes-128-gcm-nopadding:0"
	AES256GCM Cipher = "urn:xmpp:ciphers:aes-256-gcm-nopadding:0"
)

// Security is the <security/> of XEP-0391.
type Security struct {
	// Name is the content that the key is for. Conversations wants it, Dino leaves it out.
	Name string
	// Cipher is as read; see [Security.Known].
	Cipher string
	// Type names the kind of the envelope, e.g. [TypeOMEMO].
	Type string
	// Envelope holds the child elements, one with the encrypted key.
	Envelope []*xmltree.Element
}

// Known returns the cipher that is meant, and false if we know none of this name. The texts write it in three ways:
// with and without ":0" and, once, without what stands before.
func (s Security) Known() (Cipher, bool) {
	name := strings.TrimSuffix(strings.TrimPrefix(s.Cipher, "urn:xmpp:ciphers:"), ":0")
	switch c := Cipher("urn:xmpp:ciphers:" + name + ":0"); c {
	case AES128GCM, AES256GCM:
		return c, true
	}
	return "", false
}

// Element implements [jingle.Payload].
func (s Security) Element() *xmltree.Element {
	e := xmltree.New(NS, "security").SetOpt("name", s.Name).SetOpt("cipher", s.Cipher).SetOpt("type", s.Type)
	for _, x := range s.Envelope {
		e.Add(x.Clone())
	}
	return e
}

// ParseSecurity reads a <security/> of XEP-0391.
func ParseSecurity(e *xmltree.Element) (Security, error) {
	if !e.Is(NS, "security") {
		return Security{}, &xmltree.Error{Element: e.Name.Local, Problem: "is not a <security/> of " + NS}
	}
	r := xmltree.Attrs(e)
	s := Security{Name: r.String("name"), Cipher: r.Required("cipher"), Type: r.Required("type")}
	for c := range e.Elements() {
		s.Envelope = append(s.Envelope, c)
	}
	if len(s.Envelope) == 0 {
		r.Fail("", "has no envelope")
	}
	return s, r.Err()
}

// Register adds the codec of this package to r.
func Register(r *jingle.Registry) {
	r.Register(NS, "security", func(e *xmltree.Element) (jingle.Payload, error) {
		s, err := ParseSecurity(e)
		if err != nil {
			return nil, err
		}
		return s, nil
	})
}
