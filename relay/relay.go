package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/jingled/jingled/relay/component"
	"github.com/jingled/jingled/relay/credentials"
	"github.com/jingled/jingled/relay/limits"
	"github.com/jingled/jingled/relay/offload"
	"github.com/jingled/jingled/relay/socks5"
	"github.com/jingled/jingled/relay/turn"
)

// Relay is the whole server. Make one with New and let it Run once.
type Relay struct {
	log       *slog.Logger
	limits    *limits.Limiter
	authority *credentials.Authority
	certs     *certSource
	turn      *turn.Server
	socks5    *socks5.Server // nil: no proxy
	fleet     *limits.Valkey // nil: alone
	observer  *observer
	external  *external
	started   time.Time
	version   string
	ready     chan struct{}
	drain     drain
	loops     int

	component atomic.Pointer[component.Component]

	mu    sync.Mutex // guards what follows
	plan  *plan
	addrs Addrs
}

// Addrs are what a running relay is bound to.
type Addrs struct {
	TURN    []turn.BoundListener
	SOCKS5  []netip.AddrPort
	Metrics netip.AddrPort // zero: off
	Admin   string         // "": off
}

// New checks cfg and makes the parts. Nothing is bound before Run. log nil discards.
func New(cfg Config, log *slog.Logger) (*Relay, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p, err := cfg.plan()
	if err != nil {
		return nil, err
	}
	r := &Relay{log: log, plan: p, ready: make(chan struct{}), started: time.Now(), version: cmp.Or(cfg.Version, moduleVersion())}
	r.drain.init()
	if r.limits, err = limits.New(p.limits); err != nil {
		return nil, err
	}
	if p.fleet != nil {
		fc := *p.fleet
		fc.Logger = log
		if cfg.Fleet.TLS {
			fc.TLS = fleetTLS()
		}
		if r.fleet, err = limits.NewValkey(fc); err != nil {
			return nil, err
		}
		r.limits.Join(r.fleet, r.revoked)
	}
	r.authority = credentials.NewAuthority(p.sources, damper{r.limits})
	if r.certs, err = newCertSource(cfg.TLS, log); err != nil {
		return nil, err
	}
	r.observer = &observer{
		records: newJournal("records", cfg.Records, 0, log),
		access:  newJournal("access_log", cfg.AccessLog, 7*24*time.Hour, log),
	}
	r.external = newExternal(cfg.Relay.Address, log)
	tc := p.turn
	tc.Settings = r.settings(p)
	tc.Logger, tc.Observer = log, turnObserver{r.observer}
	bridge(&tc, p.cfg)
	if f := cfg.Performance; f.Offload != "" {
		tc.Offload = func(addrs []netip.Addr) (turn.Offloader, error) {
			return offload.Open(offload.Config{Mode: f.Offload, Interfaces: f.Interfaces, Addresses: addrs, Logger: log})
		}
	}
	if tc.Loops == 0 { // before anybody raises GOMAXPROCS for them
		tc.Loops = turn.Loops(tc)
	}
	r.loops = turn.Loops(tc)
	if r.turn, err = turn.New(tc); err != nil {
		return nil, err
	}
	if len(cfg.SOCKS5.Listen) > 0 {
		sc := p.socks5
		sc.Limiter, sc.Observer, sc.Logger = socksLimiter{r.limits}, socksObserver{r.observer}, log
		if r.socks5, err = socks5.New(sc); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// settings are the TURN server's, with what the parts give.
func (r *Relay) settings(p *plan) turn.Settings {
	s := p.turn.Settings
	s.Auth, s.Limits, s.TLS = r.authority, turnLimiter{r.limits}, r.certs.config()
	if len(s.RelayAddresses) == 0 {
		s.RelayAddresses = relayAddresses(p.turn.Listeners)
	}
	s.RelayAddresses = r.external.apply(s.RelayAddresses)
	return s
}

// Loops is how many packet loops sit in system calls: a program should raise GOMAXPROCS by it before Run.
func (r *Relay) Loops() int { return r.loops }

// Ready is closed when everything is bound and clients are served.
func (r *Relay) Ready() <-chan struct{} { return r.ready }

// Addrs says what is bound. Call it after Ready.
func (r *Relay) Addrs() Addrs {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.addrs
}

// Issue makes a time-limited credential, as XMPP users get one. 0 is the configured time.
func (r *Relay) Issue(user string, ttl time.Duration) (credentials.Issued, error) {
	sh := r.authority.Shared()
	if sh == nil {
		return credentials.Issued{}, errors.New("relay: no shared secret is configured (credentials.secrets)")
	}
	if ttl <= 0 {
		r.mu.Lock()
		ttl = time.Duration(r.plan.cfg.Credentials.TTL)
		r.mu.Unlock()
	}
	return sh.Issue(time.Now(), user, ttl), nil
}

// Run serves until ctx ends or a drain is done, and returns when all that it started has ended: nil then, or the
// error that kept it from starting.
func (r *Relay) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	socksListeners, err := r.listen()
	if err != nil {
		return err
	}
	admin, err := r.listenAdmin()
	if err != nil {
		closeAll(socksListeners)
		return err
	}
	metrics, err := r.listenMetrics()
	if err != nil {
		closeAll(socksListeners)
		admin.close()
		return err
	}
	// Journals end after the parts, so that they hear of every end.
	late, stopLate := context.WithCancel(context.WithoutCancel(ctx))
	var journals sync.WaitGroup
	for _, j := range []*journal{r.observer.records, r.observer.access} {
		if j != nil {
			journals.Go(func() { _ = j.run(late) })
		}
	}
	defer journals.Wait()
	defer stopLate()

	r.external.refresh(ctx, r.turn)
	g, gctx := errgroup.WithContext(ctx)
	part := func(name string, run func(context.Context) error) {
		g.Go(func() error {
			err := run(gctx)
			if err == nil || errors.Is(err, context.Canceled) {
				return nil
			}
			return fmt.Errorf("%s: %w", name, err)
		})
	}
	part("turn", r.turn.Run)
	if r.socks5 != nil {
		part("socks5", func(ctx context.Context) error { return r.socks5.Run(ctx, socksListeners...) })
	}
	part("certificates", r.certs.run)
	if r.fleet != nil {
		part("fleet", func(ctx context.Context) error { return r.fleet.Run(ctx, r.limits) })
	}
	part("external address", func(ctx context.Context) error { return r.external.run(ctx, r.turn) })
	if metrics != nil {
		part("metrics", func(ctx context.Context) error { return serveHTTP(ctx, metrics, r.metricsHandler()) })
	}
	if admin != nil {
		part("admin", func(ctx context.Context) error {
			select { // what it tells would not be true before; who asks waits
			case <-r.ready:
			case <-ctx.Done():
			}
			return admin.serve(ctx, r.adminHandler())
		})
	}
	part("drain", func(ctx context.Context) error {
		err := r.drain.wait(ctx, r.sessionCount)
		if err == nil {
			cancel() // drained: the relay is done
		}
		return err
	})
	part("component", func(ctx context.Context) error { return r.runComponent(ctx, socksListeners, metrics, admin) })
	return g.Wait()
}

// runComponent waits until ports are known, says that the relay is ready, and joins the XMPP server.
func (r *Relay) runComponent(ctx context.Context, socksListeners []net.Listener, metrics net.Listener, admin *adminListener) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.turn.Ready():
	}
	a := Addrs{TURN: r.turn.Addrs()}
	for _, ln := range socksListeners {
		a.SOCKS5 = append(a.SOCKS5, addrPort(ln))
	}
	if metrics != nil {
		a.Metrics = addrPort(metrics)
	}
	if admin != nil {
		a.Admin = admin.path
	}
	r.mu.Lock()
	r.addrs = a
	p := r.plan
	r.mu.Unlock()
	close(r.ready)
	for _, b := range a.TURN {
		r.log.Info("listening", "transport", b.Transport.String(), "address", b.Address)
	}
	for _, s := range a.SOCKS5 {
		r.log.Info("listening", "transport", "socks5", "address", s)
	}
	if p.component.Domain == "" {
		return nil
	}
	cc := p.component
	cc.Logger, cc.Offer = r.log, r.offer(p, a)
	c, err := component.New(cc)
	if err != nil {
		return err
	}
	r.component.Store(c)
	return c.Run(ctx)
}

