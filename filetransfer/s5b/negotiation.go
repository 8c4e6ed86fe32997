package s5b

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jingled/jingled/jingle"
)

// NegotiationConfig says how two sides agree on a candidate. Role must be set; zero values are the defaults.
type NegotiationConfig struct {
	Role jingle.Role // ours, in the session
	// Local are our candidates, as they were offered.
	Local []Candidate
	// Stagger is how long a candidate has before the next one is tried beside it (default 200 ms, XEP-0260 section 4),
	// and ProxyDelay what the first proxy waits longer (default 500 ms).
	Stagger, ProxyDelay time.Duration
	// CandidateTimeout is how long one candidate is tried (default 5 s; clients are patient for 3 s), DirectTimeout how long
	// one that is no proxy (default 2 s): where firewalls drop, another transport would be faster, and one that was reachable
	// would have answered the second SYN.
	CandidateTimeout, DirectTimeout time.Duration
	// EmptyGrace is how long to wait for candidates if the peer has offered none yet (default 1 s).
	EmptyGrace time.Duration
	// PeerTimeout is how long to wait for the peer's result after ours (default 40 s: clients try one candidate after
	// the other for 3 s each), IncomingTimeout for the connection that it says to have made (default 5 s), and
	// ActivateTimeout for a proxy (default 20 s).
	PeerTimeout, IncomingTimeout, ActivateTimeout time.Duration
}

func (c NegotiationConfig) withDefaults() NegotiationConfig {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&c.Stagger, 200*time.Millisecond)
	def(&c.ProxyDelay, 500*time.Millisecond)
	def(&c.CandidateTimeout, 5*time.Second)
	def(&c.DirectTimeout, min(2*time.Second, c.CandidateTimeout))
	def(&c.EmptyGrace, time.Second)
	def(&c.PeerTimeout, 40*time.Second)
	def(&c.IncomingTimeout, 5*time.Second)
	def(&c.ActivateTimeout, 20*time.Second)
	return c
}

// maxTried bounds how many of the peer's candidates are tried: the best ones.
const maxTried = 16

// Effect is what a [Negotiation] wants done. Effects are carried out in order.
type Effect interface{ effect() }

// Probe connects to a candidate of the peer. The result is told with [Negotiation.Probed].
type Probe struct{ Candidate Candidate }

// Drop gives up the attempt, or closes the connection, that a Probe of this cid made.
type Drop struct{ CID string }

// Tell sends a transport-info. Its sid has to be filled in.
type Tell struct{ Info Transport }

// OpenProxy connects to a proxy of ours and activates the stream. The result is told with [Negotiation.ProxyOpened].
type OpenProxy struct{ Candidate Candidate }

// UseOutgoing ends the negotiation: the connection that a Probe or, for one of our proxies, an OpenProxy made is the
// one.
type UseOutgoing struct{ CID string }

// UseIncoming ends the negotiation: the connection that the peer made to this candidate of ours is the one.
type UseIncoming struct{ CID string }

// Fail ends the negotiation without a connection.
type Fail struct{ Err error }

func (Probe) effect()       {}
func (Drop) effect()        {}
func (Tell) effect()        {}
func (OpenProxy) effect()   {}
func (UseOutgoing) effect() {}
func (UseIncoming) effect() {}
func (Fail) effect()        {}

// Why a negotiation fails.
var (
	// ErrNoCandidate is the failure that both sides told each other: neither could connect to the other.
	ErrNoCandidate = errors.New("no SOCKS5 candidate of either side can be reached")
	// ErrProxy says that the proxy that was agreed on does not work.
	ErrProxy = errors.New("the SOCKS5 proxy does not work")
	// ErrPeerSilent says that the peer did not go on.
	ErrPeerSilent = errors.New("the other side did not go on with SOCKS5 bytestreams")
)

// Negotiation is how both sides find the candidate to use (XEP-0260 sections 2.3 and 2.4), as a function of its inputs.
// It is not safe for concurrent use.
type Negotiation struct {
	cfg      NegotiationConfig
	remote   []*probe // best first
	started  bool
	nextTry  time.Time // when the next candidate may be tried
	ours     result
	peers    result
	deadline time.Time // of what is awaited once our result is told
	// What is awaited once both results are known.
	awaitActivated, awaitIncoming, awaitProxy string
	activated                                 string // a cid, if told before it was awaited
	incoming                                  bool
	over                                      bool
	out                                       []Effect
}

// result is what one side has told.
type result struct {
	known    bool
	used     string // cid, "" for candidate-error
	priority uint32
}

// probe is a candidate of the peer.
type probe struct {
	Candidate
	state   probeState
	timeout time.Time
}

type probeState uint8

const (
	waiting probeState = iota
	trying
	failed
	connected
)

// NewNegotiation returns a negotiation that has not started.
func NewNegotiation(cfg NegotiationConfig) *Negotiation {
	return &Negotiation{cfg: cfg.withDefaults()}
}

