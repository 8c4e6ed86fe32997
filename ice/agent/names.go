package agent

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Names looks up the addresses of hosts. A *net.Resolver is one.
type Names interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// lookupTimeout is how long DNS may take. Candidates of servers whose names are found later are of little use to a call.
const lookupTimeout = 5 * time.Second

// lookup finds the address of a host and port, for the life of the agent: the end of a call must not wait for DNS. network is
// that of a socket, such as "udp4".
func (n *network) lookup(network, address string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, &net.AddrError{Err: "not a port", Addr: address}
	}
	four, six := !strings.HasSuffix(network, "6"), !strings.HasSuffix(network, "4") || n.six
	if a, err := netip.ParseAddr(host); err == nil {
		if a = a.Unmap(); a.Is4() && !four || a.Is6() && !six {
			return netip.AddrPort{}, &net.AddrError{Err: "not an address for " + network, Addr: host}
		}
		return netip.AddrPortFrom(a, uint16(number)), nil
	}
	family := "ip"
	switch {
	case !six:
		family = "ip4"
	case !four:
		family = "ip6"
	}
	ctx, cancel := context.WithTimeout(n.ctx, lookupTimeout)
	defer cancel()
	found, err := n.names.LookupNetIP(ctx, family, host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	best := netip.Addr{}
	for _, a := range found {
		// IPv4 first as in [net.ResolveUDPAddr], unless there is none here.
		if a = a.Unmap(); !best.IsValid() || a.Is4() != best.Is4() && a.Is4() != n.six {
			best = a
		}
	}
	if !best.IsValid() {
		return netip.AddrPort{}, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return netip.AddrPortFrom(best, uint16(number)), nil
}

// ResolveUDPAddr implements [transport.Net].
func (n *network) ResolveUDPAddr(network, address string) (*net.UDPAddr, error) {
	a, err := n.lookup(network, address)
	if err != nil {
		if a := n.reached.addr(address); a != nil {
			return a, nil
		}
		return nil, err
	}
	return net.UDPAddrFromAddrPort(a), nil
}

// ResolveTCPAddr implements [transport.Net].
func (n *network) ResolveTCPAddr(network, address string) (*net.TCPAddr, error) {
	found, err := n.lookup(network, address)
	if err != nil {
		return nil, err
	}
	a := net.TCPAddrFromAddrPort(found)
	n.secure.resolved(address, a)
	return a, nil
}
