package turn

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jingled/jingled/relay/policy"
	"github.com/jingled/jingled/relay/turn/alloc"
)

// ErrConfig is wrapped by what New and Reload say of bad configurations.
var ErrConfig = errors.New("turn: bad configuration")

// BoundListener is a Listener with the address that it got.
type BoundListener struct {
	Transport Transport
	Address   netip.AddrPort
}

// Server is a TURN and STUN server. Make one with New and let it Run once.
type Server struct {
	cfg    Config
	log    *slog.Logger
	shards []*shard
	ports  *alloc.Ports
	moved  moved
	limits streamLimits
	tls    atomic.Pointer[tls.Config]
	ready  chan struct{}
	counts streamCounts

	mu       sync.Mutex // guards what follows
	settings Settings
	draining bool
	listens  []Listener // expanded
	bound    []BoundListener
	running  bool
}

// New checks cfg. Nothing is bound before Run.
func New(cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, log: log, settings: cfg.Settings, ready: make(chan struct{}), ports: alloc.NewPorts(cfg.MinPort, cfg.MaxPort)}
	s.limits.init(cfg.MaxStreams, cfg.MaxStreamsPerAddress)
	s.tls.Store(cfg.TLS)
	return s, nil
}

// Loops says how many packet loops a server of this Config runs. Each keeps a thread in the kernel most of the time: a program
// should raise GOMAXPROCS by this number, or other goroutines wait for up to 10 ms for theirs.
func Loops(cfg Config) int {
	if cfg.Portable || !fastPath {
		return 0
	}
	n := cfg.Loops
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	return min(n, maxLoops)
}

// maxLoops is what a connection id has room for (RFC 6062: 32 bits, of which most are random).
const maxLoops = 256

// Ready is closed when every listener is bound.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Addrs lists what is bound. Call it after Ready.
func (s *Server) Addrs() []BoundListener {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]BoundListener(nil), s.bound...)
}

// Run binds the listeners and serves until ctx ends. It returns nil then, after all allocations, loops and
// connections have ended, or the error that kept it from starting.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.running {
		s.mu.Unlock()
		return errors.New("turn: Run was called twice")
	}
	s.running = true
	s.mu.Unlock()
	listens, err := s.cfg.expand()
	if err != nil {
		return err
	}
	s.listens = listens
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer s.counts.wg.Wait()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	n := Loops(s.cfg)
	fast := n > 0
	n = max(n, 1)
	var secret [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return fmt.Errorf("turn: no randomness: %w", err)
	}
	epoch := time.Now()
	for i := range n {
		sh := newShard(s, uint16(i)) // a number of CPUs
		sh.table = alloc.New(s.tableConfig(), alloc.Seed{
			Secret: secret, Rand: unpredictable(), Shard: sh.index, Shards: uint16(n), // a number of CPUs
			Epoch: epoch, Ports: s.ports,
		})
		s.shards = append(s.shards, sh)
	}
	// Sockets first, all of them: a server that serves half of its addresses is worse than none.
	var streams []*acceptor
	defer func() {
		for _, a := range streams {
			a.close()
		}
	}()
	opened := 0
	defer func() {
		// What never ran is closed here; loops close their own.
		for _, sh := range s.shards[opened:] {
			if sh.io != nil {
				sh.io.close()
			}
		}
	}()
	for i := range listens {
		l := &listens[i]
		if l.Transport != alloc.UDP {
			a, err := s.listenStream(ctx, l)
			if err != nil {
				return err
			}
			streams = append(streams, a)
			continue
		}
		for _, sh := range s.shards {
			if sh.io == nil {
				if sh.io, err = newPacketIO(sh, fast); err != nil {
					return err
				}
			}
			// Port 0 is chosen by the first loop and shared by the rest.
			if l.Address, err = sh.io.listen(l.Address, len(s.shards) > 1); err != nil {
				return fmt.Errorf("turn: cannot listen on udp %v: %w", l.Address, err)
			}
		}
	}
	for _, sh := range s.shards {
		if sh.io == nil {
			if sh.io, err = newPacketIO(sh, fast); err != nil {
				return err
			}
		}
	}
	dev := s.openOffload()
	if dev != nil {
		defer func() {
			wg.Wait() // loops and the tending of shortcuts
			dev.Close()
		}()
		defer cancel()
	}
	s.mu.Lock()
	for _, l := range listens {
		s.bound = append(s.bound, BoundListener{l.Transport, l.Address})
	}
	s.mu.Unlock()
	close(s.ready)
	// After ready, so that a Reload just before is not lost.
	s.apply()
	if dev != nil {
		wg.Go(func() { s.tendOffload(ctx, dev) })
	}
	for _, sh := range s.shards {
		opened++
		wg.Go(func() {
			sh.io.run(ctx)
			sh.shutdown()
		})
	}
	for _, a := range streams {
		wg.Go(func() {
			a.run(ctx)
		})
	}
	s.log.Info("turn server ready", "listeners", len(s.bound), "loops", len(s.shards), "fast", fast)
	<-ctx.Done()
	return nil
}