// AddRemote adds candidates of the peer; they may come late, by transport-info.
func (n *Negotiation) AddRemote(now time.Time, cs ...Candidate) []Effect {
	for _, c := range cs {
		known := slices.ContainsFunc(n.remote, func(p *probe) bool { return p.CID == c.CID })
		if !known && len(n.remote) < maxCandidates {
			n.remote = append(n.remote, &probe{Candidate: c})
		}
	}
	slices.SortStableFunc(n.remote, func(a, b *probe) int {
		switch {
		case a.Priority > b.Priority:
			return -1
		case a.Priority < b.Priority:
			return 1
		}
		return 0
	})
	n.step(now)
	return n.take()
}

// Start begins to connect.
func (n *Negotiation) Start(now time.Time) []Effect {
	if !n.started {
		n.started = true
		n.nextTry = now
		if len(n.remote) == 0 {
			n.nextTry = now.Add(n.cfg.EmptyGrace)
		}
		n.step(now)
	}
	return n.take()
}

// Probed tells how an attempt went.
func (n *Negotiation) Probed(now time.Time, cid string, err error) []Effect {
	for _, p := range n.remote {
		if p.CID != cid || p.state != trying {
			continue
		}
		if err != nil {
			p.state = failed
			break
		}
		p.state = connected
		n.tell(now, Transport{CandidateUsed: cid}, result{true, cid, p.Priority})
	}
	n.step(now)
	return n.take()
}

// Info takes the peer's transport-info. The error answers it.
func (n *Negotiation) Info(now time.Time, t Transport) ([]Effect, error) {
	err := n.info(now, t)
	out := n.take()
	if len(t.Candidates) > 0 {
		out = append(out, n.AddRemote(now, t.Candidates...)...)
	}
	return out, err
}

func (n *Negotiation) info(now time.Time, t Transport) error {
	switch {
	case n.over:
	case t.CandidateUsed != "":
		if n.peers.known {
			return jingle.ErrOutOfOrder("The result was told already.")
		}
		i := slices.IndexFunc(n.cfg.Local, func(c Candidate) bool { return c.CID == t.CandidateUsed })
		if i < 0 {
			n.fail(fmt.Errorf("%w: it used a candidate that was not offered", ErrPeerSilent))
			return jingle.ErrBadRequest("There is no such candidate.")
		}
		n.peers = result{true, t.CandidateUsed, n.cfg.Local[i].Priority}
	case t.CandidateError:
		if n.peers.known {
			return jingle.ErrOutOfOrder("The result was told already.")
		}
		n.peers = result{known: true}
	case t.ProxyError:
		n.fail(fmt.Errorf("%w: the other side cannot connect to it", ErrProxy))
	case t.Activated != "":
		if n.activated = t.Activated; n.awaitActivated == t.Activated {
			n.use(UseOutgoing{t.Activated})
		}
	}
	n.step(now)
	return nil
}

// Incoming tells that the peer has made a connection to us.
func (n *Negotiation) Incoming(time.Time) []Effect {
	n.incoming = true
	if n.awaitIncoming != "" {
		n.use(UseIncoming{n.awaitIncoming})
	}
	return n.take()
}

// ProxyOpened tells how connecting to our proxy and activating it went.
func (n *Negotiation) ProxyOpened(_ time.Time, cid string, err error) []Effect {
	if n.over || n.awaitProxy != cid {
		return n.take()
	}
	if err != nil {
		n.emit(Tell{Transport{ProxyError: true}})
		n.fail(errors.Join(ErrProxy, err))
		return n.take()
	}
	// XEP-0260 section 2.4: the peer has no other way to know when it may send.
	n.emit(Tell{Transport{Activated: cid}})
	n.use(UseOutgoing{cid})
	return n.take()
}

