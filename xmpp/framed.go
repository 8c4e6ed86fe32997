package xmpp

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"sync"
	"time"
)

// carrier is a connection method that carries whole elements where a stream carries bytes: a WebSocket or BOSH.
type carrier interface {
	// openStream gets the domain that a stream is opened to, or opened again after the login.
	openStream(domain string) error
	// sendElement gets an element that declares its default namespace. It is valid during the call.
	sendElement(text []byte) error
	endStream() error
}

// splitter cuts the byte stream that login and writer make into what a carrier carries.
type splitter struct {
	f  *framer
	to carrier
}

func newSplitter(to carrier, limit int) *splitter {
	return &splitter{f: newFramer(nil, limit), to: to}
}

func (s *splitter) write(b []byte) (int, error) {
	if bytes.HasPrefix(b, []byte("<?xml")) {
		s.f.restart() // RFC 6120 section 4.3.3: the stream begins anew, without the end of the old one
	}
	s.f.in = b
	for len(s.f.in) > 0 {
		frame, kind, done, err := s.f.scan()
		if err == nil && done {
			err = s.hand(frame, kind)
			s.f.reset()
		}
		if err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func (s *splitter) hand(frame []byte, kind frameKind) error {
	switch kind {
	case frameHeader:
		start, err := firstTag(frame)
		if err != nil {
			return err
		}
		return s.to.openStream(attr(start, "to"))
	case frameElement:
		return s.to.sendElement(declared(frame))
	case frameClose:
		return s.to.endStream()
	}
	return ErrTooLarge
}

// declared returns an element as it stands on its own. What xmltree writes has its namespace first, if at all.
func declared(frame []byte) []byte {
	n := bytes.IndexAny(frame, " />")
	if n < 0 || bytes.HasPrefix(frame[n:], []byte(" xmlns=")) {
		return frame
	}
	out := make([]byte, 0, len(frame)+len(nsClient)+9)
	out = append(append(out, frame[:n]...), ` xmlns="`+nsClient+`"`...)
	return append(out, frame[n:]...)
}

// firstTag returns the first start tag of b.
func firstTag(b []byte) (xml.StartElement, error) {
	d := xml.NewDecoder(bytes.NewReader(b))
	for {
		tok, err := d.Token()
		if err != nil {
			return xml.StartElement{}, errNotXML
		}
		if start, ok := tok.(xml.StartElement); ok {
			return start, nil
		}
	}
}

// attr returns an attribute without a namespace.
func attr(start xml.StartElement, name string) string {
	for _, a := range start.Attr {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// header is the stream header that stands for what another method opens a stream with.
func header(from, id string) []byte {
	var b bytes.Buffer
	b.WriteString(`<stream:stream xmlns='` + nsClient + `' xmlns:stream='` + nsStream + `' version='1.0' from='`)
	_ = xml.EscapeText(&b, []byte(from)) // a Buffer takes everything
	b.WriteString(`' id='`)
	_ = xml.EscapeText(&b, []byte(id))
	b.WriteString(`'>`)
	return b.Bytes()
}

const streamEndTag = "</stream:stream>"

// deadline is the time by which a read or a write must be done; the zero value is never.
type deadline struct {
	mu sync.Mutex
	at time.Time
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = t
}

// get returns the time; where there is none, one that is far away.
func (d *deadline) get() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at.IsZero() {
		return time.Now().Add(24 * time.Hour)
	}
	return d.at
}

// errWriteTimeout is what a net.Conn returns for a write that took too long.
var errWriteTimeout = fmt.Errorf("xmpp: write: %w", os.ErrDeadlineExceeded)
