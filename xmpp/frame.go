package xmpp

import (
	"bytes"
	"errors"
	"io"
)

// frameKind says what [framer.next] found on the stream.
type frameKind int

const (
	frameHeader   frameKind = iota // prolog and <stream:stream>
	frameElement                   // a whole child of the stream
	frameOversize                  // a child over the limit: only its start tag, closed, or nothing
	frameClose                     // </stream:stream>
)

var (
	errNotXML       = errors.New("what the server sent is not an XMPP stream")
	errStreamClosed = errors.New("the server closed the stream")
	errTLSBytes     = errors.New("the server speaks TLS on this port")
	errRestricted   = errors.New("the server sent a document type declaration, which XMPP forbids")
	errStreamText   = errors.New("the server sent text between stanzas")
)

// framer cuts a byte stream into the children of its root element, without looking at what they say. It stands below
// every parser, for three reasons: a stanza is parsed on its own, so that one that our parser does not like costs that
// stanza and not the stream; a stanza over the limit is passed over without being held; and no parser reads ahead
// into what comes after a stanza.
type framer struct {
	r     io.Reader
	limit int // of one stanza, in bytes

	in  []byte // read, not yet looked at
	buf []byte // backing array of in

	cur   []byte // the frame so far
	size  int    // bytes of the frame, those included that are not kept
	head  int    // length of the start tag of a stanza, once it is complete
	depth int    // open elements, the root included
	state scanState
	last  byte // byte before this one in the same state, or 0
	last2 byte // and the one before that
	match int  // progress through "<!--" or "<![CDATA["
}

type scanState int

const (
	inText scanState = iota
	atLess           // after '<'
	inStart
	inQuote // "
	inApos  // '
	inEnd
	inPI
	atBang // after "<!"
	inComment
	inCDATA
)

const cdataOpen = "<![CDATA["

// headerLimit bounds the prolog and the stream header.
const headerLimit = 16 << 10

func newFramer(r io.Reader, limit int) *framer {
	return &framer{r: r, limit: limit, buf: make([]byte, 8<<10)}
}

// restart makes the framer expect a new stream header (RFC 6120 section 4.3.3).
func (f *framer) restart() {
	f.depth, f.state = 0, inText
	f.reset()
}

func (f *framer) reset() {
	f.cur, f.size, f.head = f.cur[:0], 0, 0
	if cap(f.cur) > 64<<10 {
		f.cur = nil
	}
}

// buffered reports whether something has been read that lies beyond the frame that was returned last.
func (f *framer) buffered() bool { return len(f.in) > 0 }

// next returns the next frame. It is valid until the next call.
func (f *framer) next() ([]byte, frameKind, error) {
	f.reset()
	for {
		if len(f.in) == 0 {
			n, err := f.r.Read(f.buf)
			if n == 0 {
				if err == nil {
					continue
				}
				if err == io.EOF && f.depth > 0 {
					err = io.ErrUnexpectedEOF
				}
				return nil, 0, err
			}
			f.in = f.buf[:n]
		}
		frame, kind, done, err := f.scan()
		if done || err != nil {
			return frame, kind, err
		}
	}
}

// scan looks at what has been read, up to the end of a frame.
func (f *framer) scan() (frame []byte, kind frameKind, done bool, err error) {
	for i := 0; i < len(f.in); i++ {
		c := f.in[i]
		if f.state == inText {
			// Text is passed over in one step: it is most of what large stanzas consist of.
			n := bytes.IndexByte(f.in[i:], '<')
			if n < 0 {
				n = len(f.in) - i
			}
			if n > 0 {
				if err := f.text(f.in[i : i+n]); err != nil {
					return nil, 0, true, err
				}
				i += n - 1
				continue
			}
		}
		f.keep(c)
		before := f.state
		kind, ended, err := f.step(c)
		if err != nil {
			return nil, 0, true, err
		}
		if f.state == before {
			f.last2, f.last = f.last, c
		} else {
			f.last2, f.last = 0, 0
		}
		if f.depth == 0 && f.size > headerLimit {
			return nil, 0, true, errNotXML
		}
		if ended {
			f.in = f.in[i+1:]
			frame, kind = f.frame(kind)
			return frame, kind, true, nil
		}
	}
	f.in = nil
	return nil, 0, false, nil
}

