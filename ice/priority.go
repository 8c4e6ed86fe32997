package ice

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"strconv"
)

// TypePreference is the recommended preference of a kind of candidates (RFC 8445 section 5.1.2.2).
func TypePreference(t CandidateType) uint8 {
	switch t {
	case Host:
		return 126
	case PeerReflexive:
		return 110
	case ServerReflexive:
		return 100
	}
	return 0
}

// Priority is the formula of RFC 8445 section 5.1.2.1. local tells candidates of one type apart, the best being 65535.
func Priority(t CandidateType, local uint16, component uint16) uint32 {
	return uint32(TypePreference(t))<<24 + uint32(local)<<8 + (256 - uint32(component))
}

// Foundation returns a foundation that is the same for candidates of the same type, base, protocol and STUN or TURN
// server, and most likely different for others (RFC 8445 section 5.1.1.3). server is "" for host candidates. It is a
// decimal number, as old implementations of XEP-0176 1.0 expect one.
func Foundation(t CandidateType, base netip.Addr, protocol, server string) string {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s %s %s %s", t, base, protocol, server)
	return strconv.FormatUint(uint64(h.Sum32()), 10)
}
