package policy

import (
	"encoding/binary"
	"net/netip"
)

// Special says whether a is not a public unicast address: the IANA special-purpose registries (RFC 6890 and
// followers), multicast and reserved space, and the metadata services of clouds, which live in
// link-local, unique-local and shared space.
func Special(a netip.Addr) bool {
	a = a.Unmap()
	if a.Is4() {
		return special4(binary.BigEndian.Uint32(a.AsSlice()))
	}
	return special6(a)
}

// block4 is an IPv4 prefix in host order.
type block4 struct {
	addr uint32
	bits uint8
}

func special4(x uint32) bool {
	for _, b := range [...]block4{
		{0x00000000, 8},  // 0.0.0.0/8 this network; 0.0.0.0 reaches loopback (CVE-2020-26262)
		{0x0A000000, 8},  // 10.0.0.0/8 private
		{0x64400000, 10}, // 100.64.0.0/10 shared space; Alibaba's metadata 100.100.100.200
		{0x7F000000, 8},  // 127.0.0.0/8 loopback
		{0xA9FE0000, 16}, // 169.254.0.0/16 link-local; metadata 169.254.169.254, 169.254.170.2
		{0xAC100000, 12}, // 172.16.0.0/12 private
		{0xC0000000, 24}, // 192.0.0.0/24 protocol assignments; Oracle's metadata 192.0.0.192
		{0xC0000200, 24}, // 192.0.2.0/24 documentation
		{0xC01FC400, 24}, // 192.31.196.0/24 AS112
		{0xC034C100, 24}, // 192.52.193.0/24 AMT
		{0xC0586300, 24}, // 192.88.99.0/24 6to4 relay anycast, deprecated
		{0xC0A80000, 16}, // 192.168.0.0/16 private
		{0xC0AF3000, 24}, // 192.175.48.0/24 AS112
		{0xC6120000, 15}, // 198.18.0.0/15 benchmarking
		{0xC6336400, 24}, // 198.51.100.0/24 documentation
		{0xCB007100, 24}, // 203.0.113.0/24 documentation
		{0xE0000000, 3},  // 224.0.0.0/3 multicast, reserved, broadcast
		{0xA83F8110, 32}, // 168.63.129.16 Azure's host service, a public address that is not public
	} {
		if (x^b.addr)>>(32-b.bits) == 0 {
			return true
		}
	}
	return false
}

func special6(a netip.Addr) bool {
	b := a.As16()
	hi := binary.BigEndian.Uint64(b[:])
	// Only 2000::/3 is global unicast: this covers ::, ::1, v4-compatible, fe80::/10, fec0::/10, fc00::/7
	// (AWS metadata fd00:ec2::254), ff00::/8, 100::/64, 5f00::/16.
	if hi>>61 != 1 {
		// NAT64 prefixes are judged by the address inside.
		return !wellKnownNAT64Contains(a)
	}
	switch {
	case hi>>32 == 0x20010000: // 2001::/32 Teredo: judged by what is inside
		return false
	case hi>>41 == 0x20010000>>9: // 2001::/23 protocol assignments
		// but for the parts that are globally reachable: anycast of AMT 2001:3::/32, AS112 2001:4:112::/48 and
		// ORCHIDv2 are no peers of calls either.
		return true
	case hi>>32 == 0x20010db8: // 2001:db8::/32 documentation
		return true
	case hi>>44 == 0x3fff0: // 3fff::/20 documentation
		return true
	case hi>>16 == 0x2620004f8000: // 2620:4f:8000::/48 AS112
		return true
	}
	return false
}

// wellKnownNAT64 lists 64:ff9b::/96 (RFC 6052). 64:ff9b:1::/48 (RFC 8215) is for local use, and special.
func wellKnownNAT64() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("64:ff9b::/96")}
}

func wellKnownNAT64Contains(a netip.Addr) bool {
	b := a.As16()
	// 64:ff9b:1::/48 is for networks of one's own: which length they chose cannot be known, so it stays denied.
	return binary.BigEndian.Uint64(b[:]) == 0x0064ff9b00000000 && binary.BigEndian.Uint32(b[8:]) == 0
}

// embedded lists the IPv4 addresses that packets to a may end up at.
func (p *Policy) embedded(a netip.Addr, out []netip.Addr) []netip.Addr {
	if a.Is4() {
		return out
	}
	b := a.As16()
	four := func(i int) netip.Addr { return netip.AddrFrom4([4]byte(b[i : i+4])) }
	switch {
	case b[0] == 0x20 && b[1] == 0x02: // 6to4 (RFC 3056): the gateway
		out = append(out, four(2))
	case binary.BigEndian.Uint32(b[:]) == 0x20010000: // Teredo (RFC 4380 section 4): server, and the client inverted
		out = append(out, four(4), netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}))
	}
	// ISATAP (RFC 5214 section 6.1): interface identifier 0000:5efe or 0200:5efe, under any prefix.
	if b[8]&^0x02 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe {
		out = append(out, four(12))
	}
	for _, n := range p.nat64 {
		if n.Contains(a) {
			out = append(out, nat64(b, n.Bits()))
			break
		}
	}
	return out
}

// nat64 takes the IPv4 address out of b (RFC 6052 section 2.2): it follows the prefix and skips bits 64 to 71.
func nat64(b [16]byte, bits int) netip.Addr {
	var v [4]byte
	at := bits / 8
	for i := range v {
		if at == 8 {
			at++
		}
		v[i] = b[at]
		at++
	}
	return netip.AddrFrom4(v)
}
