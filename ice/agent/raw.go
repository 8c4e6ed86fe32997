package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"

	"github.com/jingled/jingled/ice"
)

// Path is what there is of a path for packets, by ICE ([Agent]) or without ([Raw]).
type Path interface {
	// Credentials are empty where the transport has none.
	Credentials() (ufrag, pwd string)
	Gather() error
	AddRemote(ice.Candidate) error
	Start(controlling bool, ufrag, pwd string) (net.Conn, error)
	Wait(context.Context) error
	Selected() (Pair, bool)
	Report() string
	Close() error
}

var (
	_ Path = (*Agent)(nil)
	_ Path = (*Raw)(nil)
)

// Raw is a path by XEP-0177: each side tells one address, and packets are sent there. Nothing checks that somebody wants
// them there, so:
//   - what the peer names must be an address that ICE would check, too, see [Config];
//   - packets are taken from that address alone. The port may be another one, as NATs choose their own; then the answers
//     go to it, once;
//   - if nothing ever comes back the path fails after [Config.ConnectTimeout], and later when what is sent goes unanswered
//     for twelve times [Config.DisconnectAfter].
type Raw struct {
	cfg  Config
	h    Handler
	conn *net.UDPConn
	id   string

	gathering sync.Once
	gathered  chan struct{} // closed when the socket is free to be read
	known     chan struct{} // closed when the peer's address is known
	over      chan struct{}
	running   sync.WaitGroup

	mu         sync.Mutex
	local      Endpoint
	remote     Endpoint
	generation int
	latched    bool
	started    bool
	closed     bool

	heard, sent atomic.Uint64 // packets
}

// ErrRawRelay says that raw UDP has nothing to hide our address behind.
var ErrRawRelay = errors.New("raw UDP (XEP-0177) would show our address, and only relays may be used; it would take a client with ICE there, or calls without relays only here")

// NewRaw opens the socket of a path. Of the servers in cfg only STUN is used. The caller must call [Raw.Close].
func NewRaw(cfg Config, h Handler) (*Raw, error) {
	if cfg.Policy == RelayOnly {
		return nil, ErrRawRelay
	}
	cfg = cfg.withDefaults()
	own, err := cfg.primary()
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(own, 0)))
	if err != nil {
		return nil, fmt.Errorf("raw udp: %w", err)
	}
	_ = conn.SetReadBuffer(socketBuffer) // better, not needed
	return &Raw{
		cfg: cfg, h: h, conn: conn, id: strings.ToLower(rand.Text()[:8]), generation: -1,
		local:    Endpoint{ice.Host, netip.AddrPortFrom(own, port(conn))},
		gathered: make(chan struct{}), known: make(chan struct{}), over: make(chan struct{}),
	}, nil
}

func port(c *net.UDPConn) uint16 { return c.LocalAddr().(*net.UDPAddr).AddrPort().Port() }

// The addresses that the system is asked how it would reach: those of documentation, to which nothing is sent.
var anywhere = []string{"192.0.2.1:9", "[2001:db8::1]:9"}

// primary returns the address of ours that packets to the world leave from.
func (c Config) primary() (netip.Addr, error) {
	if c.LoopbackOnly {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	}
	for _, to := range anywhere {
		conn, err := net.Dial("udp", to)
		if err != nil {
			continue
		}
		a := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		_ = conn.Close()
		if c.mayUse(a) {
			return a.WithZone(""), nil
		}
	}
	return netip.Addr{}, errors.New("raw udp: this machine has no address that could be told")
}

// Credentials implements [Path]: there are none.
func (r *Raw) Credentials() (ufrag, pwd string) { return "", "" }

// stunWait is how long the STUN servers may take. The peer waits for the candidate.
const stunWait = 700 * time.Millisecond

