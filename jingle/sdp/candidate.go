package sdp

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"strconv"
	"strings"

	"github.com/jingled/jingled/ice"
)

// CandidateLine returns the attribute of a candidate (XEP-0176 section 5.3, RFC 8839 section 5.1), without "a=":
// "candidate:1 1 udp 2130706431 192.0.2.1 3478 typ host generation 0". The candidate must pass [ice.Candidate.Validate].
func CandidateLine(c ice.Candidate) string { return attrCandidate + ":" + candidateValue(c) }

func candidateValue(c ice.Candidate) string {
	v := fmt.Sprintf("%s %d %s %d %s %d typ %s",
		c.Foundation, c.Component, strings.ToLower(c.Protocol), c.Priority, host(c.IP), c.Port, c.Type)
	if c.RelAddr != "" {
		v += fmt.Sprintf(" raddr %s rport %d", host(c.RelAddr), c.RelPort)
	}
	if strings.EqualFold(c.Protocol, "tcp") {
		v += " tcptype " + c.TCPType
	}
	v += " generation " + strconv.Itoa(max(c.Generation, 0))
	if c.Network > 0 {
		v += " network " + strconv.Itoa(c.Network)
	}
	return v
}

// host writes addresses in one way, and without the brackets that some put around IPv6.
func host(s string) string {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.WithZone("").String()
	}
	return s
}

// ParseCandidate reads the attribute of a candidate, with "a=" and "candidate:" or without. The candidate gets what
// Jingle needs and SDP does not have: an id made of the line itself, generation 0 and network 0. Its error says what is
// wrong with the line.
func ParseCandidate(line string) (ice.Candidate, error) {
	line = strings.TrimSpace(line)
	value := strings.TrimPrefix(strings.TrimPrefix(line, "a="), attrCandidate+":")
	c := ice.Candidate{}
	f := strings.Fields(value)
	if len(f) < 8 || f[6] != "typ" || len(value) > 1024 {
		return c, &ParseError{0, "a candidate is not of the form of RFC 8839 section 5.1"}
	}
	component, ok1 := number(f[1], 16)
	priority, ok2 := number(f[3], 32)
	port, ok3 := number(f[5], 16)
	if !ok1 || !ok2 || !ok3 {
		return c, &ParseError{0, "a candidate has a number out of range"}
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(value)) // never fails
	c = ice.Candidate{
		ID: "c" + strconv.FormatUint(h.Sum64(), 36), Foundation: f[0], Component: uint16(component),
		Protocol: strings.ToLower(f[2]), Priority: uint32(priority), IP: f[4], Port: uint16(port),
		Type: ice.CandidateType(f[7]),
	}
	for i := 8; i+1 < len(f); i += 2 {
		readExtension(&c, f[i], f[i+1])
	}
	err := c.Validate()
	return c, err
}

// readExtension takes one of the pairs that follow the type. Unknown ones are passed over.
func readExtension(c *ice.Candidate, name, value string) {
	n, ok := number(value, 31)
	switch {
	case name == "raddr":
		c.RelAddr = value
	case name == "rport" && ok && n <= 65535:
		c.RelPort = uint16(n)
	case name == "tcptype" && c.Protocol == "tcp":
		c.TCPType = value
	case name == "generation" && ok:
		c.Generation = int(n)
	case (name == "network" || name == "network-id") && ok: // the latter is libwebrtc's
		c.Network = int(n)
	}
}
