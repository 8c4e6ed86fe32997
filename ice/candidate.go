package ice

import (
	"encoding/xml"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/jingled/jingled/xmltree"
)

// CandidateType is the kind of a candidate (RFC 8445 section 4).
type CandidateType string

// The kinds of candidates.
const (
	Host            CandidateType = "host"
	ServerReflexive CandidateType = "srflx"
	PeerReflexive   CandidateType = "prflx"
	Relayed         CandidateType = "relay"
)

// Absent is the value of [Candidate.Generation] and [Candidate.Network] where the attribute is not there.
const Absent = -1

// Candidate is a <candidate/> (XEP-0176 and XEP-0371 section 5.3).
type Candidate struct {
	// Component is 1 for RTP, or everything, and 2 for RTCP.
	Component uint16
	// Foundation groups candidates that are likely to work or fail together.
	Foundation string
	// Generation counts ICE restarts, [Absent] if it is not given. Pidgin drops candidates without it.
	Generation int
	// ID is unique in the session, for logs only.
	ID string
	// IP is an address, or by RFC 8839 section 5.1 a name such as those of multicast DNS. See [Candidate.Addr].
	IP string
	// Network tells interfaces apart, for logs only; [Absent] if it is not given. Pidgin drops candidates without it.
	Network  int
	Port     uint16
	Priority uint32
	// Protocol is "udp", or "tcp" in [NSICE].
	Protocol string
	// RelAddr and RelPort are the address that this one was derived from; RelAddr is empty where there is none.
	RelAddr string
	RelPort uint16
	// TCPType is "active", "passive" or "so" where Protocol is "tcp" (RFC 6544 section 4.5).
	TCPType string
	Type    CandidateType
	// Extra holds attributes that are none of the above.
	Extra []xml.Attr

	// raw is the candidate as it came where an attribute did not parse, problem says which.
	raw     *xmltree.Element
	problem error
}

// Addr returns the candidate's address without its zone, and false if IP is not one.
func (c *Candidate) Addr() (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(c.IP, "["), "]"))
	return a.Unmap().WithZone(""), err == nil
}

// AddrPort is [Candidate.Addr] with the port.
func (c *Candidate) AddrPort() (netip.AddrPort, bool) {
	a, ok := c.Addr()
	return netip.AddrPortFrom(a, c.Port), ok
}

// Validate reports what keeps the candidate from being used: an *xmltree.Error, or nil.
func (c *Candidate) Validate() error {
	if c.problem != nil {
		return c.problem
	}
	bad := func(attr, problem string) error {
		return &xmltree.Error{Element: "candidate", Attr: attr, Problem: problem}
	}
	switch {
	case c.Component < 1 || c.Component > 256: // RFC 8445 section 13
		return bad("component", "is not a number from 1 to 256")
	case c.Foundation == "" || len(c.Foundation) > 32 || !visible(c.Foundation): // RFC 8839 section 5.1
		return bad("foundation", "is not a string of 1 to 32 ICE characters")
	case c.Port == 0:
		return bad("port", "is not a number from 1 to 65535")
	case c.Priority == 0:
		return bad("priority", "is not a number from 1 to 4294967295")
	case len(c.ID) > 256:
		return bad("id", "is longer than 256 characters")
	case !c.validHost(c.IP):
		return bad("ip", "is neither an address nor the name of a host")
	case c.RelAddr != "" && !c.validHost(c.RelAddr):
		return bad("rel-addr", "is neither an address nor the name of a host")
	}
	if !slices.Contains([]CandidateType{Host, ServerReflexive, PeerReflexive, Relayed}, c.Type) {
		return bad("type", "is not one of host, prflx, relay, srflx")
	}
	switch strings.ToLower(c.Protocol) {
	case "udp":
	case "tcp":
		if !slices.Contains([]string{"active", "passive", "so"}, c.TCPType) {
			return bad("tcptype", "is not one of active, passive, so")
		}
	default:
		return bad("protocol", "is not one of udp, tcp")
	}
	return nil
}

