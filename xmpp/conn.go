package xmpp

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/jingled/jingled/xmltree"
)

const (
	nsClient     = "jabber:client"
	nsStream     = "http://etherx.jabber.org/streams"
	nsStreamErrs = "urn:ietf:params:xml:ns:xmpp-streams"
)

// conn is an XML stream on a connection: TCP, or TLS over it, or later what makes a WebSocket look like one. It reads
// in two ways: as a net.Conn, for the library that negotiates, and element by element, for us. Both may alternate, as
// neither reads beyond the end of an element.
type conn struct {
	net.Conn // what is read and written, e.g. a *tls.Conn
	raw      net.Conn
	f        *framer
	limits   xmltree.Limits

	rest   []byte // of the frame that Read is giving out
	open   []byte // a start tag with the namespaces that the stream header declares
	header bool   // a stream header has been seen
	from   string // whose that was

	start  time.Time
	lastIn atomic.Int64 // when bytes came in last, in nanoseconds since start
}

func newConn(c, raw net.Conn, l Limits) *conn {
	s := &conn{Conn: c, raw: raw, start: time.Now(), limits: xmltree.Limits{Bytes: l.Stanza, Depth: l.Depth}}
	s.f = newFramer(activity{s}, l.Stanza)
	return s
}

// enlarge sets the limits of the stanzas to come: those of a roster, or the usual ones.
func (c *conn) enlarge(roster bool, l Limits) {
	c.f.limit = l.Stanza
	c.limits = xmltree.Limits{Bytes: l.Stanza, Depth: l.Depth}
	if roster {
		c.f.limit = l.Roster
		c.limits.Bytes, c.limits.Elements = l.Roster, l.Roster/16
	}
}

// activity reads from the connection and notes that something came.
type activity struct{ c *conn }

func (a activity) Read(b []byte) (int, error) {
	n, err := a.c.Conn.Read(b)
	if n > 0 {
		a.c.lastIn.Store(int64(time.Since(a.c.start)))
	}
	return n, err
}

// idle is for how long nothing has come in.
func (c *conn) idle() time.Duration {
	return time.Since(c.start) - time.Duration(c.lastIn.Load())
}

// Read implements net.Conn. It never returns bytes of more than one element.
func (c *conn) Read(b []byte) (int, error) {
	for len(c.rest) == 0 {
		frame, kind, err := c.next()
		if err != nil {
			return 0, err
		}
		if kind == frameOversize {
			return 0, fmt.Errorf("%w in the login", xmltree.ErrLimit)
		}
		c.rest = frame
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Close closes the connection at once: TLS's goodbye could wait for a peer that does not read.
func (c *conn) Close() error { return c.raw.Close() }

func (c *conn) next() ([]byte, frameKind, error) {
	frame, kind, err := c.f.next()
	if err == nil && kind == frameHeader {
		err = c.readHeader(frame)
	}
	return frame, kind, err
}

// readHeader keeps the namespaces that the stream header declares for its children.
func (c *conn) readHeader(b []byte) error {
	d := xml.NewDecoder(bytes.NewReader(b))
	for {
		tok, err := d.Token()
		if err != nil {
			return errNotXML
		}
		start, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		// RFC 6120 section 4.8.1.
		if start.Name.Space != nsStream || start.Name.Local != "stream" {
			return errNotXML
		}
		open := []byte("<x")
		c.from = attr(start, "from")
		for _, a := range start.Attr {
			switch {
			case a.Name.Space == "xmlns":
				open = append(open, " xmlns:"+a.Name.Local+`="`...)
			case a.Name.Space == "" && a.Name.Local == "xmlns":
				open = append(open, ` xmlns="`...)
			default:
				continue
			}
			var esc bytes.Buffer
			if err := xml.EscapeText(&esc, []byte(a.Value)); err != nil {
				return errNotXML
			}
			open = append(append(open, esc.Bytes()...), '"')
		}
		c.open, c.header = append(open, '>'), true
		return nil
	}
}

// parse reads one frame. Its error is the fault of who sent the stanza; with it comes the stanza without its content,
// or nil if not even its start tag can be read.
func (c *conn) parse(frame []byte) (*xmltree.Element, error) {
	src := &slices2{a: c.open, b: frame}
	d := xml.NewDecoder(src)
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	tok, err := d.Token()
	if err != nil {
		return nil, err
	}
	start, ok := tok.(xml.StartElement)
	if !ok {
		return nil, errors.New("not an element")
	}
	head := &xmltree.Element{Name: start.Name}
	for _, name := range []string{"from", "to", "id", "type"} {
		for _, a := range start.Attr {
			if a.Name.Space == "" && a.Name.Local == name {
				head.Set(name, a.Value)
			}
		}
	}
	e, err := xmltree.Read(start, d, c.limits)
	if err != nil {
		return head, err
	}
	if len(src.a)+len(src.b) > 0 {
		return head, errors.New("more than one element")
	}
	return e, nil
}

// element reads the next child of the stream during the login. A stream error becomes a [*StreamError].
func (c *conn) element() (*xmltree.Element, error) {
	frame, kind, err := c.next()
	switch {
	case err != nil:
		return nil, err
	case kind == frameClose:
		return nil, io.EOF
	case kind != frameElement:
		return nil, fmt.Errorf("%w: unexpected %s", errNotXML, kind)
	}
	e, err := c.parse(frame)
	if err != nil {
		return nil, err
	}
	if e.Is(nsStream, "error") {
		return nil, parseStreamError(e)
	}
	return e, nil
}

// send writes an element during the login.
func (c *conn) send(e *xmltree.Element) error {
	_, err := c.Write(e.AppendXML(nil, nsClient))
	return err
}

func parseStreamError(e *xmltree.Element) *StreamError {
	s := &StreamError{Condition: "undefined-condition", Text: e.ChildText(nsStreamErrs, "text")}
	for c := range e.Elements() {
		if c.Name.Space == nsStreamErrs && c.Name.Local != "text" {
			s.Condition = c.Name.Local
			if s.Condition == "see-other-host" {
				s.Host = c.Text()
			}
			break
		}
	}
	return s
}

// slices2 reads two slices in turn, byte by byte, so that encoding/xml needs no buffer.
type slices2 struct{ a, b []byte }

func (s *slices2) ReadByte() (byte, error) {
	if len(s.a) == 0 {
		s.a, s.b = s.b, nil
	}
	if len(s.a) == 0 {
		return 0, io.EOF
	}
	c := s.a[0]
	s.a = s.a[1:]
	return c, nil
}

func (s *slices2) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c, err := s.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = c
	return 1, nil
}