func (f *framer) keep(c byte) {
	f.size++
	if f.size <= f.limit || f.depth == 0 {
		f.cur = append(f.cur, c)
	}
}

func (f *framer) text(b []byte) error {
	if f.depth > 1 {
		f.size += len(b)
		if f.size <= f.limit {
			f.cur = append(f.cur, b...)
		}
		return nil
	}
	b = bytes.TrimLeft(b, " \t\r\n\ufeff")
	switch {
	case len(b) == 0:
		return nil
	case f.depth == 0 && (b[0] == 0x15 || b[0] == 0x16):
		return errTLSBytes // a TLS alert or handshake record
	case f.depth == 0:
		return errNotXML
	}
	return errStreamText
}

// step takes one byte of markup and reports whether a frame ends with it, and which.
func (f *framer) step(c byte) (kind frameKind, ended bool, err error) {
	switch f.state {
	case inText:
		f.state = atLess // c is '<'
	case atLess:
		switch c {
		case '/':
			f.state = inEnd
		case '?':
			f.state = inPI
		case '!':
			f.state, f.match = atBang, 2
		default:
			f.state = inStart
		}
	case inStart:
		switch c {
		case '"':
			f.state = inQuote
		case '\'':
			f.state = inApos
		case '>':
			kind, ended = f.opened(f.last == '/')
			f.state = inText
		}
	case inQuote:
		if c == '"' {
			f.state = inStart
		}
	case inApos:
		if c == '\'' {
			f.state = inStart
		}
	case inEnd:
		if c == '>' {
			f.state = inText
			f.depth--
			if f.depth <= 0 {
				return frameClose, true, nil
			}
			return frameElement, f.depth == 1, nil
		}
	case inPI:
		if c == '>' && f.last == '?' {
			f.state = inText
		}
	case atBang:
		err = f.bang(c)
	case inComment:
		if c == '>' && f.last == '-' && f.last2 == '-' {
			f.state = inText
		}
	case inCDATA:
		if c == '>' && f.last == ']' && f.last2 == ']' {
			f.state = inText
		}
	}
	return kind, ended, err
}

// bang tells a CDATA section and a comment from a declaration. The latter is refused: entities are made there
// (RFC 6120 section 11.1).
func (f *framer) bang(c byte) error {
	const inDashes = len(cdataOpen)
	switch {
	case f.match == 2 && c == '-':
		f.match = inDashes
	case f.match == inDashes && c == '-':
		f.state = inComment
	case f.match < len(cdataOpen) && c == cdataOpen[f.match]:
		if f.match++; f.match == len(cdataOpen) {
			f.state = inCDATA
		}
	default:
		return errRestricted
	}
	return nil
}

// opened takes the end of a start tag.
func (f *framer) opened(selfClosing bool) (kind frameKind, ended bool) {
	switch f.depth {
	case 0:
		kind, ended = frameHeader, true
	case 1:
		kind, ended = frameElement, selfClosing
		f.head = f.size
	}
	if !selfClosing {
		f.depth++
	}
	return kind, ended
}

func (f *framer) frame(kind frameKind) ([]byte, frameKind) {
	if kind != frameElement || f.size <= f.limit {
		return f.cur, kind
	}
	if f.head == f.size || f.head > f.limit {
		return nil, frameOversize // the start tag itself is over the limit
	}
	return append(f.cur[:f.head-1], '/', '>'), frameOversize
}

func (k frameKind) String() string {
	return [...]string{"stream header", "element", "oversize element", "end of the stream"}[k]
}