// Gather tells the candidate: our address as a STUN server sees it, or as it is.
func (r *Raw) Gather() error {
	r.gathering.Do(func() {
		r.running.Go(func() {
			defer close(r.gathered)
			r.mapped()
			r.mu.Lock()
			c := ice.Candidate{Component: r.cfg.Component, Generation: r.cfg.Generation, ID: r.id, IP: r.local.Addr.Addr().String(),
				Port: r.local.Addr.Port(), Type: r.local.Type}
			closed := r.closed
			r.mu.Unlock()
			if closed {
				return
			}
			if r.h.Candidate != nil {
				r.h.Candidate(c)
			}
			if r.h.Gathered != nil {
				r.h.Gathered()
			}
		})
	})
	return nil
}

// mapped asks the STUN servers for our address (RFC 8489), all at once, and takes the first answer.
func (r *Raw) mapped() {
	ctx, cancel := context.WithTimeout(context.Background(), stunWait)
	defer cancel()
	asked := make(map[netip.AddrPort]*stun.Message)
	for _, u := range r.cfg.uris() {
		if u.Scheme != stun.SchemeTypeSTUN || len(asked) >= 4 {
			continue
		}
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Host)
		if err != nil {
			continue
		}
		for _, a := range addrs {
			to := netip.AddrPortFrom(a.Unmap(), uint16(u.Port))
			if to.Addr().Is4() != r.local.Addr.Addr().Is4() {
				continue
			}
			m, err := stun.Build(stun.TransactionID, stun.BindingRequest)
			if err != nil {
				continue
			}
			if _, err := r.conn.WriteToUDPAddrPort(m.Raw, to); err == nil {
				asked[to] = m
			}
			break
		}
	}
	if len(asked) == 0 {
		return
	}
	deadline, _ := ctx.Deadline()
	_ = r.conn.SetReadDeadline(deadline)
	defer func() { _ = r.conn.SetReadDeadline(time.Time{}) }()
	buf := make([]byte, 1500)
	for {
		n, from, err := r.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		request := asked[netip.AddrPortFrom(from.Addr().Unmap(), from.Port())]
		if request == nil || !stun.IsMessage(buf[:n]) {
			continue
		}
		answer := &stun.Message{Raw: buf[:n]}
		var at stun.XORMappedAddress
		if answer.Decode() != nil || answer.TransactionID != request.TransactionID || at.GetFrom(answer) != nil {
			continue
		}
		a, ok := netip.AddrFromSlice(at.IP)
		if seen := netip.AddrPortFrom(a.Unmap(), uint16(at.Port)); ok && seen != r.local.Addr {
			r.mu.Lock()
			r.local = Endpoint{ice.ServerReflexive, seen}
			r.mu.Unlock()
		}
		return
	}
}