// Deadline returns when [Negotiation.Advance] wants to be called, and the zero time if never.
func (n *Negotiation) Deadline() time.Time {
	if n.over || !n.started {
		return time.Time{}
	}
	if n.ours.known {
		return n.deadline
	}
	d := time.Time{}
	for _, p := range n.remote {
		if p.state == trying {
			d = earlier(d, p.timeout)
		}
	}
	if n.next() != nil || len(n.remote) == 0 {
		d = earlier(d, n.nextTry)
	}
	return d
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// Advance tells the time.
func (n *Negotiation) Advance(now time.Time) []Effect {
	if n.over || !n.started {
		return n.take()
	}
	for _, p := range n.remote {
		if p.state == trying && !p.timeout.After(now) {
			p.state = failed
			n.emit(Drop{p.CID})
		}
	}
	if n.ours.known && !n.deadline.IsZero() && !n.deadline.After(now) {
		if n.awaitProxy != "" {
			n.emit(Tell{Transport{ProxyError: true}})
		}
		n.fail(ErrPeerSilent)
	}
	n.step(now)
	return n.take()
}

// next returns the best candidate that may still be tried, or nil.
func (n *Negotiation) next() *probe {
	for i, p := range n.remote {
		if p.state == waiting && i < maxTried && n.better(p) {
			return p
		}
	}
	return nil
}

// better reports whether a candidate would still be used if it connected. XEP-0260 section 2.3: after the peer's
// candidate-used only those of a higher priority are worth trying.
func (n *Negotiation) better(p *probe) bool {
	return !n.peers.known || n.peers.used == "" || p.Priority > n.peers.priority
}

// step does what is to be done now.
func (n *Negotiation) step(now time.Time) {
	if n.over || !n.started {
		return
	}
	if !n.ours.known {
		n.try(now)
	}
	if n.ours.known && n.peers.known && n.awaitActivated == "" && n.awaitIncoming == "" && n.awaitProxy == "" {
		n.nominate(now)
	}
}

// try starts attempts, gives up those that are no longer worth it, and tells candidate-error when none is left.
func (n *Negotiation) try(now time.Time) {
	inFlight := 0
	for _, p := range n.remote {
		if p.state != trying {
			continue
		}
		if n.better(p) {
			inFlight++
			continue
		}
		p.state = failed
		n.emit(Drop{p.CID})
	}
	p := n.next()
	if p == nil {
		empty := len(n.remote) == 0 && !n.peers.known && n.nextTry.After(now)
		if inFlight == 0 && !empty {
			n.tell(now, Transport{CandidateError: true}, result{known: true})
		}
		return
	}
	at := n.nextTry
	if p.IsProxy() && !n.anyProxyTried() && inFlight > 0 {
		at = at.Add(n.cfg.ProxyDelay)
	}
	if inFlight > 0 && at.After(now) {
		n.nextTry = at
		if p.IsProxy() {
			// The delay is counted once.
			p.timeout = at
		}
		return
	}
	patience := n.cfg.DirectTimeout
	if p.IsProxy() {
		patience = n.cfg.CandidateTimeout
	}
	p.state, p.timeout = trying, now.Add(patience)
	n.nextTry = now.Add(n.cfg.Stagger)
	n.emit(Probe{p.Candidate})
}

// anyProxyTried reports whether the delay of the first proxy has been counted.
func (n *Negotiation) anyProxyTried() bool {
	return slices.ContainsFunc(n.remote, func(p *probe) bool {
		return p.IsProxy() && (p.state != waiting || !p.timeout.IsZero())
	})
}

// tell tells our result and ends our attempts.
func (n *Negotiation) tell(now time.Time, info Transport, r result) {
	if n.ours.known || n.over {
		return
	}
	n.ours = r
	for _, p := range n.remote {
		if p.state == trying {
			p.state = failed
			n.emit(Drop{p.CID})
		}
	}
	n.emit(Tell{info})
	n.deadline = now.Add(n.cfg.PeerTimeout)
}

// nominate applies the four rules of XEP-0260 section 2.4.
func (n *Negotiation) nominate(now time.Time) {
	ours, peers := n.ours, n.peers
	switch {
	case ours.used == "" && peers.used == "":
		n.fail(ErrNoCandidate)
	case peers.used == "", ours.used != "" && ours.priority > peers.priority,
		ours.used != "" && ours.priority == peers.priority && n.cfg.Role == jingle.Initiator:
		n.nominateRemote(now, ours.used)
	default:
		if ours.used != "" {
			n.emit(Drop{ours.used})
		}
		n.nominateLocal(now, peers.used)
	}
}

// nominateRemote goes on with a candidate of the peer, to which we are connected.
func (n *Negotiation) nominateRemote(now time.Time, cid string) {
	i := slices.IndexFunc(n.remote, func(p *probe) bool { return p.CID == cid })
	if !n.remote[i].IsProxy() || n.activated == cid {
		n.use(UseOutgoing{cid})
		return
	}
	n.awaitActivated, n.deadline = cid, now.Add(n.cfg.ActivateTimeout)
}

// nominateLocal goes on with a candidate of ours, to which the peer is connected.
func (n *Negotiation) nominateLocal(now time.Time, cid string) {
	i := slices.IndexFunc(n.cfg.Local, func(c Candidate) bool { return c.CID == cid })
	switch {
	case n.cfg.Local[i].IsProxy():
		n.awaitProxy, n.deadline = cid, now.Add(n.cfg.ActivateTimeout)
		n.emit(OpenProxy{n.cfg.Local[i]})
	case n.incoming:
		n.use(UseIncoming{cid})
	default:
		n.awaitIncoming, n.deadline = cid, now.Add(n.cfg.IncomingTimeout)
	}
}

func (n *Negotiation) use(e Effect) {
	if !n.over {
		n.emit(e)
		n.over = true
	}
}

func (n *Negotiation) fail(err error) { n.use(Fail{err}) }

func (n *Negotiation) emit(e Effect) { n.out = append(n.out, e) }

func (n *Negotiation) take() []Effect {
	out := n.out
	n.out = nil
	return out
}