// unpredictable returns a random source that clients cannot guess: ChaCha8 with a fresh seed.
func unpredictable() func() uint64 {
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // never fails: it crashes the program instead
	return mrand.NewChaCha8(seed).Uint64
}

// tableConfig makes the tables' configuration from the settings. s.mu must not be held.
func (s *Server) tableConfig() alloc.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := alloc.Config{
		Realm: s.settings.Realm, Software: s.settings.Software, Auth: s.settings.Auth, Limits: s.settings.Limits, Peers: s.settings.Peers,
		DefaultLifetime: s.settings.DefaultLifetime, MaxLifetime: s.settings.MaxLifetime, MaxAge: s.settings.MaxAge,
		NonceLifetime: s.settings.NonceLifetime, MaxPermissions: s.settings.MaxPermissions, MaxChannels: s.settings.MaxChannels,
		MaxConns: s.settings.MaxPeerConnections, TCPRelay: s.settings.TCPRelay, NoMobility: s.settings.NoMobility,
		NoSHA256: s.settings.NoSHA256, NoBinding: s.settings.NoBinding, ThirdParty: s.settings.ThirdParty,
		UnauthRate: s.settings.UnauthenticatedRate, Draining: s.draining, Alternates: s.settings.Alternates,
	}
	if c.Peers == nil {
		p, err := policy.New(policy.Config{Own: s.ownAddrs()})
		if err != nil {
			p = policy.Default()
		}
		c.Peers = p
	}
	for _, r := range s.settings.RelayAddresses {
		if !r.Advertise.IsValid() {
			r.Advertise = r.Bind
		}
		c.Relays = append(c.Relays, alloc.RelayAddr{Bind: r.Bind.Unmap(), Advertise: r.Advertise.Unmap()})
	}
	if len(c.Relays) == 0 {
		// A client is relayed from some address it can also reach us at.
		seen := map[netip.Addr]bool{}
		for _, l := range s.listens {
			if a := l.Address.Addr(); !seen[a] {
				seen[a] = true
				c.Relays = append(c.Relays, alloc.RelayAddr{Bind: a, Advertise: a})
			}
		}
	}
	if d := s.cfg.Discovery; d != nil {
		c.Discovery = &alloc.Discovery{Addrs: [2]netip.Addr{d.Primary.Unmap(), d.Alternate.Unmap()}, Ports: [2]uint16{d.PrimaryPort, d.AlternatePort}}
	}
	return c
}

func (s *Server) ownAddrs() []netip.Addr {
	var own []netip.Addr
	for _, l := range s.listens {
		own = append(own, l.Address.Addr())
	}
	for _, r := range s.settings.RelayAddresses {
		own = append(own, r.Bind, r.Advertise)
	}
	return own
}

// apply gives every table the settings of now.
func (s *Server) apply() {
	shards := s.live()
	if shards == nil {
		return
	}
	c := s.tableConfig()
	for _, sh := range shards {
		sh.mu.Lock()
		sh.table.Reconfigure(c)
		sh.mu.Unlock()
	}
}

