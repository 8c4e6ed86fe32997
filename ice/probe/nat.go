package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"
)

// Behavior is what a NAT looks at when it maps an address, or lets a packet in (RFC 4787 sections 4.1 and 5).
type Behavior int

// The behaviors.
const (
	Unknown             Behavior = iota
	EndpointIndependent          // at nothing: the best
	AddressDependent
	AddressAndPortDependent // as a mapping also called symmetric: each peer sees another port
)

func (b Behavior) String() string {
	return [...]string{"unknown", "endpoint-independent", "address-dependent", "address-and-port-dependent"}[b]
}

// NAT is what was found out about the way to the internet by UDP.
type NAT struct {
	Server netip.AddrPort // the one that answered
	Local  netip.AddrPort // our address on this machine
	Mapped netip.AddrPort // and as the server sees it
	RTT    time.Duration
	// Mapping and Filtering are Unknown where no server can tell: that takes one with RFC 5780, or for Mapping two
	// servers with different addresses.
	Mapping, Filtering Behavior
}

// Translated reports whether there is a NAT in between.
func (n NAT) Translated() bool { return n.Local != n.Mapped }

// negative is how long to wait for something that will perhaps not come.
const negative = 1500 * time.Millisecond

// changeRequest is CHANGE-REQUEST (RFC 5780 section 7.2): answer from another address or port.
func changeRequest(ip, port bool) attribute {
	var v byte
	if ip {
		v |= 4
	}
	if port {
		v |= 2
	}
	return attribute{stun.AttrChangeRequest, []byte{0, 0, 0, v}}
}

// LookAtNAT asks STUN servers ("host:port") by UDP until one answers, and then finds out more. The error is that of the
// first server if none answers.
func LookAtNAT(ctx context.Context, servers ...string) (NAT, error) {
	var first error
	for i, name := range servers {
		n, err := lookAtNAT(ctx, name, servers[i+1:])
		if err == nil {
			return n, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	if first == nil {
		first = errors.New("there is no server to ask")
	}
	return NAT{}, first
}

func lookAtNAT(ctx context.Context, name string, others []string) (NAT, error) {
	to, err := resolve(ctx, name, "")
	if err != nil {
		return NAT{}, err
	}
	s, err := newSocket(to)
	if err != nil {
		return NAT{}, explain(ctx, err)
	}
	defer s.conn.Close()
	n := NAT{Server: to}
	once, cancel := context.WithTimeout(ctx, 2*negative)
	defer cancel()
	began := time.Now()
	m, err := s.ask(once, to)
	if err != nil {
		return n, err
	}
	n.RTT = time.Since(began)
	var ok bool
	if n.Mapped, ok = mapped(m); !ok {
		return n, fmt.Errorf("%w: its answer has no address", ErrProtocol)
	}
	n.Local = s.local
	var other stun.OtherAddress
	if other.GetFrom(m) == nil {
		if ip, ok := netip.AddrFromSlice(other.IP); ok {
			second := netip.AddrPortFrom(ip.Unmap(), uint16(other.Port))
			if second.Addr() != to.Addr() && second.Port() != to.Port() && second.Addr().Is4() == to.Addr().Is4() {
				s.behavior(ctx, &n, second)
			}
		}
	}
	for _, name := range others {
		if n.Mapping != Unknown {
			break
		}
		s.compare(ctx, &n, name)
	}
	return n, nil
}

// behavior does the tests of RFC 5780, those of filters (section 4.4) first: until then nothing has gone to the server's
// second address.
func (s *socket) behavior(ctx context.Context, n *NAT, other netip.AddrPort) {
	ask := func(to netip.AddrPort, extra ...stun.Setter) (*stun.Message, bool) {
		ctx, cancel := context.WithTimeout(ctx, negative)
		defer cancel()
		m, err := s.ask(ctx, to, extra...)
		return m, err == nil
	}
	filtering := AddressAndPortDependent
	if _, ok := ask(n.Server, changeRequest(true, true)); ok {
		filtering = EndpointIndependent
	} else if _, ok := ask(n.Server, changeRequest(false, true)); ok {
		filtering = AddressDependent
	}
	// Section 4.3.
	m, ok := ask(netip.AddrPortFrom(other.Addr(), n.Server.Port()))
	second, known := netip.AddrPort{}, false
	if ok {
		second, known = mapped(m)
	}
	if !known || ctx.Err() != nil {
		return // the second address does not answer, so silence says nothing about filters
	}
	n.Filtering = filtering
	if second == n.Mapped {
		n.Mapping = EndpointIndependent
	} else if m, ok := ask(other); ok {
		n.Mapping = AddressAndPortDependent
		if third, ok := mapped(m); ok && third == second {
			n.Mapping = AddressDependent
		}
	}
}

// compare asks a second server with another address, which also tells a good mapping from a bad one.
func (s *socket) compare(ctx context.Context, n *NAT, name string) {
	to, err := resolve(ctx, name, family(n.Server.Addr()))
	if err != nil || to.Addr() == n.Server.Addr() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, negative)
	defer cancel()
	m, err := s.ask(ctx, to)
	if err != nil {
		return
	}
	if second, ok := mapped(m); ok {
		n.Mapping = AddressAndPortDependent
		if second == n.Mapped {
			n.Mapping = EndpointIndependent
		}
	}
}

// socket is one UDP port of ours, from which several servers are asked.
type socket struct {
	conn  *net.UDPConn
	local netip.AddrPort // as a packet to the first server has it
}

func newSocket(to netip.AddrPort) (*socket, error) {
	// The system says which of our addresses leads there; nothing is sent.
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return nil, err
	}
	ip := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
	_ = c.Close()
	conn, err := net.ListenUDP("udp"+family(to.Addr()), nil)
	if err != nil {
		return nil, err
	}
	return &socket{conn, netip.AddrPortFrom(ip, conn.LocalAddr().(*net.UDPAddr).AddrPort().Port())}, nil
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "4"
	}
	return "6"
}

// ask sends a binding request until its answer comes, from wherever, or ctx ends.
func (s *socket) ask(ctx context.Context, to netip.AddrPort, extra ...stun.Setter) (*stun.Message, error) {
	m, err := stun.Build(append([]stun.Setter{stun.TransactionID, stun.BindingRequest}, extra...)...)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) })()
	buf := make([]byte, 1500)
	for wait := firstWait; ; wait *= 2 {
		if _, err := s.conn.WriteToUDPAddrPort(m.Raw, to); err != nil {
			return nil, explain(ctx, err)
		}
		if err := s.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return nil, err
		}
		for ctx.Err() == nil {
			n, _, err := s.conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				break // it is sent again
			}
			r := &stun.Message{Raw: append([]byte(nil), buf[:n]...)}
			if r.Decode() == nil && r.TransactionID == m.TransactionID {
				return r, refusal(r)
			}
		}
		if ctx.Err() != nil {
			return nil, ErrNoAnswer
		}
	}
}

// resolve returns the first address of "host:port", of the family "4" or "6" if it is given.
func resolve(ctx context.Context, name, family string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(name)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: %w", ErrHost, err)
	}
	n, err := net.DefaultResolver.LookupPort(ctx, "udp", port)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: %w", ErrHost, err)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip"+family, host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: %w", ErrHost, err)
	}
	best := ips[0].Unmap()
	for _, ip := range ips {
		if ip.Unmap().Is4() { // where NATs are
			best = ip.Unmap()
			break
		}
	}
	return netip.AddrPortFrom(best, uint16(n)), nil
}
