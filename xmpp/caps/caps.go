// Package caps is entity capabilities (XEP-0115 v1.6.0): a hash in presence that stands for a disco#info answer, how
// it is computed and checked, and a cache of answers that passed the check.
package caps

import (
	"crypto/sha1" // XEP-0115 section 5.1 makes SHA-1 the one hash that everybody has.
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"hash"
	"slices"
	"strings"

	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/disco"
)

// NS is the namespace of <c/> in presence.
const NS = "http://jabber.org/protocol/caps"

// Caps is the <c/> element of a presence stanza.
type Caps struct {
	Node string // a URI of the software, e.g. "https://dino.im"
	Ver  string // the verification string
	Hash string // name of the hash, e.g. "sha-1"; "" in the old form before version 1.4, whose ver says nothing
}

// maxAttr bounds the attributes of <c/>: a longer one is taken as absent.
const maxAttr = 1024

// Find returns the capabilities that a presence stanza carries. ok is false if there are none that can be used.
func Find(presence *xmltree.Element) (c Caps, ok bool) {
	x := presence.Child(NS, "c")
	if x == nil {
		return Caps{}, false
	}
	c = Caps{Node: x.Attr("node"), Ver: x.Attr("ver"), Hash: x.Attr("hash")}
	if c.Node == "" || c.Ver == "" || len(c.Node) > maxAttr || len(c.Ver) > maxAttr || len(c.Hash) > maxAttr {
		return Caps{}, false
	}
	return c, true
}

// Element returns the <c/> for a presence stanza.
func (c Caps) Element() *xmltree.Element {
	return xmltree.New(NS, "c").SetOpt("hash", c.Hash).Set("node", c.Node).Set("ver", c.Ver)
}

// QueryNode returns the node to ask in disco#info for these capabilities (section 6.2).
func (c Caps) QueryNode() string { return c.Node + "#" + c.Ver }

// ErrIllFormed is returned for an answer whose hash must not be trusted (section 5.4 items 3.3 to 3.6).
var ErrIllFormed = errors.New("disco#info answer is ill-formed for capabilities")

// ErrUnknownHash is returned for a hash function that is not supported (section 5.4 item 3.1).
var ErrUnknownHash = errors.New("unknown capabilities hash")

// ErrMismatch is returned where the answer does not have the hash that was announced (section 5.4 item 3.8).
var ErrMismatch = errors.New("disco#info answer does not match its capabilities hash")

func newHash(name string) func() hash.Hash {
	switch strings.ToLower(name) {
	case "sha-1":
		return sha1.New
	case "sha-256":
		return sha256.New
	case "sha-512":
		return sha512.New
	}
	return nil
}

// Ver computes the verification string of an answer (section 5.1).
func Ver(info *disco.Info, hashName string) (string, error) {
	h := newHash(hashName)
	if h == nil {
		return "", ErrUnknownHash
	}
	s, err := hashInput(info)
	if err != nil {
		return "", err
	}
	d := h()
	d.Write([]byte(s))
	return base64.StdEncoding.EncodeToString(d.Sum(nil)), nil
}

// Verify checks an answer against announced capabilities (section 5.4).
func Verify(info *disco.Info, c Caps) error {
	ver, err := Ver(info, c.Hash)
	if err != nil {
		return err
	}
	if ver != c.Ver {
		return ErrMismatch
	}
	return nil
}

// hashInput builds the string S of section 5.1. Beyond section 5.4 it refuses values with '<' in them: as S only
// joins its parts, such values let an attacker build another answer with the same hash.
func hashInput(info *disco.Info) (string, error) {
	var b strings.Builder
	ids := make([]string, 0, len(info.Identities))
	for _, d := range info.Identities {
		if strings.ContainsRune(d.Category+d.Type+d.Lang+d.Name, '<') || strings.ContainsRune(d.Category+d.Type+d.Lang, '/') {
			return "", ErrIllFormed
		}
		ids = append(ids, d.Category+"/"+d.Type+"/"+d.Lang+"/"+d.Name)
	}
	features := slices.Clone(info.Features)
	if sortUnique(ids) || sortUnique(features) {
		return "", ErrIllFormed // section 5.4 items 3.3 and 3.4
	}
	for _, s := range append(ids, features...) {
		if strings.ContainsRune(s, '<') {
			return "", ErrIllFormed
		}
		b.WriteString(s + "<")
	}
	forms, err := formInputs(info.Forms)
	if err != nil {
		return "", err
	}
	for _, f := range forms {
		b.WriteString(f)
	}
	return b.String(), nil
}

// sortUnique sorts by octets (i;octet collation) and reports whether a value stands there twice.
func sortUnique(s []string) (dup bool) {
	slices.Sort(s)
	return len(slices.Compact(slices.Clone(s))) != len(s)
}

// formInputs renders the forms in the order of their FORM_TYPE (section 5.1 items 6 and 7).
func formInputs(forms []*xmltree.Element) ([]string, error) {
	type form struct{ typ, text string }
	var out []form
	for _, x := range forms {
		typ, fields, err := readForm(x)
		if err != nil {
			return nil, err
		}
		if typ == "" {
			continue // section 5.4 item 3.6: no FORM_TYPE or not hidden: ignore the form
		}
		if slices.ContainsFunc(out, func(f form) bool { return f.typ == typ }) {
			return nil, ErrIllFormed // item 3.5
		}
		out = append(out, form{typ, typ + "<" + fields})
	}
	slices.SortFunc(out, func(a, b form) int { return strings.Compare(a.typ, b.typ) })
	texts := make([]string, len(out))
	for i, f := range out {
		texts[i] = f.text
	}
	return texts, nil
}

func readForm(x *xmltree.Element) (typ, text string, err error) {
	type field struct{ name, text string }
	var fields []field
	for f := range x.Elements() {
		if !f.Is(disco.NSData, "field") {
			continue
		}
		var values []string
		for v := range f.Elements() {
			if v.Is(disco.NSData, "value") {
				values = append(values, v.Text())
			}
		}
		name := f.Attr("var")
		if strings.ContainsRune(name, '<') || slices.ContainsFunc(values, func(s string) bool { return strings.ContainsRune(s, '<') }) {
			return "", "", ErrIllFormed
		}
		if name == "FORM_TYPE" {
			if typ != "" || len(values) == 0 || slices.ContainsFunc(values, func(s string) bool { return s != values[0] }) {
				return "", "", ErrIllFormed // item 3.5: FORM_TYPE with different values
			}
			if f.Attr("type") == "hidden" {
				typ = values[0]
			}
			continue
		}
		slices.Sort(values)
		t := name + "<"
		for _, v := range values {
			t += v + "<"
		}
		fields = append(fields, field{name, t})
	}
	slices.SortStableFunc(fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
	for _, f := range fields {
		text += f.text
	}
	return typ, text, nil
}
