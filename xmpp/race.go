package xmpp

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// attemptDelay is how long an attempt to connect has for itself before the next one begins beside it (RFC 8305 section 5).
const attemptDelay = 250 * time.Millisecond

// race makes attempts to connect one after the other, and the next one at once where one fails or after a while where one
// does not answer, so that a server or an address that is down costs no time.
type race struct {
	ctx     context.Context
	cancel  context.CancelFunc
	n       int // attempts that there are
	attempt func(ctx context.Context, i int) (net.Conn, error)

	begun, running int
	results        chan outcome
}

// outcome is the end of an attempt: a connection or an error.
type outcome struct {
	i    int
	conn net.Conn
	err  error
}

func newRace(ctx context.Context, n int, attempt func(ctx context.Context, i int) (net.Conn, error)) *race {
	r := &race{n: n, attempt: attempt, results: make(chan outcome, n)}
	r.ctx, r.cancel = context.WithCancel(ctx)
	return r
}

// next waits for an attempt to end, and begins more if it has to. ok is false when there are no more.
func (r *race) next() (o outcome, ok bool) {
	for {
		if r.running == 0 && !r.begin() {
			return outcome{}, false
		}
		var patience <-chan time.Time
		if r.begun < r.n {
			patience = time.After(attemptDelay)
		}
		select {
		case o := <-r.results:
			r.running--
			if o.err != nil {
				r.begin() // section 5: not later than now
			}
			return o, true
		case <-patience:
			r.begin()
		}
	}
}

func (r *race) begin() bool {
	if r.begun == r.n || r.ctx.Err() != nil {
		return false
	}
	i := r.begun
	r.begun++
	r.running++
	go func() {
		conn, err := r.attempt(r.ctx, i)
		r.results <- outcome{i, conn, err}
	}()
	return true
}

// close ends the attempts that still run and waits for them.
func (r *race) close() {
	r.cancel()
	for ; r.running > 0; r.running-- {
		if o := <-r.results; o.conn != nil {
			o.conn.Close()
		}
	}
}

// addressResolver looks up addresses. A *net.Resolver is one.
type addressResolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// dialDirect connects to the first address of a host that answers. Without a resolver for addresses it leaves that to
// Dial.
func (c *Config) dialDirect(ctx context.Context, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if _, literal := netip.ParseAddr(host); c.addresses == nil || err != nil || literal == nil {
		return c.Dial(ctx, "tcp", addr)
	}
	ips, err := c.lookupBoth(ctx, host)
	if err != nil {
		return nil, err
	}
	ips = interleave(ips)
	r := newRace(ctx, len(ips), func(ctx context.Context, i int) (net.Conn, error) {
		return c.Dial(ctx, "tcp", net.JoinHostPort(ips[i].String(), port))
	})
	defer r.close()
	var first error
	for o, ok := r.next(); ok; o, ok = r.next() {
		if o.err == nil {
			return o.conn, nil
		}
		if first == nil {
			first = o.err
		}
	}
	if first == nil {
		first = &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return nil, first
}

// otherFamily is how long one family's addresses are waited for when those of the other are there. RFC 8305 section 3 has 50 ms, but
// also has late ones join in.
const otherFamily = 300 * time.Millisecond

// lookupBoth asks for the addresses of both families at once, so that DNS servers that are silent about one of them do not keep the
// other from being tried.
func (c *Config) lookupBoth(ctx context.Context, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithCancel(ctx)
	type answer struct {
		ips []netip.Addr
		err error
	}
	answers := make(chan answer, 2)
	var asks sync.WaitGroup
	defer asks.Wait()
	defer cancel()
	for _, network := range []string{"ip6", "ip4"} {
		asks.Go(func() {
			ips, err := c.addresses.LookupNetIP(ctx, network, host)
			answers <- answer{ips, err}
		})
	}
	var out []netip.Addr
	var first error
	var enough <-chan time.Time
	for range 2 {
		select {
		case a := <-answers:
			out = append(out, a.ips...)
			// That there is no such name says less than that it could not be looked up.
			if a.err != nil && (first == nil || isNotFound(first)) {
				first = a.err
			}
			if len(a.ips) > 0 && enough == nil {
				enough = time.After(otherFamily)
			}
		case <-enough:
			return out, nil
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	return nil, first
}

// maxAddresses bounds the addresses of one host that are tried.
const maxAddresses = 16

// interleave orders addresses by turns, IPv6 first (RFC 8305 section 4). The order within a family stays.
func interleave(ips []netip.Addr) []netip.Addr {
	var six, four, out []netip.Addr
	for _, ip := range ips {
		if ip = ip.Unmap(); ip.Is4() {
			four = append(four, ip)
		} else {
			six = append(six, ip)
		}
	}
	for i := range max(len(six), len(four)) {
		if i < len(six) {
			out = append(out, six[i])
		}
		if i < len(four) {
			out = append(out, four[i])
		}
	}
	return out[:min(len(out), maxAddresses)]
}
