package alloc

import (
	"encoding/binary"
	"net/netip"

	"github.com/pion/stun/v4"
)

// Attributes that pion/stun does not name.
const (
	attrAccessToken          stun.AttrType = 0x001B // RFC 7635 section 6.2
	attrAdditionalFamily     stun.AttrType = 0x8000 // RFC 8656 section 18.11
	attrAddressErrorCode     stun.AttrType = 0x8001 // RFC 8656 section 18.12
	attrICMP                 stun.AttrType = 0x8004 // RFC 8656 section 18.13
	attrThirdPartyAuth       stun.AttrType = 0x802E // RFC 7635 section 6.1
	attrMobilityTicket       stun.AttrType = 0x8030 // RFC 8016 section 3.5.1
	magicCookie                            = 0x2112A442
	headerSize                             = 20
	familyIPv4, familyIPv6                 = 1, 2
	protocolTCP, protocolUDP               = 6, 17
)

// Error codes of RFC 8489 section 14.8, RFC 8656 section 19, RFC 6062 section 6.3 and RFC 8016 section 3.5.2.
const (
	codeTryAlternate         = 300
	codeBadRequest           = 400
	codeUnauthorized         = 401
	codeForbidden            = 403
	codeMobilityForbidden    = 405
	codeUnknownAttribute     = 420
	codeAllocationMismatch   = 437
	codeStaleNonce           = 438
	codeFamilyNotSupported   = 440
	codeWrongCredentials     = 441
	codeUnsupportedTransport = 442
	codePeerFamilyMismatch   = 443
	codeConnectionExists     = 446
	codeConnectionFailed     = 447
	codeAllocationQuota      = 486
	codeServerError          = 500
	codeInsufficientCapacity = 508
)

// reason is the phrase sent to authenticated clients. Unauthenticated ones get none, to keep answers small.
func reason(code int) string {
	switch code {
	case codeTryAlternate:
		return "Try Alternate"
	case codeBadRequest:
		return "Bad Request"
	case codeForbidden:
		return "Forbidden"
	case codeMobilityForbidden:
		return "Mobility Forbidden"
	case codeUnknownAttribute:
		return "Unknown Attribute"
	case codeAllocationMismatch:
		return "Allocation Mismatch"
	case codeFamilyNotSupported:
		return "Address Family not Supported"
	case codeWrongCredentials:
		return "Wrong Credentials"
	case codeUnsupportedTransport:
		return "Unsupported Transport Protocol"
	case codePeerFamilyMismatch:
		return "Peer Address Family Mismatch"
	case codeConnectionExists:
		return "Connection Already Exists"
	case codeConnectionFailed:
		return "Connection Timeout or Failure"
	case codeAllocationQuota:
		return "Allocation Quota Reached"
	case codeInsufficientCapacity:
		return "Insufficient Capacity"
	}
	return ""
}

// understood says whether the server knows a comprehension-required attribute in a request.
func understood(t stun.AttrType) bool {
	switch t {
	case stun.AttrMappedAddress, stun.AttrUsername, stun.AttrMessageIntegrity, stun.AttrErrorCode,
		stun.AttrUnknownAttributes, stun.AttrRealm, stun.AttrNonce, stun.AttrXORMappedAddress,
		stun.AttrChannelNumber, stun.AttrLifetime, stun.AttrXORPeerAddress, stun.AttrData,
		stun.AttrXORRelayedAddress, stun.AttrEvenPort, stun.AttrRequestedTransport, stun.AttrDontFragment,
		stun.AttrReservationToken, stun.AttrRequestedAddressFamily, stun.AttrConnectionID,
		stun.AttrChangeRequest, stun.AttrPadding, stun.AttrResponsePort,
		stun.AttrMessageIntegritySHA256, stun.AttrPasswordAlgorithm, stun.AttrUserhash, attrAccessToken,
		// ICE checks reach a server by mistake; RFC 8445 lets a STUN server ignore these.
		stun.AttrPriority, stun.AttrUseCandidate:
		return true
	}
	return t.Optional()
}

// xorAddress decodes an XOR address (RFC 8489 section 14.2). IPv6 values that hold an IPv4-mapped address
// are kept as IPv6: whoever judges the address unmaps it.
func xorAddress(v []byte, tid []byte) (netip.AddrPort, bool) {
	if len(v) < 4 {
		return netip.AddrPort{}, false
	}
	port := binary.BigEndian.Uint16(v[2:]) ^ (magicCookie >> 16)
	switch {
	case v[1] == familyIPv4 && len(v) == 8:
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(v[4:])^magicCookie)
		return netip.AddrPortFrom(netip.AddrFrom4(a), port), true
	case v[1] == familyIPv6 && len(v) == 20:
		var a [16]byte
		binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(v[4:])^magicCookie)
		for i := 4; i < 16; i++ {
			a[i] = v[4+i] ^ tid[i-4]
		}
		return netip.AddrPortFrom(netip.AddrFrom16(a), port), true
	}
	return netip.AddrPort{}, false
}

// putXORAddress encodes an XOR address and returns its length, 8 or 20.
func putXORAddress(dst []byte, a netip.AddrPort, tid []byte) int {
	dst[0] = 0
	binary.BigEndian.PutUint16(dst[2:], a.Port()^(magicCookie>>16))
	if a.Addr().Unmap().Is4() {
		b := a.Addr().Unmap().As4()
		dst[1] = familyIPv4
		binary.BigEndian.PutUint32(dst[4:], binary.BigEndian.Uint32(b[:])^magicCookie)
		return 8
	}
	b := a.Addr().As16()
	dst[1] = familyIPv6
	binary.BigEndian.PutUint32(dst[4:], binary.BigEndian.Uint32(b[:])^magicCookie)
	for i := 4; i < 16; i++ {
		dst[4+i] = b[i] ^ tid[i-4]
	}
	return 20
}

// putAddress encodes a plain address (RFC 8489 section 14.1) and returns its length.
func putAddress(dst []byte, a netip.AddrPort) int {
	dst[0] = 0
	binary.BigEndian.PutUint16(dst[2:], a.Port())
	if a.Addr().Is4() {
		b := a.Addr().As4()
		dst[1] = familyIPv4
		return 4 + copy(dst[4:], b[:])
	}
	b := a.Addr().As16()
	dst[1] = familyIPv6
	return 4 + copy(dst[4:], b[:])
}
