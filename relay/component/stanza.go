package component

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// What is kept of one stanza. Anything beyond is read past and answered with policy-violation: the servers let their
// users send far more than any request to a relay needs.
const (
	maxDepth    = 8
	maxElements = 64
	maxText     = 16 << 10 // bytes of names, attributes and text
	maxStanza   = 8 << 20  // bytes that are read past; no server lets as much through
)

// element is a parsed element with a resolved name. Attributes with a namespace are not kept.
type element struct {
	space, local string
	attrs        map[string]string
	children     []*element
	text         string
}

func (e *element) attr(name string) string { return e.attrs[name] }

// child returns the first child of a name, or nil.
func (e *element) child(space, local string) *element {
	for _, c := range e.children {
		if c.space == space && c.local == local {
			return c
		}
	}
	return nil
}

var errTooLarge = errors.New("component: the server sent a stanza without end")

// budgetReader ends a stream whose current stanza is too long.
type budgetReader struct {
	r    io.Reader
	left int
}

func (b *budgetReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// scanner reads a stream's elements. It works on raw tokens: the server guarantees well-formed XML, and a decoder that
// checks it again keeps a stack as deep as a peer likes.
type scanner struct {
	in  *budgetReader
	dec *xml.Decoder
	ns  []map[string]string // prefix to namespace, for each open element that declares some
}

func newScanner(r io.Reader) *scanner {
	in := &budgetReader{r: r, left: maxStanza}
	return &scanner{in: in, dec: xml.NewDecoder(in)}
}

// open reads the stream's header.
func (s *scanner) open() (*element, error) {
	for {
		tok, err := s.dec.RawToken()
		if err != nil {
			return nil, err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			e := s.start(t, nil)
			if e.local != "stream" || e.space != nsStream {
				return nil, fmt.Errorf("component: the server opened with <%s/> instead of a stream", e.local)
			}
			return e, nil
		case xml.EndElement:
			return nil, errors.New("component: the server's stream has no beginning")
		}
	}
}

// next reads the next element of the stream. over says that it exceeds what is kept; then only its own attributes are
// there. io.EOF is the end of the stream.
func (s *scanner) next() (e *element, over bool, err error) {
	s.in.left = maxStanza
	for {
		tok, err := s.dec.RawToken()
		if err != nil {
			return nil, false, err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			return s.rest(t)
		case xml.EndElement:
			return nil, false, io.EOF
		case xml.CharData: // white space keeps the connection alive
			s.in.left = maxStanza
		}
	}
}

func (s *scanner) rest(t xml.StartElement) (*element, bool, error) {
	scopes := [maxDepth + 1]map[string]string{}
	var stack [maxDepth]*element
	depth, elements, over := 1, 1, false
	root := s.start(t, &scopes[0])
	size := elementSize(root)
	if size > maxText { // even the addresses are no longer worth an answer
		over, root = true, &element{space: root.space, local: root.local}
	}
	stack[0] = root
	for depth > 0 {
		tok, err := s.dec.RawToken()
		if err != nil {
			return nil, false, err
		}
		switch t := tok.(type) {
		case xml.StartElement:
			elements++
			over = over || depth >= maxDepth || elements > maxElements
			if !over {
				e := s.start(t, &scopes[depth])
				if size += elementSize(e); size > maxText {
					over = true
				} else {
					stack[depth-1].children = append(stack[depth-1].children, e)
					stack[depth] = e
				}
			}
			depth++
		case xml.EndElement:
			depth--
			if depth < len(scopes) && scopes[depth] != nil {
				s.ns = s.ns[:len(s.ns)-1]
				scopes[depth] = nil
			}
		case xml.CharData:
			if size += len(t); size > maxText {
				over = true
			}
			if !over {
				stack[depth-1].text += string(t)
			}
		}
	}
	if over {
		root.children, root.text = nil, ""
	}
	return root, over, nil
}

func elementSize(e *element) int {
	n := len(e.local) + len(e.space)
	for k, v := range e.attrs {
		n += len(k) + len(v)
	}
	return n
}

// start resolves a start tag's names. Declarations are pushed, and scope, if given, set to them, so that the end tag
// can pop them.
func (s *scanner) start(t xml.StartElement, scope *map[string]string) *element {
	var decl map[string]string
	e := &element{local: t.Name.Local, attrs: map[string]string{}}
	for _, a := range t.Attr {
		prefix := ""
		switch {
		case a.Name.Space == "xmlns":
			prefix = a.Name.Local
		case a.Name.Space == "" && a.Name.Local == "xmlns":
		case a.Name.Space == "":
			e.attrs[a.Name.Local] = a.Value
			continue
		default:
			continue
		}
		if decl == nil {
			decl = map[string]string{}
		}
		decl[prefix] = a.Value
	}
	if decl != nil {
		s.ns = append(s.ns, decl)
		if scope != nil {
			*scope = decl
		}
	}
	for _, v := range slices.Backward(s.ns) {
		if v, ok := v[t.Name.Space]; ok {
			e.space = v
			break
		}
	}
	return e
}

// builder writes XML text.
type builder struct{ strings.Builder }

// open writes a start tag up to its attributes: name, then pairs of attribute and value; pairs without a value are
// left out.
func (b *builder) tag(name string, attrs ...string) *builder {
	b.WriteByte('<')
	b.WriteString(name)
	for i := 0; i+1 < len(attrs); i += 2 {
		if attrs[i+1] == "" {
			continue
		}
		b.WriteByte(' ')
		b.WriteString(attrs[i])
		b.WriteString(`='`)
		b.escaped(attrs[i+1])
		b.WriteByte('\'')
	}
	return b
}

// empty ends the tag of an element without content.
func (b *builder) empty() *builder { b.WriteString("/>"); return b }

// more ends the tag of an element with content.
func (b *builder) more() { b.WriteByte('>') }

func (b *builder) end(name string) *builder {
	b.WriteString("</")
	b.WriteString(name)
	b.WriteByte('>')
	return b
}

func (b *builder) escaped(s string) { _ = xml.EscapeText(&b.Builder, []byte(s)) }
