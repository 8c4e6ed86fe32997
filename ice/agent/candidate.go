package agent

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	pion "github.com/pion/ice/v4"

	"github.com/jingled/jingled/ice"
)

// toPion makes a candidate for pion out of the peer's.
func toPion(c *ice.Candidate) (pion.Candidate, error) {
	addr, ok := c.Addr()
	if !ok {
		return nil, fmt.Errorf("the address %q is a name", c.IP)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d udp %d %s %d typ %s", c.Foundation, c.Component, c.Priority, addr, c.Port, c.Type)
	if c.Type != ice.Host {
		// Required by RFC 8839 section 5.1, used by nobody, and left out by some.
		rel, err := netip.ParseAddr(c.RelAddr)
		if err != nil {
			rel = netip.IPv4Unspecified()
		}
		fmt.Fprintf(&b, " raddr %s rport %d", rel.WithZone(""), c.RelPort)
	}
	return pion.UnmarshalCandidate(b.String())
}

// fromPion makes a candidate to send out of pion's. n is its number in the session.
func (a *Agent) fromPion(p pion.Candidate, n int) ice.Candidate {
	c := ice.Candidate{
		Component: a.cfg.Component, Foundation: p.Foundation(), Generation: a.cfg.Generation, ID: a.id + strconv.Itoa(n),
		IP: p.Address(), Network: a.network(p), Port: uint16(p.Port()), Protocol: "udp",
		// RFC 8445 section 5.1.2.1: the last byte is 256 less the component, which pion takes to be 1.
		Priority: p.Priority() - uint32(a.cfg.Component-1),
		Type:     candidateType(p.Type()),
	}
	if rel := p.RelatedAddress(); rel != nil && rel.Address != "" {
		c.RelAddr, c.RelPort = rel.Address, uint16(rel.Port)
	}
	if c.Type != ice.Host && (a.cfg.Policy == RelayOnly || c.RelAddr == "" || isDummy(c.RelAddr)) {
		// RFC 8839 section 5.1: what a relay hides must not stand in the related address either.
		c.RelAddr, c.RelPort = "0.0.0.0", 9
		if addr, ok := c.Addr(); ok && addr.Is6() {
			c.RelAddr = "::"
		}
	}
	return c
}

// network numbers our base addresses, as XEP-0176 section 5.3 wants; it is for diagnosis.
func (a *Agent) network(p pion.Candidate) int {
	base := p.Address()
	if rel := p.RelatedAddress(); rel != nil {
		base = rel.Address
	}
	n, ok := a.networks[base]
	if !ok {
		n = len(a.networks)
		a.networks[base] = n
	}
	return n
}

func candidateType(t pion.CandidateType) ice.CandidateType {
	switch t {
	case pion.CandidateTypeServerReflexive:
		return ice.ServerReflexive
	case pion.CandidateTypePeerReflexive:
		return ice.PeerReflexive
	case pion.CandidateTypeRelay:
		return ice.Relayed
	}
	return ice.Host
}

// Endpoint is one end of a [Pair].
type Endpoint struct {
	Type ice.CandidateType
	Addr netip.AddrPort
}

func (e Endpoint) String() string { return string(e.Type) + " " + e.Addr.String() }

// Pair is the path in use.
type Pair struct{ Local, Remote Endpoint }

// Relayed reports whether the path goes through a relay of either side.
func (p Pair) Relayed() bool { return p.Local.Type == ice.Relayed || p.Remote.Type == ice.Relayed }

// String is for people: "host 192.0.2.1:1234 - srflx 203.0.113.5:5678".
func (p Pair) String() string { return p.Local.String() + " - " + p.Remote.String() }

func endpoint(c pion.Candidate) Endpoint {
	addr, _ := netip.ParseAddr(c.Address())
	return Endpoint{candidateType(c.Type()), netip.AddrPortFrom(addr, uint16(c.Port()))}
}
