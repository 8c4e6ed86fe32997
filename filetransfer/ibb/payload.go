package ibb

import (
	"encoding/base64"
	"math"
	"strconv"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// MaxBlockSize is the largest block in bytes, before base64 (XEP-0047 section 2.1).
const MaxBlockSize = math.MaxUint16

// The kinds of stanza that carry data (XEP-0047 section 2.1). An absent attribute means IQ.
const (
	StanzaIQ      = "iq"
	StanzaMessage = "message"
)

const maxSID = 256

// Transport is the <transport/> element of XEP-0261. It implements [jingle.Payload].
type Transport struct {
	SID string
	// BlockSize is in bytes, before base64. An answer may lower it.
	BlockSize uint16
	// Stanza is "" where absent.
	Stanza string
	// Extra holds the element's children; the XEP has none.
	Extra []*xmltree.Element
}

// Element implements [jingle.Payload].
func (t Transport) Element() *xmltree.Element {
	e := xmltree.New(NS, "transport").Set("block-size", strconv.Itoa(int(t.BlockSize))).
		Set("sid", t.SID).SetOpt("stanza", t.Stanza)
	for _, x := range t.Extra {
		e.Add(x.Clone())
	}
	return e
}

// Parse reads the <transport/> of XEP-0261.
func Parse(e *xmltree.Element) (jingle.Payload, error) {
	r := reader(e, NS, "transport")
	t := Transport{SID: sid(r), BlockSize: blockSize(r), Stanza: r.OneOf("stanza", StanzaIQ, StanzaMessage)}
	for c := range e.Elements() {
		t.Extra = append(t.Extra, c)
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	return t, nil
}

// Open is the <open/> of XEP-0047 section 2.1. It implements [jingle.Payload].
type Open struct {
	SID       string
	BlockSize uint16
	Stanza    string // "" where absent
}

// Element implements [jingle.Payload].
func (o Open) Element() *xmltree.Element {
	return xmltree.New(NSIBB, "open").Set("block-size", strconv.Itoa(int(o.BlockSize))).
		Set("sid", o.SID).SetOpt("stanza", o.Stanza)
}

// ParseOpen reads an <open/>.
func ParseOpen(e *xmltree.Element) (jingle.Payload, error) {
	r := reader(e, NSIBB, "open")
	o := Open{SID: sid(r), BlockSize: blockSize(r), Stanza: r.OneOf("stanza", StanzaIQ, StanzaMessage)}
	if err := r.Err(); err != nil {
		return nil, err
	}
	return o, nil
}

// Data is the <data/> of XEP-0047 section 2.2: one block. It implements [jingle.Payload].
type Data struct {
	SID  string
	Seq  uint16
	Data []byte
}

// Element implements [jingle.Payload].
func (d Data) Element() *xmltree.Element {
	return xmltree.New(NSIBB, "data").Set("seq", strconv.Itoa(int(d.Seq))).Set("sid", d.SID).
		AddText(base64.StdEncoding.EncodeToString(d.Data))
}

// ParseData reads a <data/>. Its error is answered with bad-request and ends the stream, if there is one of that sid.
func ParseData(e *xmltree.Element) (jingle.Payload, error) {
	r := reader(e, NSIBB, "data")
	d := Data{SID: sid(r), Seq: uint16(r.RequiredUint("seq", math.MaxUint16))}
	if r.Err() == nil {
		d.Data = decode(r, e)
	}
	if len(d.Data) > MaxBlockSize {
		r.Fail("", "holds more than "+strconv.Itoa(MaxBlockSize)+" bytes")
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	return d, nil
}

// decode reads base64. XEP-0047 section 6: what is not of the alphabet is refused, and so is a pad before the end;
// line breaks are let through, as the XEP's own examples have them.
func decode(r *xmltree.Reader, e *xmltree.Element) []byte {
	text := e.Text()
	out := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	// Decode passes over line breaks but not over blanks, which indent the lines of the examples.
	if n, err := base64.StdEncoding.Decode(out, []byte(text)); err == nil {
		return out[:n]
	}
	return r.Base64()
}

// Close is the <close/> of XEP-0047 section 2.3. It implements [jingle.Payload].
type Close struct{ SID string }

// Element implements [jingle.Payload].
func (c Close) Element() *xmltree.Element { return xmltree.New(NSIBB, "close").Set("sid", c.SID) }

// ParseClose reads a <close/>.
func ParseClose(e *xmltree.Element) (jingle.Payload, error) {
	r := reader(e, NSIBB, "close")
	c := Close{SID: sid(r)}
	if err := r.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

// Register adds the elements of this package to r.
func Register(r *jingle.Registry) {
	r.Register(NS, "transport", Parse)
	r.Register(NSIBB, "open", ParseOpen)
	r.Register(NSIBB, "data", ParseData)
	r.Register(NSIBB, "close", ParseClose)
}

func reader(e *xmltree.Element, ns, local string) *xmltree.Reader {
	r := xmltree.Attrs(e)
	if !e.Is(ns, local) {
		r.Fail("", "is not a <"+local+"/> of "+ns)
	}
	return r
}

func sid(r *xmltree.Reader) string {
	v := r.Required("sid")
	if len(v) > maxSID {
		r.Fail("sid", "is longer than "+strconv.Itoa(maxSID)+" bytes")
	}
	return v
}

func blockSize(r *xmltree.Reader) uint16 {
	n := uint16(r.RequiredUint("block-size", MaxBlockSize))
	if r.Err() == nil && n == 0 {
		r.Fail("block-size", "is 0")
	}
	return n
}
