package xmltree

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Error says which part of a peer's element is wrong. It is the peer's fault, and its sentence is fit to be sent back.
type Error struct {
	Element string // local name
	Attr    string // attribute, or "" if the element itself is meant
	Problem string // "is missing", "is not a number from 0 to 255"
}

func (e *Error) Error() string {
	if e.Attr == "" {
		return fmt.Sprintf("<%s/> %s", e.Element, e.Problem)
	}
	return fmt.Sprintf("attribute '%s' of <%s/> %s", e.Attr, e.Element, e.Problem)
}

// Reader reads the attributes of one element and keeps the first error, so that a codec reads like a list of its
// fields and asks for the error once.
type Reader struct {
	e   *Element
	err error
}

// Attrs returns a reader of e's attributes.
func Attrs(e *Element) *Reader { return &Reader{e: e} }

// Err returns the first error, an [*Error], or nil.
func (r *Reader) Err() error { return r.err }

// Fail records a problem with an attribute (or the element, if attr is ""), unless there is one already.
func (r *Reader) Fail(attr, problem string) {
	if r.err == nil {
		r.err = &Error{Element: r.e.Name.Local, Attr: attr, Problem: problem}
	}
}

// String returns an optional attribute.
func (r *Reader) String(attr string) string { return r.e.Attr(attr) }

// Required returns an attribute that must be there and not be empty.
func (r *Reader) Required(attr string) string {
	v := r.e.Attr(attr)
	if v == "" {
		r.Fail(attr, "is missing")
	}
	return v
}

// OneOf returns an attribute that, if present, has one of the given values. An absent one is "".
func (r *Reader) OneOf(attr string, values ...string) string {
	v, ok := r.e.LookupAttr(attr)
	if ok && !slices.Contains(values, v) {
		r.Fail(attr, "is not one of "+strings.Join(values, ", "))
		return ""
	}
	return v
}

// Uint returns an optional number from 0 to limit; an absent or empty one is def.
func (r *Reader) Uint(attr string, def, limit uint64) uint64 {
	v := strings.TrimSpace(r.e.Attr(attr))
	if v == "" {
		return def
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil || n > limit {
		r.Fail(attr, fmt.Sprintf("is not a number from 0 to %d", limit))
		return def
	}
	return n
}

// RequiredUint returns a number from 0 to limit that must be there.
func (r *Reader) RequiredUint(attr string, limit uint64) uint64 {
	if r.Required(attr) == "" {
		return 0
	}
	return r.Uint(attr, 0, limit)
}

// Bool returns an optional XML Schema boolean (true, false, 1, 0); an absent one is def.
func (r *Reader) Bool(attr string, def bool) bool {
	switch strings.TrimSpace(r.e.Attr(attr)) {
	case "":
		return def
	case "true", "1":
		return true
	case "false", "0":
		return false
	}
	r.Fail(attr, "is not true or false")
	return def
}

// Base64 decodes the element's text, white space ignored.
func (r *Reader) Base64() []byte {
	s := strings.Join(strings.Fields(r.e.Text()), "")
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		r.Fail("", "does not hold base64")
	}
	return b
}
