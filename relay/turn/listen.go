package turn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"

	"github.com/jingled/jingled/relay/turn/alloc"
)

// ALPN names of RFC 7443.
const (
	alpnTURN = "stun.turn"
	alpnSTUN = "stun.nat-discovery"
)

// streamCounts are counters of the stream side, and its goroutines that outlive a connection.
type streamCounts struct {
	wg         sync.WaitGroup
	handshakes atomic.Uint64
	refused    atomic.Uint64
}

// streamLimits bounds streams in all and per address.
type streamLimits struct {
	mu       sync.Mutex
	max, per int
	n        int
	by       map[netip.Addr]int
}

func (l *streamLimits) init(limit, per int) { l.max, l.per, l.by = limit, per, map[netip.Addr]int{} }

func (l *streamLimits) take(a netip.Addr) bool {
	a = prefix64(a)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n >= l.max || l.by[a] >= l.per {
		return false
	}
	l.n++
	l.by[a]++
	return true
}

func (l *streamLimits) give(a netip.Addr) {
	a = prefix64(a)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n--
	if l.by[a]--; l.by[a] == 0 {
		delete(l.by, a)
	}
}

func (l *streamLimits) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// maxHalfOpen bounds, per listener, connections whose client is not known yet: DTLS handshakes, whose addresses may be spoofed, and
// connections whose PROXY header has not come. They must not use up what streams may have.
const maxHalfOpen = 512

// acceptor serves one TCP, TLS or DTLS listener.
type acceptor struct {
	srv      *Server
	l        *Listener
	ln       net.Listener
	seed     maphash.Seed
	halfOpen chan struct{}
	tls      atomic.Pointer[tlsPair]
}

// tlsPair is the operator's TLS configuration and ours made from it. Ours is kept, because it holds the keys of session tickets.
type tlsPair struct{ from, made *tls.Config }

// late says whether a connection's client is only known after a handshake or header.
func (a *acceptor) late() bool { return a.l.Transport == alloc.DTLS || a.l.ProxyProtocol }

// listenStream binds a listener and fills its port in.
func (s *Server) listenStream(ctx context.Context, l *Listener) (*acceptor, error) {
	a := &acceptor{srv: s, l: l, seed: maphash.MakeSeed(), halfOpen: make(chan struct{}, maxHalfOpen)}
	var err error
	if l.Transport == alloc.DTLS {
		a.ln, err = dtls.ListenWithOptions(udpNetwork(l.Address.Addr()), net.UDPAddrFromAddrPort(l.Address), s.dtlsOptions()...)
	} else {
		var lc net.ListenConfig
		a.ln, err = lc.Listen(ctx, "tcp", l.Address.String())
	}
	if err != nil {
		return nil, fmt.Errorf("turn: cannot listen on %v %v: %w", l.Transport, l.Address, err)
	}
	if l.Address, err = addrPort(a.ln.Addr()); err != nil {
		a.ln.Close()
		return nil, err
	}
	return a, nil
}

// dtlsOptions serve the same certificates as TLS. The cookie exchange (RFC 6347 section 4.2.1) stays on: spoofed
// hellos get an answer smaller than themselves.
func (s *Server) dtlsOptions() []dtls.ServerOption {
	return []dtls.ServerOption{
		dtls.WithGetCertificate(func(h *dtls.ClientHelloInfo) (*tls.Certificate, error) {
			c := s.tls.Load()
			if c == nil {
				return nil, errors.New("turn: no certificate")
			}
			if c.GetCertificate != nil {
				if cert, err := c.GetCertificate(&tls.ClientHelloInfo{ServerName: h.ServerName, SupportedVersions: []uint16{tls.VersionTLS12}}); cert != nil || err != nil {
					return cert, err
				}
			}
			if len(c.Certificates) == 0 {
				return nil, errors.New("turn: no certificate")
			}
			return &c.Certificates[0], nil
		}),
	}
}

