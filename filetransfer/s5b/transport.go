package s5b

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/xmltree"
)

// Config says how the transports of a [Factory] work. The zero value offers nothing and connects to public and private
// addresses.
type Config struct {
	// Listener is where peers connect to us; nil means that we only connect to them.
	Listener *Listener
	// Proxies returns the proxies that we may use, found by service discovery, best first. nil means none.
	Proxies func() []StreamHost
	// Request sends an IQ of type set with this payload and later calls done once. It activates proxies, and without it
	// none are offered. It does not block.
	Request func(to jid.JID, payload *xmltree.Element, done func(error))
	// Loopback also offers the loopback address, and connects to that of the peer: for a peer that may be on this machine.
	Loopback bool
	// Allow says whether an address that a peer named may be connected to. nil means [AllowPublicAndPrivate], and
	// loopback addresses with Loopback.
	Allow func(netip.AddrPort) bool
	// Timing replaces the defaults of the negotiation; its Role and Local are not used.
	Timing NegotiationConfig
	// Log may be nil.
	Log *slog.Logger
}

// AllowPublicAndPrivate allows what a peer may reasonably be at: not this machine, no multicast, and no link-local
// address, where cloud providers keep secrets.
func AllowPublicAndPrivate(a netip.AddrPort) bool {
	ip := a.Addr().Unmap()
	return a.Port() != 0 && ip.IsValid() && ip.IsGlobalUnicast()
}

// Factory makes S5B transports. It implements [engine.TransportFactory].
type Factory struct{ cfg Config }

