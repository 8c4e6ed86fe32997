package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	pion "github.com/pion/ice/v4"
	"github.com/pion/stun/v4"

	"github.com/jingled/jingled/ice"
)

// State is how far an [Agent] is.
type State uint8

// The states of an agent.
const (
	// New: the peer's credentials are not known yet.
	New State = iota
	// Checking: a path is looked for.
	Checking
	// Connected: packets flow.
	Connected
	// Disturbed: nothing has arrived for a while; it may recover.
	Disturbed
	// Failed: no path was found, or it was lost for good.
	Failed
)

func (s State) String() string {
	return [...]string{"new", "checking", "connected", "disturbed", "failed"}[s]
}

// Handler is what an agent tells. Its functions are called from goroutines of the agent's, each in order but not one
// after another, and must only post. They may be nil.
type Handler struct {
	// Candidate tells a candidate of ours, to be sent to the peer.
	Candidate func(ice.Candidate)
	// Gathered tells that no more candidates will come.
	Gathered func()
	// State tells a change.
	State func(State)
	// Pair tells which path is used, also when it changes.
	Pair func(Pair)
}

// The timing of checks. pion's own values nominate a relayed path after two seconds only, and give up a pair after
// seven checks.
const (
	checkInterval = 100 * time.Millisecond
	maxChecks     = 75
	acceptSrflx   = 50 * time.Millisecond
	acceptPrflx   = 50 * time.Millisecond
	acceptRelay   = 250 * time.Millisecond // a direct path that works is found by then; packets flow by the relay meanwhile
	stunTimeout   = 3 * time.Second
	keepalive     = time.Second
)

// Agent looks for one path. Its methods may be called from any goroutine.
type Agent struct {
	cfg   Config
	h     Handler
	agent *pion.Agent
	id    string // prefix of candidate ids
	// giveUp ends what waits for STUN and TURN servers.
	giveUp func()

	mu         sync.Mutex
	ufrag, pwd string
	numbered   int
	networks   map[string]int
	remote     int // candidates of the peer that were taken
	ours       tally
	theirs     tally
	conn       *pion.Conn // once it was started

	tried    tried
	problems problems // of servers
}

// NewAgent returns an agent with fresh credentials. The caller must call [Agent.Close].
func NewAgent(cfg Config, h Handler) (*Agent, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	var err error
	giveUp := func() {}
	var proxy *byProxy
	uris := cfg.uris()
	if cfg.Net == nil {
		var secure secureServers
		uris, secure = ourTLS(uris)
		own, err := newNet(cfg, secure)
		if err != nil {
			return nil, fmt.Errorf("ice: cannot read the network interfaces: %w", err)
		}
		cfg.Net, giveUp = own, own.giveUp
		if cfg.Proxy != nil {
			proxy = &byProxy{own, cfg.Proxy}
		}
	} else {
		cfg.Net = early{cfg.Net}
	}
	a := &Agent{
		cfg: cfg, h: h, giveUp: giveUp, networks: make(map[string]int), id: strings.ToLower(rand.Text()[:8]),
		ufrag: cfg.Ufrag, pwd: cfg.Pwd,
	}
	types := []pion.CandidateType{
		pion.CandidateTypeHost, pion.CandidateTypeServerReflexive, pion.CandidateTypeRelay,
	}
	if cfg.Policy == RelayOnly {
		types = []pion.CandidateType{pion.CandidateTypeRelay}
	}
	opts := []pion.AgentOption{
		pion.WithNet(cfg.Net),
		pion.WithUrls(uris),
		pion.WithLocalCredentials(a.ufrag, a.pwd),
		pion.WithCandidateTypes(types),
		// XEP-0176 has UDP only; TURN itself may still use TCP and TLS to the server.
		pion.WithNetworkTypes([]pion.NetworkType{pion.NetworkTypeUDP4, pion.NetworkTypeUDP6}),
		// Multicast DNS costs up to a second, and XMPP peers trust each other with their addresses, or use a relay.
		pion.WithMulticastDNSMode(pion.MulticastDNSModeDisabled),
		pion.WithIPFilter(func(ip net.IP) bool { return filter(ip, cfg.mayUse) }),
		pion.WithRemoteIPFilter(func(ip net.IP) bool { return filter(ip, cfg.mayCheck) }),
		pion.WithCheckInterval(checkInterval),
		pion.WithMaxBindingRequests(maxChecks),
		pion.WithHostAcceptanceMinWait(0),
		pion.WithSrflxAcceptanceMinWait(acceptSrflx),
		pion.WithPrflxAcceptanceMinWait(acceptPrflx),
		pion.WithRelayAcceptanceMinWait(acceptRelay),
		pion.WithSTUNGatherTimeout(stunTimeout),
		pion.WithKeepaliveInterval(keepalive),
		pion.WithDisconnectedTimeout(cfg.DisconnectAfter),
		// pion gives up looking for a first path after both.
		pion.WithFailedTimeout(max(cfg.ConnectTimeout-cfg.DisconnectAfter, time.Second)),
		pion.WithLoggerFactory(a.problems.factory(cfg.Log)),
	}
	if cfg.Interface != nil {
		opts = append(opts, pion.WithInterfaceFilter(cfg.Interface))
	}
	if proxy != nil {
		opts = append(opts, pion.WithProxyDialer(proxy))
	}
	if cfg.LoopbackOnly || cfg.Loopback {
		opts = append(opts, pion.WithIncludeLoopback())
	}
	if a.agent, err = pion.NewAgentWithOptions(opts...); err != nil {
		return nil, fmt.Errorf("ice: %w", err)
	}
	return a, errors.Join(
		a.agent.OnCandidate(a.onCandidate),
		a.agent.OnConnectionStateChange(a.onState),
		a.agent.OnSelectedCandidatePairChange(a.onPair),
	)
}