// offer is what XMPP users get.
func (r *Relay) offer(p *plan, a Addrs) component.Offer {
	var proxy *component.Proxy
	if r.socks5 != nil && len(a.SOCKS5) > 0 {
		s := p.cfg.SOCKS5
		proxy = &component.Proxy{Host: s.Host, Port: s.Port, Activator: r.socks5}
		if proxy.Port == 0 {
			proxy.Port = a.SOCKS5[0].Port()
		}
		if proxy.Host == "" {
			proxy.Host = p.cfg.XMPP.Host
		}
	}
	return p.offer(a.TURN, proxy, func(user string) bool { return r.limits.Banned(time.Now(), user, netip.Addr{}) })
}

func (r *Relay) listen() ([]net.Listener, error) {
	var out []net.Listener
	if r.socks5 == nil {
		return nil, nil
	}
	for _, a := range r.plan.cfg.SOCKS5.Listen {
		ln, err := net.Listen("tcp", a.String())
		if err != nil {
			closeAll(out)
			return nil, fmt.Errorf("socks5.listen: %w", err)
		}
		out = append(out, ln)
	}
	return out, nil
}

func closeAll(list []net.Listener) {
	for _, ln := range list {
		ln.Close()
	}
}

func addrPort(ln net.Listener) netip.AddrPort {
	if a, ok := ln.Addr().(*net.TCPAddr); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}

func (r *Relay) sessionCount() int { return r.limits.Sessions() }
