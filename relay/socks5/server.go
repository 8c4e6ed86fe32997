package socks5

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Server is the proxy. Its methods are safe from any goroutine.
type Server struct {
	cfg Config
	wg  sync.WaitGroup

	mu       sync.Mutex
	waiting  map[Key]*pair
	pendings map[netip.Prefix]int // connections without a stream
	pending  int
	conns    map[*net.TCPConn]struct{} // in their handshake, to be closed at the end
	streams  map[uint64]*stream
	seq      uint64
	closing  bool
	draining bool

	streamsTotal, bytes, refused, handshakeErrors, expired, activationErrors atomic.Uint64
}

// pair is one or two parties that wait. first came first: by the protocol's order (XEP-0065 section 6.1) the target.
type pair struct {
	first, second         *net.TCPConn
	firstHead, secondHead uint64 // bytes of their handshakes
	since                 time.Time
}

// New returns a Server.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Server{
		cfg: cfg, waiting: map[Key]*pair{}, pendings: map[netip.Prefix]int{},
		conns: map[*net.TCPConn]struct{}{}, streams: map[uint64]*stream{},
	}, nil
}

// Run serves the listeners until ctx ends or one of them fails, then closes everything and returns when all that it
// started has ended. It closes the listeners. It is called once.
func (s *Server) Run(ctx context.Context, listeners ...net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for _, ln := range listeners {
		s.wg.Go(func() { cancel(s.accept(ctx, ln)) })
	}
	tick := time.NewTicker(min(max(min(s.cfg.IdleTimeout, s.cfg.PendingTimeout)/4, 10*time.Millisecond), 5*time.Second))
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case now := <-tick.C:
			s.sweep(now)
		}
	}
	for _, ln := range listeners {
		ln.Close()
	}
	s.closeAll()
	s.wg.Wait()
	return context.Cause(ctx)
}

func (s *Server) accept(ctx context.Context, ln net.Listener) error {
	pause := 5 * time.Millisecond
	for {
		c, err := ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
				return err
			}
			// Out of file descriptors or a connection that was gone at once: neither ends the proxy.
			s.cfg.Logger.Warn("cannot accept a bytestream connection", "error", err)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(pause):
			}
			pause = min(2*pause, time.Second)
			continue
		}
		pause = 5 * time.Millisecond
		tcp, ok := c.(*net.TCPConn)
		if !ok {
			c.Close()
			return errors.New("socks5: the listener is not a TCP listener")
		}
		s.admit(tcp)
	}
}

// admit starts a handshake, or closes a connection that is one too many.
func (s *Server) admit(c *net.TCPConn) {
	group := groupOf(c)
	if s.cfg.Limiter != nil && s.cfg.Limiter.Blocked(time.Now(), remote(c).Addr()) {
		s.drop(c)
		return
	}
	s.mu.Lock()
	if s.closing || s.draining || s.pending >= s.cfg.MaxPending || s.pendings[group] >= s.cfg.MaxPendingPerAddress {
		s.mu.Unlock()
		s.drop(c)
		return
	}
	s.pending++
	s.pendings[group]++
	s.conns[c] = struct{}{}
	s.wg.Go(func() { s.shake(c) })
	s.mu.Unlock()
}

// drop closes with a reset: a flood must not leave us in TIME_WAIT.
func (s *Server) drop(c *net.TCPConn) {
	s.refused.Add(1)
	_ = c.SetLinger(0)
	c.Close()
}

// shake does the SOCKS5 part and leaves the connection waiting; no goroutine stays behind.
func (s *Server) shake(c *net.TCPConn) {
	_ = c.SetDeadline(time.Now().Add(s.cfg.HandshakeTimeout))
	req, err := readRequest(c)
	if err == nil {
		err = s.wait(c, &req)
	}
	if err != nil {
		s.handshakeErrors.Add(1)
		s.cfg.Logger.Debug("bytestream handshake failed", "error", err)
		s.mu.Lock()
		s.release(c)
		s.mu.Unlock()
		c.Close()
	}
}

// wait puts a connection into the table and says yes to its party. Both happen under the lock: the party may ask for
// activation as soon as it has read the answer. 47 bytes always fit into the empty send buffer of a new connection, so
// the write does not wait.
func (s *Server) wait(c *net.TCPConn, req *request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return net.ErrClosed
	}
	p := s.waiting[req.key]
	if p != nil && p.second != nil { // section 10.1: one target for one stream
		_, _ = c.Write(req.reply(replyRefused))
		return errors.New("socks5: a third connection for one stream")
	}
	if _, err := c.Write(req.reply(replyOK)); err != nil {
		return err
	}
	// What a party sends early stays in its socket until activation. Section 10.1 would have it ignored, but libpurple
	// sends before it may, and would lose the head of its file.
	_ = c.SetDeadline(time.Time{})
	if p == nil {
		p = &pair{first: c, firstHead: req.size}
		s.waiting[req.key] = p
	} else {
		p.second, p.secondHead = c, req.size
	}
	p.since = time.Now()
	delete(s.conns, c)
	return nil
}