func (c Config) uris() []*stun.URI {
	var us []*stun.URI
	for _, s := range c.Servers {
		u, err := s.parse()
		if err != nil {
			c.Log.Warn("ice server cannot be used", "err", err)
			continue
		}
		us = append(us, u)
	}
	return us
}

func filter(ip net.IP, may func(netip.Addr) bool) bool {
	a, ok := netip.AddrFromSlice(ip)
	return ok && may(a)
}

// Credentials returns our user name fragment and password, to be sent with every transport element.
func (a *Agent) Credentials() (ufrag, pwd string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ufrag, a.pwd
}

// Gather begins to look for our candidates, which go to [Handler.Candidate].
func (a *Agent) Gather() error {
	if err := a.agent.GatherCandidates(); err != nil {
		return fmt.Errorf("ice: gathering candidates: %w", err)
	}
	return nil
}

// Start begins to look for a path with the peer's credentials. The session's initiator is always controlling
// (XEP-0176 section 5.6). Packets can be read at once, and written after [Agent.Wait].
// Closing the connection ends the agent, which still has to be closed itself.
func (a *Agent) Start(controlling bool, ufrag, pwd string) (net.Conn, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conn != nil {
		return nil, errors.New("ice: started twice")
	}
	start := a.agent.StartAccept
	if controlling {
		start = a.agent.StartDial
	}
	c, err := start(ufrag, pwd)
	if err != nil {
		return nil, fmt.Errorf("ice: %w", err)
	}
	a.conn = c
	return &path{c, a}, nil
}

// path is pion's connection. Closing it does not wait for servers either.
type path struct {
	*pion.Conn
	agent *Agent
}

// Close implements [net.Conn].
func (p *path) Close() error {
	defer p.agent.hurry()()
	return p.Conn.Close()
}

// writablePoll is how often [Agent.Wait] looks.
const writablePoll = 2 * time.Millisecond

// Wait returns when packets can be written: a path was checked to work, though it may not be the one that is chosen in
// the end (RFC 8445 section 12.1 allows to use it already, which saves a round trip). It returns early when the agent or
// ctx has ended. The agent must have been started.
func (a *Agent) Wait(ctx context.Context) error {
	a.mu.Lock()
	conn := a.conn
	a.mu.Unlock()
	if conn == nil {
		return errors.New("ice: not started")
	}
	chosen := make(chan error, 1)
	wctx, cancel := context.WithCancel(ctx)
	go func() { chosen <- a.agent.AwaitConnect(wctx) }()
	poll := time.NewTicker(writablePoll)
	defer poll.Stop()
	for {
		select {
		case err := <-chosen:
			cancel()
			if err != nil && ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		case <-poll.C:
			for _, p := range conn.GetCandidatePairsInfo() {
				if p.State == pion.CandidatePairStateSucceeded {
					cancel()
					if err := <-chosen; err != nil && !errors.Is(err, pion.ErrCanceledByCaller) {
						return err // it has ended meanwhile
					}
					return nil
				}
			}
		}
	}
}