func (c *Candidate) validHost(s string) bool {
	if _, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return true
	}
	if s == "" || len(s) > 255 {
		return false
	}
	letter := false
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z':
			letter = true
		case r >= '0' && r <= '9', r == '-', r == '.', r == '_':
		default:
			return false
		}
	}
	// What has no letter was meant as an address, e.g. 123.456.7.8.
	return letter && s[0] != '-' && s[0] != '.'
}

// visible reports whether s has printable ASCII without white space only. It is wider than the ice-char of RFC 8839,
// but nothing in it can break out of a line of SDP.
func visible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func (c *Candidate) element(ns string) *xmltree.Element {
	if c.raw != nil {
		e := c.raw.Clone()
		e.Name.Space = ns
		return e
	}
	num := func(n uint64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatUint(n, 10)
	}
	opt := func(n int) string {
		if n < 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	e := xmltree.New(ns, "candidate").
		SetOpt("component", num(uint64(c.Component))).SetOpt("foundation", c.Foundation).
		SetOpt("generation", opt(c.Generation)).SetOpt("id", c.ID).SetOpt("ip", c.IP).
		SetOpt("network", opt(c.Network)).SetOpt("port", num(uint64(c.Port))).
		SetOpt("priority", num(uint64(c.Priority))).SetOpt("protocol", c.Protocol)
	if c.RelAddr != "" {
		e.Set("rel-addr", c.RelAddr).Set("rel-port", strconv.Itoa(int(c.RelPort)))
	}
	e.SetOpt("tcptype", c.TCPType).SetOpt("type", string(c.Type))
	e.Attrs = append(e.Attrs, c.Extra...)
	return e
}

// parseCandidate never fails: what does not parse is told by [Candidate.Validate] and written back as it was.
func parseCandidate(e *xmltree.Element) Candidate {
	r := xmltree.Attrs(e)
	optional := func(attr string, limit uint64) int {
		if strings.TrimSpace(r.String(attr)) == "" {
			return Absent
		}
		return int(r.Uint(attr, 0, limit))
	}
	c := Candidate{
		Component:  uint16(r.Uint("component", 0, 256)),
		Foundation: r.String("foundation"),
		Generation: optional("generation", 1<<31-1),
		ID:         r.String("id"),
		IP:         strings.TrimSpace(r.String("ip")),
		Network:    optional("network", 1<<31-1),
		Port:       uint16(r.Uint("port", 0, 65535)),
		Priority:   uint32(r.Uint("priority", 0, 1<<32-1)),
		Protocol:   r.String("protocol"),
		RelAddr:    strings.TrimSpace(r.String("rel-addr")),
		RelPort:    uint16(r.Uint("rel-port", 0, 65535)),
		TCPType:    r.String("tcptype"),
		Type:       CandidateType(r.String("type")),
	}
	if _, ok := e.LookupAttr("rel-port"); !ok {
		// Monal's spelling.
		c.RelPort = uint16(r.Uint("rel_port", 0, 65535))
	}
	for _, a := range e.Attrs {
		if a.Name.Space != "" || !slices.Contains(candidateAttrs, a.Name.Local) {
			c.Extra = append(c.Extra, a)
		}
	}
	if c.problem = r.Err(); c.problem != nil || len(e.Children) > 0 {
		c.raw = e
	}
	return c
}

var candidateAttrs = []string{
	"component", "foundation", "generation", "id", "ip", "network", "port", "priority", "protocol", "rel-addr",
	"rel-port", "rel_port", "tcptype", "type",
}

// RemoteCandidate is a <remote-candidate/>: the peer's candidate that the initiator has selected for a component
// (XEP-0176 section 5.7, XEP-0371 section 5.8).
type RemoteCandidate struct {
	Component uint16
	IP        string
	Port      uint16
}

func (c *RemoteCandidate) element(ns string) *xmltree.Element {
	return xmltree.New(ns, "remote-candidate").Set("component", strconv.Itoa(int(c.Component))).
		Set("ip", c.IP).Set("port", strconv.Itoa(int(c.Port)))
}

func parseRemoteCandidate(e *xmltree.Element) (RemoteCandidate, error) {
	r := xmltree.Attrs(e)
	c := RemoteCandidate{
		Component: uint16(r.RequiredUint("component", 256)),
		IP:        r.Required("ip"),
		Port:      uint16(r.RequiredUint("port", 65535)),
	}
	return c, r.Err()
}
