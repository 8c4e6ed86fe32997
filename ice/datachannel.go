package ice

import (
	"encoding/xml"
	"slices"
	"strconv"

	"github.com/jingled/jingled/xmltree"
)

// The namespaces of data channels.
const (
	// NSSCTP is <sctpmap/> of XEP-0343.
	NSSCTP = "urn:xmpp:jingle:transports:dtls-sctp:1"
	// NSChannel is <channel/> of XEP-0343.
	NSChannel = "urn:xmpp:jingle:transports:webrtc-datachannel:0"
	// NSDataChannel is a transport of its own that contains an ICE transport, as Conversations has it.
	NSDataChannel = "urn:xmpp:jingle:transports:webrtc-datachannel:1"
)

// SCTPMap is the <sctpmap/> in an ICE transport (XEP-0343 section 4.2).
type SCTPMap struct {
	// Number is the SCTP port. The table of the XEP calls it 'port', its examples and schema 'number'; both are read.
	Number uint16
	// Protocol is "webrtc-datachannel".
	Protocol string
	// Streams is the number of incoming streams, 0 if absent.
	Streams uint16
}

// Element returns the <sctpmap/>.
func (m SCTPMap) Element() *xmltree.Element {
	e := xmltree.New(NSSCTP, "sctpmap").Set("number", strconv.Itoa(int(m.Number))).Set("protocol", m.Protocol)
	if m.Streams != 0 {
		e.Set("streams", strconv.Itoa(int(m.Streams)))
	}
	return e
}

// ParseSCTPMap reads a <sctpmap/>.
func ParseSCTPMap(e *xmltree.Element) (SCTPMap, error) {
	r := xmltree.Attrs(e)
	m := SCTPMap{Protocol: r.Required("protocol"), Streams: uint16(r.Uint("streams", 0, 65535))}
	if _, ok := e.LookupAttr("number"); ok {
		m.Number = uint16(r.RequiredUint("number", 65535))
	} else {
		m.Number = uint16(r.RequiredUint("port", 65535))
	}
	return m, r.Err()
}

// Channel is a <channel/> in an ICE transport (XEP-0343 section 4.1), by the names of WebRTC's RTCDataChannelInit. A nil
// field is an absent attribute.
type Channel struct {
	ID                *uint16
	MaxPacketLifeTime *uint16
	MaxRetransmits    *uint16
	Negotiated        *bool // absent: false
	Ordered           *bool // absent: true
	Protocol          string
}

// Element returns the <channel/>.
func (c Channel) Element() *xmltree.Element {
	e := xmltree.New(NSChannel, "channel")
	num := func(attr string, n *uint16) {
		if n != nil {
			e.Set(attr, strconv.Itoa(int(*n)))
		}
	}
	truth := func(attr string, b *bool) {
		if b != nil {
			e.Set(attr, strconv.FormatBool(*b))
		}
	}
	num("id", c.ID)
	num("maxPacketLifeTime", c.MaxPacketLifeTime)
	num("maxRetransmits", c.MaxRetransmits)
	truth("negotiated", c.Negotiated)
	truth("ordered", c.Ordered)
	return e.SetOpt("protocol", c.Protocol)
}

// ParseChannel reads a <channel/>.
func ParseChannel(e *xmltree.Element) (Channel, error) {
	r := xmltree.Attrs(e)
	num := func(attr string) *uint16 {
		if r.String(attr) == "" {
			return nil
		}
		n := uint16(r.Uint(attr, 0, 65535))
		return &n
	}
	truth := func(attr string) *bool {
		if r.String(attr) == "" {
			return nil
		}
		b := r.Bool(attr, false)
		return &b
	}
	c := Channel{
		ID: num("id"), MaxPacketLifeTime: num("maxPacketLifeTime"), MaxRetransmits: num("maxRetransmits"),
		Negotiated: truth("negotiated"), Ordered: truth("ordered"), Protocol: r.String("protocol"),
	}
	return c, r.Err()
}

// DataChannel is the <transport/> of [NSDataChannel]: WebRTC data channels by which Conversations sends files. Also a
// transport-info has the candidate in the inner transport.
type DataChannel struct {
	// SCTPPort and MaxMessageSize are required by Conversations in an offer and an answer; 0 if absent.
	SCTPPort       uint16
	MaxMessageSize uint64 // bytes
	// ICE is the transport inside, nil if there is none.
	ICE *Transport
	// ExtraAttrs and Extra hold attributes and child elements that are none of the above.
	ExtraAttrs []xml.Attr
	Extra      []*xmltree.Element
}

// Element implements [jingle.Payload].
func (d DataChannel) Element() *xmltree.Element {
	e := xmltree.New(NSDataChannel, "transport")
	if d.SCTPPort != 0 {
		e.Set("sctp-port", strconv.Itoa(int(d.SCTPPort)))
	}
	if d.MaxMessageSize != 0 {
		e.Set("max-message-size", strconv.FormatUint(d.MaxMessageSize, 10))
	}
	e.Attrs = append(e.Attrs, d.ExtraAttrs...)
	if d.ICE != nil {
		e.Add(d.ICE.Element())
	}
	for _, x := range d.Extra {
		e.Add(x.Clone())
	}
	return e
}

// WithCandidates returns the transport of a transport-info that trickles these candidates; see
// [Transport.WithCandidates].
func (d DataChannel) WithCandidates(cs ...Candidate) DataChannel {
	out := DataChannel{SCTPPort: d.SCTPPort, MaxMessageSize: d.MaxMessageSize}
	if d.ICE != nil {
		t := d.ICE.WithCandidates(cs...)
		out.ICE = &t
	}
	return out
}

// ParseDataChannel reads a <transport/> of [NSDataChannel].
func ParseDataChannel(e *xmltree.Element) (DataChannel, error) {
	if !e.Is(NSDataChannel, "transport") {
		return DataChannel{}, &xmltree.Error{Element: e.Name.Local, Problem: "is not a data channel transport"}
	}
	r := xmltree.Attrs(e)
	d := DataChannel{
		SCTPPort:       uint16(r.Uint("sctp-port", 0, 65535)),
		MaxMessageSize: r.Uint("max-message-size", 0, 1<<53),
	}
	for _, a := range e.Attrs {
		if a.Name.Space != "" || !slices.Contains([]string{"sctp-port", "max-message-size"}, a.Name.Local) {
			d.ExtraAttrs = append(d.ExtraAttrs, a)
		}
	}
	for c := range e.Elements() {
		if d.ICE == nil && (c.Is(NSUDP, "transport") || c.Is(NSICE, "transport")) {
			t, err := ParseTransport(c)
			if err != nil {
				return d, err
			}
			d.ICE = &t
			continue
		}
		d.Extra = append(d.Extra, c)
	}
	return d, r.Err()
}