// release takes a connection out of the count of pending ones.
func (s *Server) release(c *net.TCPConn) {
	delete(s.conns, c)
	s.pending--
	g := groupOf(c)
	if s.pendings[g]--; s.pendings[g] <= 0 {
		delete(s.pendings, g)
	}
}

// Activation names the stream that a requester wants to begin (XEP-0065 section 6.3.5).
type Activation struct {
	SID       string
	Requester string // 'from' of the stanza as the XMPP server vouches for it
	Target    string // what <activate/> holds
	User      string // who limits and records count, e.g. the requester's bare address
}

// Activate joins the two parties. Only the requester can name the hash, as it is made with the address that the XMPP
// server vouches for.
func (s *Server) Activate(a Activation) error {
	err := s.activate(a, time.Now())
	if err != nil {
		s.activationErrors.Add(1)
	}
	return err
}

func (s *Server) activate(a Activation, now time.Time) error {
	key := NewKey(a.SID, a.Requester, a.Target)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.waiting[key]
	if p == nil || s.closing {
		return ErrNotFound
	}
	if p.second == nil {
		return ErrOneParty
	}
	if s.prune(key, p) { // one has hung up meanwhile
		return ErrOneParty
	}
	if len(s.streams) >= s.cfg.MaxStreams {
		return ErrFull
	}
	var hold Hold
	if s.cfg.Limiter != nil {
		var err error
		if hold, err = s.cfg.Limiter.Begin(now, a.User, remote(p.second)); err != nil {
			return err
		}
	}
	delete(s.waiting, key)
	s.release(p.first)
	s.release(p.second)
	s.seq++
	st := &stream{s: s, id: s.seq, user: a.User, target: p.first, requester: p.second, hold: hold, created: now, active: now}
	st.targetHead, st.requesterHead = p.firstHead, p.secondHead
	st.targetAddr, st.requesterAddr = remote(p.first), remote(p.second)
	s.streams[st.id] = st
	s.streamsTotal.Add(1)
	s.wg.Go(st.run)
	return nil
}

// prune closes parties of a pair that have hung up, and reports whether there was one. Of a pair in which the first
// is gone the second becomes the first.
func (s *Server) prune(key Key, p *pair) bool {
	gone := false
	if p.second != nil && hungUp(p.second) {
		s.release(p.second)
		p.second.Close()
		p.second, gone = nil, true
	}
	if hungUp(p.first) {
		s.release(p.first)
		p.first.Close()
		p.first, p.firstHead, p.second, gone = p.second, p.secondHead, nil, true
	}
	if p.first == nil {
		delete(s.waiting, key)
	}
	return gone
}

// sweep ends what has waited, idled or lasted too long.
func (s *Server) sweep(now time.Time) {
	s.mu.Lock()
	streams := make([]*stream, 0, len(s.streams))
	for _, st := range s.streams {
		streams = append(streams, st)
	}
	for key, p := range s.waiting {
		s.prune(key, p)
		if p.first != nil && now.Sub(p.since) > s.cfg.PendingTimeout {
			for _, c := range []*net.TCPConn{p.first, p.second} {
				if c != nil {
					s.expired.Add(1)
					s.release(c)
					c.Close()
				}
			}
			delete(s.waiting, key)
		}
	}
	s.mu.Unlock()
	for _, st := range streams {
		st.check(now)
	}
}

func (s *Server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	for c := range s.conns {
		c.Close() // shake notices and releases
	}
	for key, p := range s.waiting {
		for _, c := range []*net.TCPConn{p.first, p.second} {
			if c != nil {
				s.release(c)
				c.Close()
			}
		}
		delete(s.waiting, key)
	}
	for _, st := range s.streams {
		st.end(EndShutdown)
	}
}

// Drain refuses new connections (or takes them again). Those that wait may still be activated.
func (s *Server) Drain(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = on
}

// Sessions returns the running streams, unordered.
func (s *Server) Sessions() []Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Info, 0, len(s.streams))
	for _, st := range s.streams {
		out = append(out, st.info())
	}
	return out
}

// Kick ends the streams that match and says how many.
func (s *Server) Kick(match func(Info) bool) int {
	n := 0
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.streams {
		if match(st.info()) {
			st.end(EndKicked)
			n++
		}
	}
	return n
}

// Counters returns totals and gauges.
func (s *Server) Counters() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.streams {
		st.count()
	}
	return Counters{
		Streams: uint64(len(s.streams)), Pending: uint64(s.pending), StreamsTotal: s.streamsTotal.Load(), Bytes: s.bytes.Load(),
		Refused: s.refused.Load(), HandshakeErrors: s.handshakeErrors.Load(), Expired: s.expired.Load(), ActivationErrors: s.activationErrors.Load(),
	}
}

func remote(c *net.TCPConn) netip.AddrPort {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// groupOf is what pending connections are counted by: an address, or an IPv6 /64.
func groupOf(c *net.TCPConn) netip.Prefix {
	a := remote(c).Addr().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}
