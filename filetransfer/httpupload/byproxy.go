package httpupload

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

const (
	dialTimeout = 15 * time.Second
	// maxAddresses is how many addresses of a name are tried.
	maxAddresses = 4
)

// ErrNoProxy is what [Config].Proxy returns for a host that is connected to directly.
var ErrNoProxy = errors.New("no proxy")

type dialFunc func(ctx context.Context, network, hostPort string) (net.Conn, error)

// connector connects by a proxy where there is one. What a proxy looked up by itself could not be checked: where allow is set
// the name is looked up here, and the proxy is asked for an address that is allowed.
type connector struct {
	proxy  func(ctx context.Context, hostPort string, at netip.AddrPort) (net.Conn, error)
	direct dialFunc
	allow  func(netip.Addr) bool // nil allows everything
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

func (c *connector) dial(ctx context.Context, network, hostPort string) (net.Conn, error) {
	by, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := c.byProxy(by, hostPort)
	if errors.Is(err, ErrNoProxy) {
		return c.direct(ctx, network, hostPort)
	}
	return conn, err
}

func (c *connector) byProxy(ctx context.Context, hostPort string) (net.Conn, error) {
	if c.allow == nil {
		return c.proxy(ctx, hostPort, netip.AddrPort{})
	}
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	addresses, err := c.lookup(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("what only the proxy could look up is not fetched, as it could be anywhere: %w", err)
	}
	allowed := slices.DeleteFunc(slices.Clone(addresses), func(a netip.Addr) bool { return !c.allow(a) })
	if len(allowed) == 0 {
		return nil, fmt.Errorf("%w: %v", ErrNotPublic, addresses[:min(len(addresses), maxAddresses)])
	}
	var errs []error
	for _, a := range allowed[:min(len(allowed), maxAddresses)] {
		conn, err := c.proxy(ctx, hostPort, netip.AddrPortFrom(a.Unmap(), uint16(number)))
		if err == nil || errors.Is(err, ErrNoProxy) {
			return conn, err
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}