// Reload replaces the settings. Allocations live on; invalid settings change nothing.
func (s *Server) Reload(n Settings) error {
	if err := n.validate(); err != nil {
		return err
	}
	s.mu.Lock()
	if n.TLS == nil && s.cfg.needsTLS() {
		s.mu.Unlock()
		return fmt.Errorf("%w: TLS and DTLS listeners need TLS settings", ErrConfig)
	}
	s.settings = n
	s.mu.Unlock()
	s.tls.Store(n.TLS)
	s.apply()
	return nil
}

// SetAdvertise tells that the relay address bind is now reached as advertise. New allocations use it. It says whether
// bind is a relay address.
func (s *Server) SetAdvertise(bind, advertise netip.Addr) bool {
	s.mu.Lock()
	found := false
	list := append([]RelayAddress(nil), s.settings.RelayAddresses...)
	for i := range list {
		if list[i].Bind.Unmap() == bind.Unmap() {
			list[i].Advertise, found = advertise, true
		}
	}
	s.settings.RelayAddresses = list
	s.mu.Unlock()
	if found {
		s.apply()
	}
	return found
}

// Drain switches draining on or off: new allocations are sent to an alternate server (300) or refused (508).
func (s *Server) Drain(on bool) {
	s.mu.Lock()
	s.draining = on
	s.mu.Unlock()
	s.apply()
}

// Sessions copies what is known about every allocation.
func (s *Server) Sessions() []Info {
	var out []Info
	for _, sh := range s.live() {
		sh.mu.Lock()
		for a := range sh.table.All {
			out = append(out, sh.table.Info(a))
		}
		sh.mu.Unlock()
	}
	return out
}

// Kick ends the sessions that match says and counts them. match is called with a loop's lock held: it must be quick
// and not call the Server.
func (s *Server) Kick(match func(Info) bool) int {
	n := 0
	for _, sh := range s.live() {
		sh.mu.Lock()
		var hit []*alloc.Allocation
		for a := range sh.table.All {
			if match(sh.table.Info(a)) {
				hit = append(hit, a)
			}
		}
		for _, a := range hit {
			sh.perform(sh.table.Kick(time.Now(), a, alloc.EndKicked))
		}
		sh.flush()
		sh.mu.Unlock()
		n += len(hit)
	}
	return n
}

// live lists the shards once they are made.
func (s *Server) live() []*shard {
	select {
	case <-s.ready:
		return s.shards
	default:
		return nil
	}
}

