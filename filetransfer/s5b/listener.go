package s5b

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// ListenerConfig says where peers may connect to us; the zero value is the default.
type ListenerConfig struct {
	// Addr is where to listen, e.g. "192.0.2.1:7777". "" is a port chosen by the system on every address.
	Addr string
	// Advertise are the addresses that are told to peers. Empty means the address listened on or, if that is every
	// address, those of the interfaces; loopback and link-local ones are not told.
	Advertise []netip.Addr
	// MaxHandshakes bounds the connections that have not said what they want (default 64), MaxPerHost those of one
	// address (default 8), and HandshakeTimeout their time (default 10 s).
	MaxHandshakes, MaxPerHost int
	HandshakeTimeout          time.Duration
	// Log may be nil.
	Log *slog.Logger
}

// Listener lets in the peers that are expected, by the hash that only they know, and nobody else. One serves all
// transfers. Its methods may be called from any goroutine.
type Listener struct {
	cfg ListenerConfig
	ln  *net.TCPListener

	mu       sync.Mutex
	mapped   netip.AddrPort // outside a router, see SetMapped
	expected map[string]*Expectation
	pending  map[*net.TCPConn]netip.Addr // connections that have not said what they want
	warned   map[netip.Addr]bool         // hosts whose wrong hash was logged
	closed   bool
	serving  sync.WaitGroup
}

// maxWarned bounds what is remembered of strangers.
const maxWarned = 256

// NewListener listens, but serves nobody before [Listener.Run].
func NewListener(cfg ListenerConfig) (*Listener, error) {
	if cfg.MaxHandshakes <= 0 {
		cfg.MaxHandshakes = 64
	}
	if cfg.MaxPerHost <= 0 {
		cfg.MaxPerHost = 8
	}
	if cfg.HandshakeTimeout <= 0 {
		cfg.HandshakeTimeout = 10 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Addr == "" {
		cfg.Addr = ":0"
	}
	ln, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen for SOCKS5 bytestreams: %w", err)
	}
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("listen for SOCKS5 bytestreams: %T", ln), ln.Close())
	}
	return &Listener{
		cfg: cfg, ln: tcp, expected: make(map[string]*Expectation),
		pending: make(map[*net.TCPConn]netip.Addr), warned: make(map[netip.Addr]bool),
	}, nil
}

// Run serves peers until ctx is done. It returns when every connection was handed over or closed.
func (l *Listener) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, l.close)
	defer stop()
	var err error
	for {
		var c *net.TCPConn
		if c, err = l.ln.AcceptTCP(); err == nil {
			l.admit(c)
			continue
		}
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			break
		}
		// Out of file descriptors, as a rule: the ones who hold them go away in time.
		l.cfg.Log.Warn("SOCKS5 bytestreams: accept", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	l.close()
	l.serving.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (l *Listener) close() {
	_ = l.ln.Close() // it was open, and nothing is to be done if it was not
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for c := range l.pending {
		_ = c.Close()
	}
}

// admit starts the handshake of a connection, or closes it if there are too many.
func (l *Listener) admit(c *net.TCPConn) {
	host := remoteAddr(c)
	l.mu.Lock()
	same := 0
	for _, h := range l.pending {
		if h == host {
			same++
		}
	}
	ok := !l.closed && len(l.pending) < l.cfg.MaxHandshakes && same < l.cfg.MaxPerHost
	if ok {
		l.pending[c] = host
		l.serving.Add(1)
	}
	l.mu.Unlock()
	if !ok {
		_ = c.Close()
		return
	}
	go func() {
		defer l.serving.Done()
		l.handshake(c, host)
	}()
}

func (l *Listener) handshake(c *net.TCPConn, host netip.Addr) {
	_ = c.SetDeadline(time.Now().Add(l.cfg.HandshakeTimeout))
	dst, err := accept(c)
	l.mu.Lock()
	delete(l.pending, c)
	e := l.expected[dst]
	if err == nil && e == nil {
		l.warn(host)
	}
	l.mu.Unlock()
	switch {
	case err != nil:
		l.cfg.Log.Debug("SOCKS5 bytestreams: handshake", "from", host, "err", err)
	case e == nil:
		_ = reply(c, replyRefused, dst)
	default:
		if err := reply(c, replyOK, dst); err == nil {
			_ = c.SetDeadline(time.Time{})
			if e.give(c) {
				return
			}
		}
	}
	_ = c.Close()
}

// warn logs a wrong hash once per host; l.mu is held.
func (l *Listener) warn(host netip.Addr) {
	if l.warned[host] {
		return
	}
	if len(l.warned) < maxWarned {
		l.warned[host] = true
	} else {
		return // there are too many to name them all
	}
	l.cfg.Log.Warn("SOCKS5 bytestreams: somebody asked for a stream that nobody offered", "from", host)
}

// Addrs returns what can be told to peers: every advertised address with the port.
func (l *Listener) Addrs() ([]netip.AddrPort, error) {
	local, ok := netip.AddrFromSlice(l.ln.Addr().(*net.TCPAddr).IP)
	port := uint16(l.ln.Addr().(*net.TCPAddr).Port)
	ips := l.cfg.Advertise
	switch {
	case len(ips) > 0:
	case ok && !local.IsUnspecified():
		ips = []netip.Addr{local}
	default:
		var err error
		if ips, err = interfaceAddrs(); err != nil {
			return nil, err
		}
	}
	out := make([]netip.AddrPort, 0, len(ips))
	for _, ip := range ips {
		out = append(out, netip.AddrPortFrom(ip.Unmap(), port))
	}
	return out, nil
}

// Port returns the port that is listened on.
func (l *Listener) Port() uint16 { return uint16(l.ln.Addr().(*net.TCPAddr).Port) }

// SetMapped says at which address a router lets peers in to us: what is offered from now on has it as an assisted candidate
// (XEP-0260 section 2.2). The zero value takes that back.
func (l *Listener) SetMapped(a netip.AddrPort) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mapped = a
}

