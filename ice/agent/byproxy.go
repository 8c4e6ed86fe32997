package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
)

// byProxy connects to TURN servers on TCP and TLS by a proxy, for networks that nothing else leaves, and directly where that
// fails. The proxy gets the server's name: it may be the only one who can look it up.
type byProxy struct {
	n    *network
	dial func(ctx context.Context, hostPort string) (net.Conn, error)
}

// Dial implements what pion wants of a proxy.
func (p *byProxy) Dial(network, address string) (net.Conn, error) {
	s, err := p.connect(address)
	if err == nil {
		return s, nil
	}
	addr, direct := p.n.ResolveTCPAddr(network, address)
	if direct == nil {
		var c net.Conn
		if c, direct = p.n.DialTCP(network, nil, addr); direct == nil {
			return c, nil
		}
	}
	return nil, errors.Join(err, fmt.Errorf("directly: %w", direct))
}

func (p *byProxy) connect(address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(p.n.ctx, turnDialTimeout)
	defer cancel()
	c, err := p.dial(ctx, address)
	if err != nil {
		return nil, err
	}
	if _, ok := c.LocalAddr().(*net.TCPAddr); !ok { // pion takes it for one
		return nil, errors.Join(fmt.Errorf("the proxy is reached from %v", c.LocalAddr()), c.Close())
	}
	s, err := p.n.begin(c, p.n.secure.hosts[address])
	if err != nil {
		return nil, fmt.Errorf("by the proxy: %w", err)
	}
	p.n.reached.Store(address, true)
	return s, nil
}

// reachedByProxy are servers that need no address, where it cannot be had: pion asks for it all the same, and makes no use of it.
type reachedByProxy struct{ sync.Map }

// addr returns an address for such a server, nil for others.
func (r *reachedByProxy) addr(address string) *net.UDPAddr {
	if _, ok := r.Load(address); !ok {
		return nil
	}
	_, port, _ := net.SplitHostPort(address)
	n, _ := strconv.ParseUint(port, 10, 16)
	return &net.UDPAddr{IP: dummy.AsSlice(), Port: int(n)}
}