// validate checks and fills in defaults.
func (c *Config) validate() error {
	if len(c.Listeners) == 0 {
		return fmt.Errorf("%w: at least one listener is needed", ErrConfig)
	}
	for _, l := range c.Listeners {
		if l.Transport > alloc.DTLS || !l.Address.IsValid() || l.Address.Addr().Zone() != "" {
			return fmt.Errorf("%w: listener %v %v", ErrConfig, l.Transport, l.Address)
		}
		if l.ProxyProtocol && (!l.Transport.Stream() || len(l.ProxyTrusted) == 0) {
			return fmt.Errorf("%w: listener %v: the PROXY protocol needs tcp or tls and the balancers' addresses", ErrConfig, l.Address)
		}
	}
	if c.needsTLS() && c.TLS == nil {
		return fmt.Errorf("%w: TLS and DTLS listeners need TLS settings", ErrConfig)
	}
	if c.MinPort == 0 {
		c.MinPort = 49152
	}
	if c.MaxPort == 0 {
		c.MaxPort = 65535
	}
	if c.MinPort < 1024 || c.MaxPort < c.MinPort {
		return fmt.Errorf("%w: relay ports %d to %d: need 1024 or more, in order", ErrConfig, c.MinPort, c.MaxPort)
	}
	if d := c.Discovery; d != nil {
		if !d.Primary.IsValid() || !d.Alternate.IsValid() || d.Primary == d.Alternate || d.Primary.Is4() != d.Alternate.Is4() ||
			d.PrimaryPort == 0 || d.AlternatePort == 0 || d.PrimaryPort == d.AlternatePort {
			return fmt.Errorf("%w: discovery needs two addresses of one family and two ports (RFC 5780 section 6)", ErrConfig)
		}
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	if c.Coalesce == 0 {
		c.Coalesce = 500 * time.Microsecond
	}
	c.Coalesce = min(c.Coalesce, 5*time.Millisecond)
	if c.CoalesceAbove <= 0 {
		c.CoalesceAbove = 5000
	}
	if c.ReceiveBuffer <= 0 {
		c.ReceiveBuffer = 4 << 20
	}
	if c.RelayBuffer <= 0 {
		c.RelayBuffer = 512 << 10
	}
	def(&c.HandshakeTimeout, 10*time.Second)
	def(&c.IdleTimeout, time.Minute)
	def(&c.WriteTimeout, 10*time.Second)
	if c.MaxStreams <= 0 {
		c.MaxStreams = 16384
	}
	if c.MaxStreamsPerAddress <= 0 {
		c.MaxStreamsPerAddress = 256
	}
	return c.Settings.validate()
}

func (c *Config) needsTLS() bool {
	for _, l := range c.Listeners {
		if l.Transport == alloc.TLS || l.Transport == alloc.DTLS {
			return true
		}
	}
	return false
}

func (s *Settings) validate() error {
	if s.Realm == "" {
		s.Realm = "turn"
	}
	if len(s.Realm) > 128 || len(s.Software) > 128 || len(s.ThirdParty) > 255 {
		return fmt.Errorf("%w: realm, software or third party name is too long", ErrConfig)
	}
	if s.DefaultLifetime != 0 && s.DefaultLifetime < 600*time.Second {
		return fmt.Errorf("%w: the default lifetime must be 10 minutes or more (RFC 8656 section 7.2)", ErrConfig)
	}
	for _, r := range s.RelayAddresses {
		if !r.Bind.IsValid() || r.Bind.IsUnspecified() || r.Advertise.IsValid() && r.Advertise.Is4() != r.Bind.Is4() {
			return fmt.Errorf("%w: relay address %v (advertised as %v): needs a local address, and the same family", ErrConfig, r.Bind, r.Advertise)
		}
	}
	return nil
}

// expand lists the sockets to open: wildcard addresses become the machine's addresses, discovery adds its own.
func (c *Config) expand() ([]Listener, error) {
	var out []Listener
	seen := map[BoundListener]bool{}
	add := func(l Listener, a netip.Addr) {
		l.Address = netip.AddrPortFrom(a.Unmap(), l.Address.Port())
		key := BoundListener{l.Transport, l.Address}
		if l.Address.Port() == 0 || !seen[key] {
			seen[key] = true
			out = append(out, l)
		}
	}
	for _, l := range c.Listeners {
		if !l.Address.Addr().IsUnspecified() {
			add(l, l.Address.Addr())
			continue
		}
		ifs, err := net.InterfaceAddrs()
		if err != nil {
			return nil, fmt.Errorf("turn: cannot list the machine's addresses: %w", err)
		}
		for _, i := range ifs {
			p, err := netip.ParsePrefix(i.String())
			if err == nil && p.Addr().Is4() == l.Address.Addr().Is4() && !p.Addr().IsLinkLocalUnicast() {
				add(l, p.Addr())
			}
		}
	}
	if d := c.Discovery; d != nil {
		for _, a := range []netip.Addr{d.Primary, d.Alternate} {
			for _, p := range []uint16{d.PrimaryPort, d.AlternatePort} {
				add(Listener{Transport: alloc.UDP, Address: netip.AddrPortFrom(a, p)}, a)
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no address to listen on", ErrConfig)
	}
	return out, nil
}

// prefix64 is the address whose holder counts as one: an IPv4 address, or the /64 of an IPv6 one.
func prefix64(a netip.Addr) netip.Addr {
	if a.Is4() {
		return a
	}
	b := a.As16()
	binary.BigEndian.PutUint64(b[8:], 0)
	return netip.AddrFrom16(b)
}