// ErrTooManyCandidates says that the peer has sent more candidates than are checked.
var ErrTooManyCandidates = errors.New("too many candidates")

// AddRemote adds a candidate of the peer, before or after [Agent.Start]. The error says why it is not used; that is no
// reason to end anything, as another candidate may work.
func (a *Agent) AddRemote(c ice.Candidate) error {
	if err := c.Validate(); err != nil {
		return err
	}
	switch {
	case !strings.EqualFold(c.Protocol, "udp"):
		return fmt.Errorf("candidate of the protocol %s: only udp is used", c.Protocol)
	case c.Component != a.cfg.Component:
		// Dino offers a second component for RTCP even where that is multiplexed. It is mirrored by nothing then and ignored.
		return fmt.Errorf("candidate of component %d: this path is for component %d", c.Component, a.cfg.Component)
	}
	c.Component = 1 // pion has one component to an agent
	if addr, ok := c.Addr(); ok && !a.cfg.mayCheck(addr) {
		return fmt.Errorf("candidate %s: packets are not sent there", addr)
	}
	p, err := toPion(&c)
	if err != nil {
		return fmt.Errorf("candidate: %w", err)
	}
	a.mu.Lock()
	a.remote++
	full := a.remote > a.cfg.MaxRemote
	if !full {
		a.theirs.add(c.Type)
		a.tried.theirs = named(a.tried.theirs, string(c.Type), c.IP, int(c.Port))
	}
	a.mu.Unlock()
	if full {
		return ErrTooManyCandidates
	}
	return a.agent.AddRemoteCandidate(p)
}

// Selected returns the path in use.
func (a *Agent) Selected() (Pair, bool) {
	p, err := a.agent.GetSelectedCandidatePair()
	if err != nil || p == nil {
		return Pair{}, false
	}
	return Pair{endpoint(p.Local), endpoint(p.Remote)}, true
}

// tally counts candidates by type.
type tally [4]int

var tallied = [len(tally{})]ice.CandidateType{ice.Host, ice.ServerReflexive, ice.PeerReflexive, ice.Relayed}

func (t *tally) add(c ice.CandidateType) {
	if i := slices.Index(tallied[:], c); i >= 0 {
		t[i]++
	}
}

func (t *tally) String() string {
	var parts []string
	for i, n := range t {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, tallied[i]))
		}
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// Close ends the agent and returns when its goroutines have ended. It must not be called from a [Handler].
func (a *Agent) Close() error {
	defer a.hurry()()
	return a.agent.GracefulClose()
}

// hurry sees to it that what is closed until done is called does not take long: where a firewall drops packets to servers,
// pion would wait for them for up to two minutes.
func (a *Agent) hurry() (done func()) {
	t := time.AfterFunc(closePatience, a.giveUp)
	return func() {
		t.Stop()
		a.giveUp()
	}
}

// closePatience is for the relays to be told that we need them no more.
const closePatience = 300 * time.Millisecond

func (a *Agent) onCandidate(p pion.Candidate) {
	if p == nil {
		if a.h.Gathered != nil {
			a.h.Gathered()
		}
		return
	}
	a.mu.Lock()
	a.numbered++
	a.ours.add(candidateType(p.Type()))
	a.tried.ours = named(a.tried.ours, p.Type().String(), p.Address(), p.Port())
	c := a.fromPion(p, a.numbered)
	a.mu.Unlock()
	if a.h.Candidate != nil {
		a.h.Candidate(c)
	}
}

func (a *Agent) onState(s pion.ConnectionState) {
	if a.h.State == nil {
		return
	}
	switch s {
	case pion.ConnectionStateChecking:
		a.h.State(Checking)
	case pion.ConnectionStateConnected, pion.ConnectionStateCompleted:
		a.h.State(Connected)
	case pion.ConnectionStateDisconnected:
		a.h.State(Disturbed)
	case pion.ConnectionStateFailed:
		a.h.State(Failed)
	}
}

func (a *Agent) onPair(local, remote pion.Candidate) {
	if a.h.Pair != nil {
		a.h.Pair(Pair{endpoint(local), endpoint(remote)})
	}
}
