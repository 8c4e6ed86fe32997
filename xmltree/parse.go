package xmltree

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits bound what a peer can make us hold. The zero value means the defaults.
type Limits struct {
	Bytes    int // of the whole element as text (default 256 KiB); only Parse can check it
	Depth    int // of nested elements (default 32)
	Elements int // in all (default 8192)
	Attrs    int // of one element (default 64)
}

func (l Limits) withDefaults() Limits {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&l.Bytes, 256<<10)
	def(&l.Depth, 32)
	def(&l.Elements, 8192)
	def(&l.Attrs, 64)
	return l
}

// ErrLimit is wrapped by every error that says an element is larger than its [Limits].
var ErrLimit = errors.New("XML element over its limit")

// ErrRestricted is wrapped where XML features appear that XMPP forbids (RFC 6120 section 11.1).
var ErrRestricted = errors.New("XML feature not allowed in XMPP")

const xmlNS = "http://www.w3.org/XML/1998/namespace"

// Parse reads exactly one element from b. Anything but white space around it is an error.
func Parse(b []byte, lim Limits) (*Element, error) {
	lim = lim.withDefaults()
	if len(b) > lim.Bytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are taken", ErrLimit, len(b), lim.Bytes)
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	var root *Element
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) && root != nil {
			return root, nil
		}
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("xmltree: no element: %w", io.ErrUnexpectedEOF)
		}
		if err != nil {
			return nil, fmt.Errorf("xmltree: %w", err)
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if root != nil {
				return nil, errors.New("xmltree: more than one element")
			}
			if root, err = newBuilder(lim).read(t, d); err != nil {
				return nil, err
			}
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return nil, errors.New("xmltree: text outside the element")
			}
		case xml.ProcInst:
			// The XML declaration is allowed before the element only.
			if root != nil || t.Target != "xml" {
				return nil, fmt.Errorf("xmltree: %w: processing instruction", ErrRestricted)
			}
		case xml.Comment:
			// Harmless outside the element; inside it is refused.
		default:
			return nil, fmt.Errorf("xmltree: %w: %T", ErrRestricted, tok)
		}
	}
}

// Read reads the rest of the element that start began from r, up to and with its end. Names in r must be
// resolved, as [xml.Decoder.Token] does.
func Read(start xml.StartElement, r xml.TokenReader, lim Limits) (*Element, error) {
	b := newBuilder(lim)
	// The name of the first element may come from declarations above it.
	b.declared[start.Name.Space] = true
	return b.read(start, r)
}

func newBuilder(lim Limits) *builder {
	return &builder{lim: lim.withDefaults(), declared: map[string]bool{"": true, xmlNS: true}}
}

func (b *builder) read(start xml.StartElement, r xml.TokenReader) (*Element, error) {
	root, err := b.open(start)
	if err != nil {
		return nil, err
	}
	stack := []*Element{root}
	for len(stack) > 0 {
		tok, err := r.Token()
		if tok == nil {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("xmltree: %w", err)
		}
		top := stack[len(stack)-1]
		switch t := tok.(type) {
		case xml.StartElement:
			if len(stack) >= b.lim.Depth {
				return nil, fmt.Errorf("%w: nested more than %d deep", ErrLimit, b.lim.Depth)
			}
			e, err := b.open(t)
			if err != nil {
				return nil, err
			}
			top.Children = append(top.Children, e)
			stack = append(stack, e)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			top.appendText(string(t))
		case xml.Comment:
			return nil, fmt.Errorf("xmltree: %w: comment", ErrRestricted)
		default:
			return nil, fmt.Errorf("xmltree: %w: %T", ErrRestricted, tok)
		}
		if err != nil && len(stack) > 0 {
			return nil, fmt.Errorf("xmltree: %w", err)
		}
	}
	return root, nil
}

// appendText joins adjacent character data, so that CDATA and entity boundaries leave no trace.
func (e *Element) appendText(s string) {
	if n := len(e.Children); n > 0 {
		if t, ok := e.Children[n-1].(Text); ok {
			e.Children[n-1] = t + Text(s)
			return
		}
	}
	e.Children = append(e.Children, Text(s))
}

type builder struct {
	lim      Limits
	elements int
	declared map[string]bool // namespaces seen in declarations: encoding/xml leaves an undeclared prefix as the namespace
}

func (b *builder) open(t xml.StartElement) (*Element, error) {
	if b.elements++; b.elements > b.lim.Elements {
		return nil, fmt.Errorf("%w: more than %d elements", ErrLimit, b.lim.Elements)
	}
	if len(t.Attr) > b.lim.Attrs {
		return nil, fmt.Errorf("%w: more than %d attributes", ErrLimit, b.lim.Attrs)
	}
	e := &Element{Name: t.Name}
	for _, a := range t.Attr {
		switch {
		case a.Name.Space == "" && a.Name.Local == "xmlns":
			b.declared[a.Value] = true
		case a.Name.Space == "xmlns":
			if a.Value == "" {
				return nil, fmt.Errorf("xmltree: prefix %q bound to no namespace", a.Name.Local)
			}
			b.declared[a.Value] = true
		}
	}
	if err := b.check(t.Name); err != nil {
		return nil, err
	}
	for _, a := range t.Attr {
		if a.Name.Space == "xmlns" || (a.Name.Space == "" && a.Name.Local == "xmlns") {
			continue
		}
		if err := b.check(a.Name); err != nil {
			return nil, err
		}
		for _, o := range e.Attrs {
			if o.Name == a.Name {
				return nil, fmt.Errorf("xmltree: attribute %q twice", a.Name.Local)
			}
		}
		e.Attrs = append(e.Attrs, a)
	}
	return e, nil
}

func (b *builder) check(n xml.Name) error {
	// encoding/xml checks the name with its prefix; without it, it must be a name too (Namespaces in XML, section 3).
	first, _ := utf8.DecodeRuneInString(n.Local)
	if first != '_' && !unicode.IsLetter(first) || strings.ContainsRune(n.Local, ':') {
		return fmt.Errorf("xmltree: bad name %q", n.Local)
	}
	if !b.declared[n.Space] {
		return fmt.Errorf("xmltree: prefix %q of %q is not declared", n.Space, n.Local)
	}
	return nil
}
