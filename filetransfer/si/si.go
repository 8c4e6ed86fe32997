// Package si is stream initiation and its file transfer profile, XEP-0095 (version 1.2) and XEP-0096 (version 1.3.1):
// how files were offered before Jingle, and still are by Pidgin and gabble. Here are the payloads.
package si

import (
	"math"
	"strconv"
	"strings"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// Namespaces of XEP-0095, of the file transfer profile, and of what they are made of.
const (
	NS            = "http://jabber.org/protocol/si"
	NSFile        = "http://jabber.org/protocol/si/profile/file-transfer"
	NSFeatureNeg  = "http://jabber.org/protocol/feature-neg"
	NSDataForms   = "jabber:x:data"
	streamMethod  = "stream-method"
	maxMethods    = 32
	maxName       = 4096
	maxAttr       = 1024
	typeForm      = "form"
	typeSubmit    = "submit"
	fieldListType = "list-single"
)

// SI is the <si/> element, an offer or the answer to one. It implements [jingle.Payload].
type SI struct {
	// ID is the id of the stream to come; an answer has none (XEP-0095 section 4.1).
	ID string
	// MIMEType is "" where absent, which means application/octet-stream.
	MIMEType string
	// Profile is [NSFile] in an offer of a file, and "" in an answer.
	Profile string
	File    *File // nil where absent
	// Methods are the namespaces of the streams on offer, in an offer; Method is the chosen one, in an answer.
	Methods []string
	Method  string
	// Extra holds children that are none of these: other profiles, thumbnails.
	Extra []*xmltree.Element

	feature *xmltree.Element // as it was read: data forms come in many shapes
	order   []string
}

// File is the <file/> of the profile (XEP-0096 section 3).
type File struct {
	// Name is what the peer wrote and must never be used as a path.
	Name string
	// Size is nil where absent; it MUST be there in an offer.
	Size *int64
	// Hash is the MD5 of the file in hexadecimal, or "".
	Hash string
	// Date is as in XEP-0082, or "".
	Date string
	Desc string
	// Range is nil where absent; in an offer it says that ranges are understood.
	Range *Range
	// Extra holds children that are none of these.
	Extra []*xmltree.Element
}

// Range is the <range/> of XEP-0096 section 3, in bytes; nil where absent: 0, and up to the end.
type Range struct{ Offset, Length *int64 }

// Element implements [jingle.Payload].
func (s SI) Element() *xmltree.Element {
	e := xmltree.New(NS, "si").SetOpt("id", s.ID).SetOpt("mime-type", s.MIMEType).SetOpt("profile", s.Profile)
	feature := s.feature
	if feature == nil {
		feature = s.form()
	}
	var file *xmltree.Element
	if s.File != nil {
		file = s.File.element()
	}
	extra := s.Extra
	for _, kind := range s.order {
		switch {
		case kind == "feature":
			e.Add(feature.Clone())
			feature = nil
		case kind == "file":
			e.Add(file)
			file = nil
		case len(extra) > 0:
			e.Add(extra[0].Clone())
			extra = extra[1:]
		}
	}
	e.Add(file)
	for _, x := range extra {
		e.Add(x.Clone())
	}
	if feature != nil {
		e.Add(feature.Clone())
	}
	return e
}

// form returns the <feature/> of XEP-0095 section 3.2, or nil.
func (s SI) form() *xmltree.Element {
	if len(s.Methods) == 0 && s.Method == "" {
		return nil
	}
	value := func(v string) *xmltree.Element { return xmltree.New(NSDataForms, "value").AddText(v) }
	x := xmltree.New(NSDataForms, "x")
	field := xmltree.New(NSDataForms, "field").Set("var", streamMethod)
	if s.Method != "" {
		x.Set("type", typeSubmit)
		field.Add(value(s.Method))
	} else {
		x.Set("type", typeForm)
		field.Set("type", fieldListType)
		for _, m := range s.Methods {
			field.Add(xmltree.New(NSDataForms, "option").Add(value(m)))
		}
	}
	return xmltree.New(NSFeatureNeg, "feature").Add(x.Add(field))
}

func (f *File) element() *xmltree.Element {
	e := xmltree.New(NSFile, "file").SetOpt("name", f.Name)
	if f.Size != nil {
		e.Set("size", strconv.FormatInt(*f.Size, 10))
	}
	e.SetOpt("hash", f.Hash).SetOpt("date", f.Date)
	if f.Desc != "" {
		e.Add(xmltree.New(NSFile, "desc").AddText(f.Desc))
	}
	if f.Range != nil {
		e.Add(f.Range.element())
	}
	for _, x := range f.Extra {
		e.Add(x.Clone())
	}
	return e
}

func (r *Range) element() *xmltree.Element {
	e := xmltree.New(NSFile, "range")
	if r.Offset != nil {
		e.Set("offset", strconv.FormatInt(*r.Offset, 10))
	}
	if r.Length != nil {
		e.Set("length", strconv.FormatInt(*r.Length, 10))
	}
	return e
}

// Parse reads an <si/>.
func Parse(e *xmltree.Element) (jingle.Payload, error) {
	r := xmltree.Attrs(e)
	if !e.Is(NS, "si") {
		r.Fail("", "is not an <si/> of "+NS)
	}
	s := SI{ID: short(r, "id"), MIMEType: short(r, "mime-type"), Profile: short(r, "profile")}
	if err := r.Err(); err != nil {
		return nil, err
	}
	for c := range e.Elements() {
		kind := "extra"
		switch {
		case c.Is(NSFile, "file") && s.File == nil:
			kind = "file"
			f, err := parseFile(c)
			if err != nil {
				return nil, err
			}
			s.File = f
		case c.Is(NSFeatureNeg, "feature") && s.feature == nil:
			kind, s.feature = "feature", c
			s.readForm(c)
		default:
			s.Extra = append(s.Extra, c)
		}
		s.order = append(s.order, kind)
	}
	if len(s.Methods) > maxMethods {
		return nil, &xmltree.Error{Element: "feature", Problem: "offers more than " + strconv.Itoa(maxMethods) + " streams"}
	}
	return s, nil
}

// readForm takes the methods out of a data form. Clients leave out its type, the field's type or the <option/>.
func (s *SI) readForm(feature *xmltree.Element) {
	x := feature.Child(NSDataForms, "x")
	if x == nil {
		return
	}
	var values, options []string
	for f := range x.Elements() {
		if !f.Is(NSDataForms, "field") || f.Attr("var") != streamMethod {
			continue
		}
		for c := range f.Elements() {
			switch {
			case c.Is(NSDataForms, "value"):
				values = append(values, c.Text())
			case c.Is(NSDataForms, "option"):
				options = append(options, c.ChildText(NSDataForms, "value"))
			}
		}
	}
	if x.Attr("type") == typeSubmit || (len(options) == 0 && x.Attr("type") != typeForm) {
		if len(values) > 0 {
			s.Method = values[0]
		}
		return
	}
	if s.Methods = options; len(options) == 0 {
		s.Methods = values
	}
}

func parseFile(e *xmltree.Element) (*File, error) {
	r := xmltree.Attrs(e)
	f := &File{Name: r.String("name"), Size: number(r, "size"), Hash: short(r, "hash"), Date: short(r, "date")}
	if len(f.Name) > maxName {
		r.Fail("name", "is longer than "+strconv.Itoa(maxName)+" bytes")
	}
	for c := range e.Elements() {
		switch {
		case c.Is(NSFile, "desc") && f.Desc == "":
			f.Desc = c.Text()
		case c.Is(NSFile, "range") && f.Range == nil:
			rr, err := ParseRange(c)
			if err != nil {
				return nil, err
			}
			f.Range = rr
		default:
			f.Extra = append(f.Extra, c)
		}
	}
	return f, r.Err()
}

// ParseRange reads a <range/> of the file transfer profile.
func ParseRange(e *xmltree.Element) (*Range, error) {
	r := xmltree.Attrs(e)
	if !e.Is(NSFile, "range") {
		r.Fail("", "is not a <range/> of "+NSFile)
	}
	out := &Range{Offset: number(r, "offset"), Length: number(r, "length")}
	if err := r.Err(); err != nil {
		return nil, err
	}
	return out, nil
}

func number(r *xmltree.Reader, attr string) *int64 {
	if strings.TrimSpace(r.String(attr)) == "" {
		return nil
	}
	n := int64(r.Uint(attr, 0, math.MaxInt64))
	return &n
}

func short(r *xmltree.Reader, attr string) string {
	v := r.String(attr)
	if len(v) > maxAttr {
		r.Fail(attr, "is longer than "+strconv.Itoa(maxAttr)+" bytes")
	}
	return v
}

// Register adds the elements of this package to r.
func Register(r *jingle.Registry) { r.Register(NS, "si", Parse) }

// NoValidStreams returns the application condition of an offer whose streams are all unknown (XEP-0095 section 4.2).
func NoValidStreams() *xmltree.Element { return xmltree.New(NS, "no-valid-streams") }

// BadProfile returns the application condition of an offer whose profile is unknown (XEP-0095 section 4.2).
func BadProfile() *xmltree.Element { return xmltree.New(NS, "bad-profile") }
