package hashes

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// maxText bounds what is read of a hash value; the longest known one has 88 characters.
const maxText = 1024

// Hash is a <hash/> element. It implements [jingle.Payload].
type Hash struct {
	// NS is [NS] if it is empty.
	NS string
	// Algo is the function, as the peer wrote it.
	Algo Algo
	// Sum is the value. It is nil where the peer announced a function without a value (XEP-0234 section 5), and where
	// the value cannot be read (an unknown function, or a sample of an old version).
	Sum []byte
	// text is the value as the peer wrote it, where that is not the base64 of Sum.
	text string
}

// Of returns the hash element of a value.
func Of(a Algo, sum []byte) Hash { return Hash{Algo: a, Sum: slices.Clone(sum)} }

// Usable reports whether data can be checked against the hash.
func (h Hash) Usable() bool { return h.Algo.Known() && len(h.Sum) == h.Algo.Size() }

// Hex returns the value in hexadecimal, or "".
func (h Hash) Hex() string { return hex.EncodeToString(h.Sum) }

// Element implements [jingle.Payload].
func (h Hash) Element() *xmltree.Element {
	text := h.text
	if text == "" {
		text = base64.StdEncoding.EncodeToString(h.Sum)
	}
	return xmltree.New(orNS(h.NS), "hash").Set("algo", string(h.Algo)).AddText(text)
}

// Used is a <hash-used/> element: the function whose value follows later. It implements [jingle.Payload].
type Used struct {
	// NS is [NS] if it is empty.
	NS   string
	Algo Algo
}

// Element implements [jingle.Payload].
func (u Used) Element() *xmltree.Element {
	return xmltree.New(orNS(u.NS), "hash-used").Set("algo", string(u.Algo))
}

func orNS(ns string) string {
	if ns == "" {
		return NS
	}
	return ns
}

// IsNS reports whether ns is one of the namespaces of this package.
func IsNS(ns string) bool { return ns == NS || ns == NS1 || ns == NS0 }

// Parse reads a <hash/> element. A function that is not known is no error, and neither is a value of the wrong size, of
// which the specifications' examples are full: it is kept, and not [Hash.Usable].
func Parse(e *xmltree.Element) (Hash, error) {
	r := xmltree.Attrs(e)
	h := Hash{NS: e.Name.Space, Algo: Algo(r.Required("algo"))}
	if !IsNS(e.Name.Space) || e.Name.Local != "hash" {
		r.Fail("", "is not a <hash/> of "+NS)
	}
	text := e.Text()
	if len(text) > maxText {
		r.Fail("", "is longer than "+strconv.Itoa(maxText)+" characters")
	}
	if len(h.Algo) > 64 {
		r.Fail("algo", "is longer than 64 characters")
	}
	if err := r.Err(); err != nil {
		return Hash{}, err
	}
	if text == "" {
		return h, nil
	}
	sum, ok := decode(e, text, h.Algo.Size())
	if !ok && h.NS == NS && h.Algo.Known() {
		return Hash{}, &xmltree.Error{Element: "hash", Problem: "does not hold base64"}
	}
	if h.Sum = sum; base64.StdEncoding.EncodeToString(sum) != text {
		h.text = text
	}
	return h, nil
}

// decode returns the value of size bytes, nil if text is a value of another size, and false if it is none at all. Some
// clients kept hexadecimal over the change of namespace.
func decode(e *xmltree.Element, text string, size int) ([]byte, bool) {
	if size > 0 && len(text) == hex.EncodedLen(size) {
		if b, err := hex.DecodeString(text); err == nil {
			return b, true
		}
	}
	r := xmltree.Attrs(e)
	b := r.Base64()
	if r.Err() != nil {
		return nil, false
	}
	if size == 0 || len(b) != size {
		return nil, true
	}
	return b, true
}

// ParseUsed reads a <hash-used/> element.
func ParseUsed(e *xmltree.Element) (Used, error) {
	r := xmltree.Attrs(e)
	u := Used{NS: e.Name.Space, Algo: Algo(r.Required("algo"))}
	if !IsNS(e.Name.Space) || e.Name.Local != "hash-used" {
		r.Fail("", "is not a <hash-used/> of "+NS)
	}
	if len(u.Algo) > 64 {
		r.Fail("algo", "is longer than 64 characters")
	}
	return u, r.Err()
}

// Register adds the elements of this package to r.
func Register(r *jingle.Registry) {
	for _, ns := range []string{NS, NS1, NS0} {
		r.Register(ns, "hash", func(e *xmltree.Element) (jingle.Payload, error) { return payload(Parse(e)) })
		r.Register(ns, "hash-used", func(e *xmltree.Element) (jingle.Payload, error) { return payload(ParseUsed(e)) })
	}
}

// payload keeps a nil interface where there is an error.
func payload[P jingle.Payload](p P, err error) (jingle.Payload, error) {
	if err != nil {
		return nil, err
	}
	return p, nil
}