func addrPort(a net.Addr) (netip.AddrPort, error) {
	switch a := a.(type) {
	case *net.TCPAddr:
		return unmap(a.AddrPort()), nil
	case *net.UDPAddr:
		return unmap(a.AddrPort()), nil
	}
	return netip.AddrPort{}, fmt.Errorf("turn: address %v is neither TCP nor UDP", a)
}

func (a *acceptor) close() { a.ln.Close() }

// run accepts until ctx ends, and returns when every connection has ended.
func (a *acceptor) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, a.close)
	defer stop()
	for {
		c, err := a.ln.Accept()
		if ctx.Err() != nil {
			if err == nil {
				c.Close()
			}
			return
		}
		if err != nil {
			// Out of descriptors, a reset before accept: none of it ends the listener.
			select {
			case <-ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		from, err := addrPort(c.RemoteAddr())
		if err != nil || !a.admit(from.Addr()) {
			a.srv.counts.refused.Add(1)
			c.Close()
			continue
		}
		wg.Go(func() {
			if !a.serve(ctx, c, from) {
				c.Close()
			}
		})
	}
}

// admit takes the place of a new connection: among the streams, or among those whose client is not known yet.
func (a *acceptor) admit(from netip.Addr) bool {
	if !a.late() {
		return a.srv.limits.take(from)
	}
	select {
	case a.halfOpen <- struct{}{}:
		return true
	default:
		return false
	}
}

// serve brings a connection to the point where it speaks TURN, and serves it. True: the connection has a new owner.
func (a *acceptor) serve(ctx context.Context, c net.Conn, from netip.AddrPort) (handedOver bool) {
	raw := c // c becomes the TLS connection
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	_ = c.SetDeadline(time.Now().Add(a.srv.cfg.HandshakeTimeout))
	if a.late() {
		var ok bool
		from, ok = a.introduce(ctx, c, from)
		<-a.halfOpen
		if !ok {
			a.srv.counts.handshakes.Add(1)
			return false
		}
		if !a.srv.limits.take(from.Addr()) {
			a.srv.counts.refused.Add(1)
			return false
		}
	}
	defer a.srv.limits.give(from.Addr())
	if a.l.Transport == alloc.TLS {
		tc := tls.Server(c, a.tlsConfig())
		if err := tc.HandshakeContext(ctx); err != nil {
			a.srv.counts.handshakes.Add(1)
			return false
		}
		switch tc.ConnectionState().NegotiatedProtocol {
		case "", alpnTURN, alpnSTUN:
		default:
			if a.l.Fallback != nil {
				_ = c.SetDeadline(time.Time{})
				a.l.Fallback(tc)
				return true
			}
			return false
		}
		c = tc
	}
	_ = c.SetDeadline(time.Time{})
	ft := alloc.FiveTuple{Client: from, Server: a.l.Address, Transport: a.l.Transport}
	shards := a.srv.shards
	sh := shards[maphash.Comparable(a.seed, from)%uint64(len(shards))]
	newStream(a.srv, sh, c, ft).serve()
	return false
}

// introduce finds out who the client is: by the DTLS handshake, or by the balancer's word.
func (a *acceptor) introduce(ctx context.Context, c net.Conn, from netip.AddrPort) (netip.AddrPort, bool) {
	if a.l.ProxyProtocol {
		client, err := proxyHeader(c, from, a.l.ProxyTrusted)
		return client, err == nil
	}
	ctx, cancel := context.WithTimeout(ctx, a.srv.cfg.HandshakeTimeout)
	defer cancel()
	dc, ok := c.(*dtls.Conn)
	return from, ok && dc.HandshakeContext(ctx) == nil
}

func (a *acceptor) tlsConfig() *tls.Config {
	from := a.srv.tls.Load()
	if p := a.tls.Load(); p != nil && p.from == from {
		return p.made
	}
	c := from.Clone()
	c.NextProtos = append([]string{alpnTURN, alpnSTUN}, a.l.FallbackProtocols...)
	if c.MinVersion == 0 {
		c.MinVersion = tls.VersionTLS12
	}
	a.tls.Store(&tlsPair{from, c})
	return c
}
