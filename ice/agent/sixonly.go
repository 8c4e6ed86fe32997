package agent

import (
	"errors"
	"net"
	"net/netip"

	"github.com/pion/transport/v4"
)

// A machine without IPv4 reaches peers without IPv6 only by a TURN server that has both: asked over IPv6 for an IPv4 address
// (RFC 8656 section 7.1). pion asks TURN servers over IPv4 only, so on such a machine there is one more address for it, and
// what it opens from there goes over IPv6.

// dummy is an address that no packet ever has (RFC 7600 section 4.8).
var dummy = netip.AddrFrom4([4]byte{192, 0, 0, 8})

var errDummy = errors.New("nothing is sent from an address that is none")

// onlySix reports whether the machine has IPv6 to the world and no IPv4.
func onlySix(ifaces []*transport.Interface) bool {
	six := false
	for _, i := range ifaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err != nil || !p.Addr().IsGlobalUnicast() {
				continue
			}
			if p.Addr().Unmap().Is4() {
				return false
			}
			six = true
		}
	}
	return six
}

// Interfaces implements [transport.Net].
func (n *network) Interfaces() ([]*transport.Interface, error) {
	ifaces, err := n.Net.Interfaces()
	if err != nil || !n.six {
		return ifaces, err
	}
	none := transport.NewInterface(net.Interface{Name: "relay-only", Flags: net.FlagUp})
	none.AddAddress(&net.IPNet{IP: dummy.AsSlice(), Mask: net.CIDRMask(32, 32)})
	return append(ifaces, none), nil
}

// isDummy reports whether a host, or host and port, is the address that is none.
func isDummy(address string) bool {
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	a, err := netip.ParseAddr(address)
	return err == nil && a.Unmap() == dummy
}

// local is the local address of a connection, as pion is told it: by it pion chooses which family to ask for.
func (n *network) local(a net.Addr) net.Addr {
	if !n.six {
		return a
	}
	switch a := a.(type) {
	case *net.UDPAddr:
		return &net.UDPAddr{IP: dummy.AsSlice(), Port: a.Port}
	case *net.TCPAddr:
		return &net.TCPAddr{IP: dummy.AsSlice(), Port: a.Port}
	}
	return a
}