func (l *Listener) assisted() (netip.AddrPort, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mapped, l.mapped.IsValid()
}

// loopback returns the loopback address, if the listener has it besides others and was not told what to advertise.
func (l *Listener) loopback() []netip.AddrPort {
	local := l.ln.Addr().(*net.TCPAddr)
	if len(l.cfg.Advertise) > 0 || !local.IP.IsUnspecified() {
		return nil
	}
	return []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(local.Port))}
}

// interfaceAddrs returns the addresses of the interfaces that a peer elsewhere could use, IPv6 last: the order is that
// of preference, and IPv4 is where both sides are in one network most often.
func interfaceAddrs() ([]netip.Addr, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of the interfaces: %w", err)
	}
	var v4, v6 []netip.Addr
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		// Link-local ones need a zone, which means nothing to a peer.
		ip, ok := netip.AddrFromSlice(n.IP)
		if ip = ip.Unmap(); !ok || !ip.IsGlobalUnicast() {
			continue
		}
		if ip.Is4() {
			v4 = append(v4, ip)
		} else {
			v6 = append(v6, ip)
		}
	}
	return append(v4, v6...), nil
}

// Expectation lets in connections for some hashes.
type Expectation struct {
	l      *Listener
	hashes []string
	max    int
	got    func(*net.TCPConn)

	mu     sync.Mutex
	given  int
	closed bool
}

// Expect lets in at most limit connections for any of these hashes. got is called with each, on a goroutine of the
// listener; it must not block. The error says that a hash is expected already.
func (l *Listener) Expect(limit int, got func(*net.TCPConn), hashes ...string) (*Expectation, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range hashes {
		if l.expected[h] != nil {
			return nil, fmt.Errorf("the stream %.40s is expected already", h)
		}
	}
	e := &Expectation{l: l, hashes: hashes, max: limit, got: got}
	for _, h := range hashes {
		l.expected[h] = e
	}
	return e, nil
}

// give hands a connection over, unless there were enough or nobody wants it any more.
func (e *Expectation) give(c *net.TCPConn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.given >= e.max {
		return false
	}
	e.given++
	e.got(c)
	return true
}

// Close lets nobody in any more. Connections that were handed over stay open. After it has returned, got is not called
// again.
func (e *Expectation) Close() {
	e.l.mu.Lock()
	for _, h := range e.hashes {
		if e.l.expected[h] == e {
			delete(e.l.expected, h)
		}
	}
	e.l.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
}

func remoteAddr(c *net.TCPConn) netip.Addr {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		ip, _ := netip.AddrFromSlice(a.IP)
		return ip.Unmap()
	}
	return netip.Addr{}
}
