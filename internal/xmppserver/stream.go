package xmppserver

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"

	"github.com/jingled/jingled/xmltree"
)

// The namespaces of the stream itself (RFC 6120).
const (
	nsClient  = "jabber:client"
	nsStream  = "http://etherx.jabber.org/streams"
	nsStreams = "urn:ietf:params:xml:ns:xmpp-streams"
	nsStanzas = "urn:ietf:params:xml:ns:xmpp-stanzas"
	nsTLS     = "urn:ietf:params:xml:ns:xmpp-tls"
	nsSASL    = "urn:ietf:params:xml:ns:xmpp-sasl"
	nsSASLCB  = "urn:xmpp:sasl-cb:0"
	nsBind    = "urn:ietf:params:xml:ns:xmpp-bind"
	nsLimits  = "urn:xmpp:stream-limits:0"
	nsSession = "urn:ietf:params:xml:ns:xmpp-session"
)

// streamError ends a stream (RFC 6120 section 4.9). It is the client's fault, but for conflict and system-shutdown.
type streamError struct{ condition, text string }

func (e *streamError) Error() string { return "stream error " + e.condition + ": " + e.text }

func (e *streamError) xml() []byte {
	x := xmltree.New(nsStream, "error").Add(xmltree.New(nsStreams, e.condition))
	if e.text != "" {
		x.Add(xmltree.New(nsStreams, "text").AddText(e.text))
	}
	return x.AppendXML(nil, nsClient)
}

// reader reads a client's stream. It gives no stanza that is larger than max, and holds no more than that of one that
// is.
type reader struct {
	br   *bufio.Reader
	d    *xml.Decoder
	max  int
	left int
}

func newReader(r io.Reader, limit int) *reader { return &reader{br: bufio.NewReader(r), max: limit} }

var errTooLarge = fmt.Errorf("%w: too many bytes", xmltree.ErrLimit)

// ReadByte makes the decoder read byte by byte, so that it never takes what lies beyond the stanza.
func (r *reader) ReadByte() (byte, error) {
	if r.left <= 0 {
		return 0, errTooLarge
	}
	r.left--
	return r.br.ReadByte()
}

func (r *reader) Read(p []byte) (int, error) {
	b, err := r.ReadByte()
	if err != nil || len(p) == 0 {
		return 0, err
	}
	p[0] = b
	return 1, nil
}

// header begins a stream: it reads up to the <stream:stream> tag.
func (r *reader) header() (xml.StartElement, error) {
	r.left = r.max
	// A decoder would wait for the next tag; what speaks another protocol is told at once.
	switch b, err := r.br.Peek(1); {
	case err != nil:
		return xml.StartElement{}, err
	case b[0] != '<' && !isSpace(b[0]):
		return xml.StartElement{}, &streamError{"not-well-formed", "this is an XMPP server"}
	}
	r.d = xml.NewDecoder(r)
	for {
		tok, err := r.d.Token()
		if err != nil {
			return xml.StartElement{}, asStreamError(err)
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if t.Name.Space != nsStream || t.Name.Local != "stream" {
				return t, &streamError{"invalid-namespace", "a stream begins with <stream:stream/>"}
			}
			return t, nil
		case xml.ProcInst:
			if t.Target != "xml" {
				return xml.StartElement{}, &streamError{"restricted-xml", "processing instruction"}
			}
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return xml.StartElement{}, &streamError{"not-well-formed", "text before the stream"}
			}
		default:
			return xml.StartElement{}, &streamError{"restricted-xml", "only a stream may begin here"}
		}
	}
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\r' || b == '\n' }

// next reads one element of the stream. It returns io.EOF when the client has closed its stream.
func (r *reader) next() (*xmltree.Element, error) {
	r.left = r.max
	for {
		tok, err := r.d.Token()
		if err != nil {
			return nil, asStreamError(err)
		}
		switch t := tok.(type) {
		case xml.StartElement:
			e, err := xmltree.Read(t, r.d, xmltree.Limits{Bytes: r.max})
			if err != nil {
				return nil, asStreamError(err)
			}
			return e, nil
		case xml.EndElement:
			return nil, io.EOF
		case xml.CharData:
			// White space keeps a connection alive (RFC 6120 section 4.6.1).
			if len(bytes.TrimSpace(t)) > 0 {
				return nil, &streamError{"bad-format", "text between stanzas"}
			}
			r.left = r.max
		default:
			return nil, &streamError{"restricted-xml", "comments, declarations and instructions are not allowed"}
		}
	}
}

// asStreamError turns the error of a parser into that of the stream, and leaves those of the connection as they are.
func asStreamError(err error) error {
	var syntax *xml.SyntaxError
	switch {
	case errors.Is(err, xmltree.ErrLimit):
		return &streamError{"policy-violation", "a stanza is larger than this server takes"}
	case errors.Is(err, xmltree.ErrRestricted):
		return &streamError{"restricted-xml", ""}
	case errors.As(err, &syntax) && syntax.Msg == "unexpected EOF", errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF // the connection broke
	case errors.As(err, &syntax):
		return &streamError{"not-well-formed", ""}
	}
	return err
}