// AddRemote takes the peer's address. Of several the first one counts, unless one has a higher generation, by which the
// peer changes it (XEP-0177 section 4.2).
func (r *Raw) AddRemote(c ice.Candidate) error {
	if c.Component != r.cfg.Component {
		return fmt.Errorf("candidate of component %d: this path is for component %d", c.Component, r.cfg.Component)
	}
	at, ok := c.AddrPort()
	switch {
	case !ok || at.Port() == 0:
		return fmt.Errorf("candidate %q: not an address", c.ID)
	case !r.cfg.mayCheck(at.Addr()):
		return fmt.Errorf("candidate %s: packets are not sent there", at.Addr())
	case at.Addr().Is4() != r.local.Addr.Addr().Is4():
		return fmt.Errorf("candidate %s: it is of the other version of IP than ours", at.Addr())
	}
	if c.Type == "" {
		c.Type = ice.Host
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.Generation <= r.generation {
		return nil
	}
	first := r.generation < 0
	r.remote, r.generation, r.latched = Endpoint{c.Type, at}, c.Generation, false
	if first {
		close(r.known)
	}
	return nil
}

// Start returns the connection. What is written goes out once the peer's address is known.
func (r *Raw) Start(bool, string, string) (net.Conn, error) {
	if err := r.Gather(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.started {
		return nil, errors.New("raw udp: started twice")
	}
	r.started = true
	if r.h.State != nil {
		r.running.Go(r.watch)
	}
	return &rawConn{r.conn, r}, nil
}

// Wait returns when the peer's address is known.
func (r *Raw) Wait(ctx context.Context) error {
	select {
	case <-r.known:
		return nil
	case <-r.over:
		return net.ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// watch tells how the path does, by whether what is sent is answered.
func (r *Raw) watch() {
	every := r.cfg.DisconnectAfter / 5
	tick := time.NewTicker(every)
	defer tick.Stop()
	r.h.State(Checking)
	var silent time.Duration
	var heard, sent uint64
	state := Checking
	for {
		select {
		case <-tick.C:
		case <-r.over:
			return
		}
		h, s := r.heard.Load(), r.sent.Load()
		switch {
		case h != heard:
			silent = 0
		case s != sent || state == Checking: // who is on hold sends nothing, and may hear nothing
			silent += every
		}
		limit := 12 * r.cfg.DisconnectAfter
		next := state
		switch {
		case h == 0:
			limit = r.cfg.ConnectTimeout
		case silent == 0:
			next = Connected
		case silent >= 4*r.cfg.DisconnectAfter:
			next = Disturbed
		}
		heard, sent = h, s
		if silent >= limit {
			r.h.State(Failed)
			return
		}
		if next != state {
			state = next
			r.h.State(state)
		}
	}
}

// Selected returns the two addresses once something has come from the peer's.
func (r *Raw) Selected() (Pair, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Pair{r.local, r.remote}, r.heard.Load() > 0
}

// Report says what was tried, for people.
func (r *Raw) Report() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.generation < 0 {
		return "raw UDP from " + r.local.Addr.String() + "; the peer has told no address that could be used"
	}
	return fmt.Sprintf("raw UDP, which has no way through NATs: we told %s, and from %s came %d packets",
		r.local.Addr, r.remote.Addr, r.heard.Load())
}

// Close ends the path and returns when its goroutines have ended. It must not be called from a [Handler].
func (r *Raw) Close() error {
	r.mu.Lock()
	first := !r.closed
	r.closed = true
	r.mu.Unlock()
	var err error
	if first {
		close(r.over)
		err = r.conn.Close()
	}
	r.running.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil // by its user
	}
	return err
}

// rawConn is a started path.
type rawConn struct {
	*net.UDPConn
	r *Raw
}

// Read returns packets of the peer alone.
func (c *rawConn) Read(b []byte) (int, error) {
	<-c.r.gathered
	for {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			return n, err
		}
		if c.r.takes(netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())) {
			return n, nil
		}
	}
}

// takes reports whether a packet is of the peer.
func (r *Raw) takes(from netip.AddrPort) bool {
	r.mu.Lock()
	ok := r.generation >= 0 && from.Addr() == r.remote.Addr.Addr() && (from == r.remote.Addr || !r.latched)
	if ok && !r.latched {
		r.latched = true
		if from != r.remote.Addr {
			r.remote = Endpoint{ice.PeerReflexive, from}
		}
	}
	pair := Pair{r.local, r.remote}
	r.mu.Unlock()
	if ok && r.heard.Add(1) == 1 && r.h.Pair != nil {
		r.h.Pair(pair)
	}
	return ok
}

// Write sends a packet to the peer, or drops it while the address is not known.
func (c *rawConn) Write(b []byte) (int, error) {
	c.r.mu.Lock()
	to, known := c.r.remote.Addr, c.r.generation >= 0
	c.r.mu.Unlock()
	if !known {
		return len(b), nil
	}
	c.r.sent.Add(1)
	return c.WriteToUDPAddrPort(b, to)
}

// RemoteAddr is where packets go.
func (c *rawConn) RemoteAddr() net.Addr {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	return net.UDPAddrFromAddrPort(c.r.remote.Addr)
}
