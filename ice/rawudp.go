package ice

import (
	"net/netip"
	"strconv"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// NSRawUDP is the namespace of XEP-0177.
const NSRawUDP = "urn:xmpp:jingle:transports:raw-udp:1"

// RawUDP is the <transport/> of XEP-0177: one address for each component, and no way around NATs.
type RawUDP struct {
	Candidates []RawCandidate
	// Extra holds child elements that are no candidates.
	Extra []*xmltree.Element
}

// RawCandidate is its <candidate/> (XEP-0177 section 4.2).
type RawCandidate struct {
	Component  uint16 // 1 is RTP, 2 RTCP; 0 if absent, which means 1
	Generation uint32
	ID         string
	IP         string
	Port       uint16
	// Type is a hint, and empty if absent.
	Type CandidateType
}

// AddrPort returns the address to send to, and false if IP is none.
func (c *RawCandidate) AddrPort() (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(c.IP)
	return netip.AddrPortFrom(a.Unmap().WithZone(""), c.Port), err == nil && c.Port != 0
}

// Element implements [jingle.Payload].
func (t RawUDP) Element() *xmltree.Element {
	e := xmltree.New(NSRawUDP, "transport")
	for _, c := range t.Candidates {
		x := xmltree.New(NSRawUDP, "candidate")
		if c.Component != 0 {
			x.Set("component", strconv.Itoa(int(c.Component)))
		}
		e.Add(x.Set("generation", strconv.FormatUint(uint64(c.Generation), 10)).
			Set("id", c.ID).Set("ip", c.IP).Set("port", strconv.Itoa(int(c.Port))).
			SetOpt("type", string(c.Type)))
	}
	for _, x := range t.Extra {
		e.Add(x.Clone())
	}
	return e
}

// ParseRawUDP reads a <transport/> of [NSRawUDP]. As there is no second candidate to go on with, a broken one is an
// error.
func ParseRawUDP(e *xmltree.Element) (RawUDP, error) {
	if !e.Is(NSRawUDP, "transport") {
		return RawUDP{}, &xmltree.Error{Element: e.Name.Local, Problem: "is not a raw UDP transport"}
	}
	var t RawUDP
	for c := range e.Elements() {
		if !c.Is(NSRawUDP, "candidate") || len(t.Candidates) == MaxCandidates {
			t.Extra = append(t.Extra, c)
			continue
		}
		r := xmltree.Attrs(c)
		t.Candidates = append(t.Candidates, RawCandidate{
			Component:  uint16(r.Uint("component", 0, 256)),
			Generation: uint32(r.Uint("generation", 0, 1<<31-1)),
			ID:         r.Required("id"),
			IP:         r.Required("ip"),
			Port:       uint16(r.RequiredUint("port", 65535)),
			Type:       CandidateType(r.OneOf("type", "host", "prflx", "relay", "srflx")),
		})
		if err := r.Err(); err != nil {
			return t, err
		}
	}
	return t, nil
}

// AsICE returns the transport as one of package ice's general shape, with [NSRawUDP] for its namespace: what carries
// packets treats both alike. A component that is not given is 1.
func (t RawUDP) AsICE() Transport {
	out := Transport{NS: NSRawUDP}
	for _, c := range t.Candidates {
		component := c.Component
		if component == 0 {
			component = 1
		}
		out.Candidates = append(out.Candidates, Candidate{
			Component: component, Generation: int(c.Generation), ID: c.ID, IP: c.IP, Port: c.Port, Type: c.Type,
			Protocol: "udp", Network: Absent,
		})
	}
	return out
}

// Payload returns what stands for the transport in a content: itself, or a [RawUDP] if its namespace is [NSRawUDP].
func (t Transport) Payload() jingle.Payload {
	if t.NS != NSRawUDP {
		return t
	}
	var raw RawUDP
	for _, c := range t.Candidates {
		raw.Candidates = append(raw.Candidates, RawCandidate{
			Component: c.Component, Generation: uint32(max(c.Generation, 0)), ID: c.ID, IP: c.IP, Port: c.Port, Type: c.Type,
		})
	}
	return raw
}

// TransportOf is the reverse of [Transport.Payload]; it reports false for transports that are neither.
func TransportOf(p jingle.Payload) (Transport, bool) {
	switch t := p.(type) {
	case Transport:
		return t, true
	case RawUDP:
		return t.AsICE(), true
	}
	return Transport{}, false
}