// NewFactory returns a factory.
func NewFactory(cfg Config) *Factory {
	if cfg.Allow == nil {
		cfg.Allow = func(a netip.AddrPort) bool {
			return AllowPublicAndPrivate(a) || cfg.Loopback && a.Port() != 0 && a.Addr().Unmap().IsLoopback()
		}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Factory{cfg}
}

// NS implements [engine.TransportFactory].
func (f *Factory) NS() string { return NS }

// New implements [engine.TransportFactory].
func (f *Factory) New(c engine.TransportConfig) (engine.Transport, error) {
	ctx, cancel := context.WithCancel(context.Background())
	return &transport{
		cfg: f.cfg, in: c, ctx: ctx, cancel: cancel, log: f.cfg.Log.With("sid", c.SID),
		conns: make(map[string]net.Conn), cancels: make(map[string]context.CancelFunc),
	}, nil
}

// transport is one S5B transport. Its methods run on the session's goroutine; what its own goroutines find they keep
// in conns and incoming and post.
type transport struct {
	cfg Config
	in  engine.TransportConfig
	log *slog.Logger

	ctx    context.Context // of everything that connects
	cancel context.CancelFunc

	sid         string
	dstaddr     string // of the peer's streamhosts
	ours        string // of our own
	local       []Candidate
	remote      []Candidate
	early       *Transport // the peer's result, if it came before the start
	expectation *Expectation
	negotiation *Negotiation
	timer       *time.Timer
	cancels     map[string]context.CancelFunc // of the attempts, by cid

	mu       sync.Mutex
	closed   bool
	conns    map[string]net.Conn // by cid: that we made
	incoming []*net.TCPConn      // that the peer made
}

// NS implements [engine.Transport].
func (t *transport) NS() string { return NS }

// Offer implements [engine.Transport].
func (t *transport) Offer() (jingle.Payload, error) {
	t.sid = "s5b-" + rand.Text()
	return t.describe()
}

// Answer implements [engine.Transport].
func (t *transport) Answer(remote jingle.Payload) (jingle.Payload, error) {
	p, ok := remote.(Transport)
	if !ok {
		return nil, fmt.Errorf("s5b: %T is no transport of %s", remote, NS)
	}
	if p.Mode == ModeUDP {
		return nil, errors.New("SOCKS5 bytestreams over UDP are not supported")
	}
	t.sid = p.SID
	t.takeRemote(p)
	return t.describe()
}

// Accepted implements [engine.Transport].
func (t *transport) Accepted(remote jingle.Payload) error {
	p, ok := remote.(Transport)
	if !ok || p.SID != t.sid {
		// XEP-0260 section 2.2: the answer has the same stream id.
		return errors.New("the answer is about another stream")
	}
	t.takeRemote(p)
	return nil
}

func (t *transport) takeRemote(p Transport) {
	t.remote = p.Candidates
	t.dstaddr = DstAddr(t.sid, t.in.Peer, t.in.Local)
	if isHash(p.DstAddr) {
		// The peer may see other addresses of us than we do (XEP-0065 section 7).
		t.dstaddr = strings.ToLower(p.DstAddr)
	}
}

// isHash reports whether s is the hexadecimal of a SHA-1. Nothing else that a peer writes is sent to a third party.
func isHash(s string) bool {
	return len(s) == 40 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// describe makes our candidates and lets the peer in.
func (t *transport) describe() (jingle.Payload, error) {
	t.ours = DstAddr(t.sid, t.in.Local, t.in.Peer)
	t.local = t.candidates()
	if t.cfg.Listener != nil {
		var err error
		// Old clients compute one hash for the candidates of both sides.
		other := DstAddr(t.sid, t.in.Peer, t.in.Local)
		if t.expectation, err = t.cfg.Listener.Expect(maxTried, t.came, t.ours, other); err != nil {
			return nil, err
		}
	}
	p := Transport{SID: t.sid, DstAddr: t.ours, Candidates: t.local}
	if t.in.Offerer {
		p.Mode = ModeTCP
	}
	return p, nil
}

// candidates returns ours, each with a priority of its own that no candidate of the peer has: clients do not agree on
// who wins a tie.
func (t *transport) candidates() []Candidate {
	var out []Candidate
	// Priorities that other clients count from are 65535, 32768 and 0.
	preference := uint16(40000)
	taken := func(p uint32) bool {
		for _, c := range t.remote {
			if c.Priority == p {
				return true
			}
		}
		return false
	}
	add := func(typ Type, host, who string, port uint16) {
		for _, c := range t.remote {
			if c.Host == host && c.Port == port {
				return // XEP-0260 section 2.2: not what the peer offered already
			}
		}
		for taken(typ.Priority(preference)) {
			preference--
		}
		out = append(out, Candidate{
			CID: "c" + rand.Text()[:12], Host: host, JID: who, Port: port, Priority: typ.Priority(preference), Type: typ,
		})
		preference--
	}
	if t.cfg.Listener != nil {
		addrs, err := t.cfg.Listener.Addrs()
		if err != nil {
			t.log.Warn("no own addresses for SOCKS5 bytestreams", "err", err)
		}
		if t.cfg.Loopback {
			// The last of those that are told: it is of use on this machine only.
			addrs = append(slices.Clone(addrs[:min(len(addrs), maxTried/2-1)]), t.cfg.Listener.loopback()...)
		}
		for i, a := range addrs {
			if i < maxTried/2 {
				add(Direct, a.Addr().String(), t.in.Local.String(), a.Port())
			}
		}
	}
	if t.cfg.Listener != nil {
		if a, ok := t.cfg.Listener.assisted(); ok {
			add(Assisted, a.Addr().String(), t.in.Local.String(), a.Port())
		}
	}
	if t.cfg.Proxies != nil && t.cfg.Request != nil {
		for i, p := range t.cfg.Proxies() {
			if i < maxTried/4 && p.Host != "" {
				add(Proxy, p.Host, p.JID, orDefaultPort(p.Port))
			}
		}
	}
	return out
}

func orDefaultPort(p uint16) uint16 {
	if p == 0 {
		return DefaultPort
	}
	return p
}

// Start implements [engine.Transport].
func (t *transport) Start() {
	cfg := t.cfg.Timing
	cfg.Role, cfg.Local = t.in.Role, t.local
	t.negotiation = NewNegotiation(cfg)
	t.do(t.negotiation.AddRemote(time.Now(), t.remote...))
	if t.early != nil {
		effects, _ := t.negotiation.Info(time.Now(), *t.early) // it names a candidate of ours
		t.do(effects)
	}
	t.do(t.negotiation.Start(time.Now()))
	if t.countIncoming() > 0 {
		t.do(t.negotiation.Incoming(time.Now()))
	}
}

// Info implements [engine.Transport].
func (t *transport) Info(p jingle.Payload) error {
	info, ok := p.(Transport)
	if !ok || info.SID != t.sid {
		return &jingle.StanzaError{Type: "cancel", Condition: "item-not-found", Text: "There is no such stream."}
	}
	if t.negotiation == nil {
		t.remote = append(t.remote, info.Candidates...)
		if info.CandidateUsed == "" && !info.CandidateError {
			return nil
		}
		// The result of a peer that is quicker than we are is kept for the start.
		ours := slices.ContainsFunc(t.local, func(c Candidate) bool { return c.CID == info.CandidateUsed })
		if t.early != nil || !ours && !info.CandidateError {
			return jingle.ErrOutOfOrder("The session is not accepted yet.")
		}
		info.Candidates = nil
		t.early = &info
		return nil
	}
	effects, err := t.negotiation.Info(time.Now(), info)
	t.do(effects)
	return err
}

// Close implements [engine.Transport].
func (t *transport) Close() {
	t.cancel()
	if t.timer != nil {
		t.timer.Stop()
	}
	if t.expectation != nil {
		t.expectation.Close()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, c := range t.conns {
		_ = c.Close()
	}
	for _, c := range t.incoming {
		_ = c.Close()
	}
	t.conns, t.incoming = nil, nil
}

// came is called by the listener.
func (t *transport) came(c *net.TCPConn) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		_ = c.Close()
		return
	}
	t.incoming = append(t.incoming, c)
	t.mu.Unlock()
	t.in.Host.Post(func() {
		if t.negotiation != nil {
			t.do(t.negotiation.Incoming(time.Now()))
		}
	})
}

func (t *transport) countIncoming() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.incoming)
}

