package turn

import (
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
)

// proxyMagic starts a PROXY protocol v2 header.
const proxyMagic = "\r\n\r\n\x00\r\nQUIT\n"

// maxProxyHeader bounds addresses and extensions; the protocol's own bound is 64 KiB.
const maxProxyHeader = 4096

var errProxy = errors.New("turn: bad PROXY protocol header")

// proxyHeader reads a PROXY protocol v2 header and returns the client's address: from itself when the balancer checks
// the server's health (LOCAL).
func proxyHeader(r io.Reader, from netip.AddrPort, trusted []netip.Prefix) (netip.AddrPort, error) {
	ok := false
	for _, p := range trusted {
		ok = ok || p.Contains(from.Addr())
	}
	if !ok {
		return from, errProxy
	}
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return from, err
	}
	n := int(binary.BigEndian.Uint16(head[14:]))
	if string(head[:12]) != proxyMagic || head[12]>>4 != 2 || n > maxProxyHeader {
		return from, errProxy
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return from, err
	}
	switch head[12] & 0x0F {
	case 0: // LOCAL
		return from, nil
	case 1: // PROXY
	default:
		return from, errProxy
	}
	switch {
	case head[13] == 0x11 && n >= 12: // TCP over IPv4
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b)), binary.BigEndian.Uint16(b[8:])), nil
	case head[13] == 0x21 && n >= 36: // TCP over IPv6
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b)).Unmap(), binary.BigEndian.Uint16(b[32:])), nil
	}
	// UNSPEC, datagrams and Unix sockets have no client we could answer for.
	return from, errProxy
}