// do carries effects out.
func (t *transport) do(effects []Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case Probe:
			t.probe(e.Candidate)
		case Drop:
			t.drop(e.CID)
		case Tell:
			e.Info.SID = t.sid
			t.in.Host.SendInfo(e.Info)
		case OpenProxy:
			t.openProxy(e.Candidate)
		case UseOutgoing:
			t.mu.Lock()
			c := t.conns[e.CID]
			delete(t.conns, e.CID)
			t.mu.Unlock()
			t.finish(c)
		case UseIncoming:
			t.finish(t.takeIncoming(e.CID))
		case Fail:
			t.in.Host.Failed(e.Err)
		}
	}
	t.setTimer()
}

func (t *transport) setTimer() {
	d := t.negotiation.Deadline()
	switch {
	case d.IsZero():
		if t.timer != nil {
			t.timer.Stop()
		}
	case t.timer == nil:
		t.timer = time.AfterFunc(time.Until(d), func() { t.in.Host.Post(t.advance) })
	default:
		t.timer.Reset(time.Until(d))
	}
}

func (t *transport) advance() { t.do(t.negotiation.Advance(time.Now())) }

// finish hands the connection over and frees the rest.
func (t *transport) finish(c net.Conn) {
	if c == nil {
		t.in.Host.Failed(fmt.Errorf("%w: its connection is gone", ErrPeerSilent))
		return
	}
	rwc, ok := c.(*net.TCPConn)
	if !ok {
		t.in.Host.Failed(fmt.Errorf("s5b: a connection of type %T", c))
		return
	}
	t.in.Host.Connected(rwc)
	t.Close()
}

// takeIncoming returns the peer's connection to the candidate: the newest that came in at its address, or else the
// newest, as with a mapped address the two differ.
func (t *transport) takeIncoming(cid string) net.Conn {
	host := ""
	for _, c := range t.local {
		if c.CID == cid {
			host = c.Host
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	best := len(t.incoming) - 1
	for i, c := range t.incoming {
		if a, ok := netip.AddrFromSlice(c.LocalAddr().(*net.TCPAddr).IP); ok && a.Unmap().String() == host {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	c := t.incoming[best]
	t.incoming = append(t.incoming[:best:best], t.incoming[best+1:]...)
	return c
}

// drop gives up an attempt, or its connection.
func (t *transport) drop(cid string) {
	if cancel := t.cancels[cid]; cancel != nil {
		cancel()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.conns[cid]; c != nil {
		_ = c.Close()
		delete(t.conns, cid)
	}
}

// probe connects to a candidate of the peer on a goroutine of its own.
func (t *transport) probe(c Candidate) {
	ctx, cancel := context.WithCancel(t.ctx)
	t.cancels[c.CID] = cancel
	go func() {
		err := t.dial(ctx, c, t.dstaddr)
		if err != nil {
			t.log.Debug("SOCKS5 candidate", "host", c.Host, "port", c.Port, "err", err)
		}
		t.in.Host.Post(func() { t.do(t.negotiation.Probed(time.Now(), c.CID, err)) })
	}()
}

// openProxy connects to a proxy of ours and activates the stream (XEP-0065 section 6.3.5).
func (t *transport) openProxy(c Candidate) {
	ctx, cancel := context.WithCancel(t.ctx)
	t.cancels[c.CID] = cancel
	done := func(err error) {
		t.in.Host.Post(func() { t.do(t.negotiation.ProxyOpened(time.Now(), c.CID, err)) })
	}
	go func() {
		if err := t.dial(ctx, c, t.ours); err != nil {
			done(err)
			return
		}
		proxy, err := jid.Parse(c.JID)
		if err != nil {
			done(err)
			return
		}
		t.cfg.Request(proxy, Query{SID: t.sid, Activate: t.in.Peer.String()}.Element(), done)
	}()
}

// dial connects to a candidate and keeps the connection under its cid.
func (t *transport) dial(ctx context.Context, c Candidate, dstaddr string) error {
	if !c.IsProxy() {
		// A peer's own address is a number; a name would only make our resolver ask somebody.
		if _, err := netip.ParseAddr(c.Host); err != nil {
			return fmt.Errorf("a direct candidate's host is an address: %w", err)
		}
	}
	conn, err := t.cfg.dial(ctx, c.Host, orDefaultPort(c.Port), dstaddr)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || ctx.Err() != nil {
		_ = conn.Close()
		return context.Canceled
	}
	t.conns[c.CID] = conn
	return nil
}

// dial connects to a streamhost and asks it for the stream dstaddr.
func (cfg *Config) dial(ctx context.Context, host string, port uint16, dstaddr string) (*net.TCPConn, error) {
	d := net.Dialer{ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		// After the name was resolved, so that no name leads to where no address may.
		a, err := netip.ParseAddrPort(address)
		if err != nil || !cfg.Allow(netip.AddrPortFrom(a.Addr().WithZone(""), a.Port())) {
			return fmt.Errorf("a connection to %s is not allowed", address)
		}
		return nil
	}}
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
	if err != nil {
		return nil, err
	}
	conn, ok := c.(*net.TCPConn)
	if !ok {
		_ = c.Close()
		return nil, fmt.Errorf("s5b: a connection of type %T", c)
	}
	// The handshake ends with the attempt, by its deadline in the negotiation or by the end of everything.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	err = connect(conn, dstaddr)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}
