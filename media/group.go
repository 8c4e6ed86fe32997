package media

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/media/dtlssrtp"
	"github.com/jingled/jingled/media/sdes"
)

// GroupConfig says how a [Group] connects, and whom it tells. Certificate must be set.
type GroupConfig struct {
	ICE         agent.Config
	Certificate *dtlssrtp.Certificate
	// NS is the transport: [ice.NSUDP] (the default), [ice.NSICE] or [ice.NSRawUDP].
	NS string
	// RTCPComponent prepares a second path for the RTCP of a peer that may not multiplex. See [Group.WithoutDTLS].
	RTCPComponent bool
	// Controlling is set for the session's initiator (XEP-0176 section 5.6).
	Controlling bool
	// Candidate tells a candidate of ours with the credentials that go with it. Gathered, State and Pair are told by the
	// agent in use, as in [agent.Handler].
	Candidate func(ice.Transport)
	Gathered  func()
	State     func(agent.State)
	Pair      func(agent.Pair)
	// RTP and RTCP take what comes, one at a time, unless they are nil. They must not keep the memory.
	RTP  func(h *rtp.Header, payload []byte, at time.Time)
	RTCP func(packets []rtcp.Packet, at time.Time)
	// Log may be nil.
	Log *slog.Logger
}

// Group is one transport: a path found by ICE, secured by DTLS, for RTP and RTCP together. With peers from before that it
// is raw UDP, SRTP with keys from the signalling or plain RTP, and RTCP on a path of its own. Offer, Answer, Accepted, Add,
// Restart and GiveUp belong to one goroutine.
type Group struct {
	cfg    GroupConfig
	remote *ice.Transport // as it was when the peer became known
	role   dtlssrtp.Role
	old    *old // in place of DTLS
	// reply is our answer, which the other contents of a BUNDLE group share.
	reply ice.Transport
	start chan struct{} // closed once remote and role are set
	conn  atomic.Pointer[secured]
	ready chan struct{}
	wake  chan struct{} // something has happened to a link
	cc    *counter

	mu         sync.Mutex
	cur        *link   // whose path is in use
	next       *link   // the restart that goes on, or nil
	retired    []*link // to be closed
	past       []string
	unanswered int // offers of ours to restart
	restarts   int
	origin     time.Time
	over       bool
}

// secured is a connection that carries RTP: a [dtlssrtp.Conn] or a [sdes.Conn].
type secured interface {
	Ready() <-chan struct{}
	Run(context.Context) error
	Move(context.Context, net.Conn)
	WriteRTP(h *rtp.Header, payload []byte) error
	WriteRTCP(packets ...rtcp.Packet) error
}

// old is how packets go without DTLS.
type old struct {
	send, receive *sdes.Keys // nil for plain RTP
	mux           bool
}

// ErrNoPath says that ICE found no path.
var ErrNoPath = errors.New("no path between the two sides was found")

// ErrPathLost says that the path stopped working and did not come back.
var ErrPathLost = errors.New("the connection was lost")

// NewGroup returns a group with credentials, which gathers candidates once [Group.Run] runs. Run must be called, or
// [Group.Close].
func NewGroup(cfg GroupConfig) (*Group, error) {
	if cfg.Certificate == nil {
		return nil, errors.New("media: a group needs a certificate")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.ICE.Log == nil {
		cfg.ICE.Log = cfg.Log
	}
	g := &Group{
		cfg: cfg, start: make(chan struct{}), ready: make(chan struct{}), wake: make(chan struct{}, 1), origin: time.Now(),
		cc: newCounter(),
	}
	var err error
	g.cur, err = g.newLink(0)
	return g, err
}

// Close frees a group that never ran.
func (g *Group) Close() error { return g.cur.close() }

// WithoutDTLS has the group carry SRTP with these keys, or plain RTP if they are nil. mux says that RTCP shares the path
// of RTP. It is to be called before [Group.Answer] or [Group.Accepted].
func (g *Group) WithoutDTLS(send, receive *sdes.Keys, mux bool) {
	g.old = &old{send: send, receive: receive, mux: mux}
}

// Offer returns the transport for an offer. The answerer chooses who starts the handshake (RFC 5763 section 5);
// Conversations insists on actpass.
func (g *Group) Offer() ice.Transport { return g.described(ice.SetupActpass) }

// fingerprints are for what is added to a connection that stands: who began it is settled.
func (g *Group) fingerprints() []ice.Fingerprint {
	setup := ice.SetupPassive
	if g.role == dtlssrtp.Client {
		setup = ice.SetupActive
	}
	return []ice.Fingerprint{g.cfg.Certificate.Fingerprint(setup)}
}

func (g *Group) described(setup ice.Setup) ice.Transport {
	t := g.cur.local
	t.Fingerprints = []ice.Fingerprint{g.cfg.Certificate.Fingerprint(setup)}
	return t
}

// Answer takes the peer's offer, starts to connect, and returns the transport for the answer. The error wraps
// [dtlssrtp.ErrNoFingerprint], [dtlssrtp.ErrSetup], or is an *xmltree.Error.
func (g *Group) Answer(offer ice.Transport) (ice.Transport, error) {
	if g.old != nil {
		err := g.begin(offer, 0)
		g.reply = g.cur.local
		return g.reply, err
	}
	setup, role, err := dtlssrtp.Answer(setupOf(offer))
	if err == nil {
		err = g.begin(offer, role)
	}
	if err != nil {
		return ice.Transport{}, err
	}
	g.reply = g.described(setup)
	return g.reply, nil
}

// Accepted takes the peer's answer to our offer and starts to connect. The errors are those of [Group.Answer].
func (g *Group) Accepted(answer ice.Transport) error {
	if g.old != nil {
		return g.begin(answer, 0)
	}
	role, err := dtlssrtp.Answered(setupOf(answer))
	if err != nil {
		return err
	}
	return g.begin(answer, role)
}

func setupOf(t ice.Transport) ice.Setup {
	for _, f := range t.Fingerprints {
		if f.Setup != "" {
			return f.Setup
		}
	}
	return ""
}

func (g *Group) begin(remote ice.Transport, role dtlssrtp.Role) error {
	if g.remote != nil {
		return errors.New("media: the transport was answered twice")
	}
	// XEP-0176 section 5.3 and, for the fingerprint, whose lack must be said first: it is what old clients lack.
	if g.old == nil {
		if err := dtlssrtp.CheckFingerprints(remote.Fingerprints); err != nil {
			return err
		}
	}
	if g.cfg.NS != ice.NSRawUDP {
		if err := remote.ValidateCredentials(); err != nil {
			return err
		}
	}
	g.remote, g.role = &remote, role
	g.cur.remote = &remote
	g.cur.add(remote)
	close(g.start)
	return nil
}

// Report says what there was to try, for people.
func (g *Group) Report() string { return g.link().agent.Report() }

// Selected returns the path in use.
func (g *Group) Selected() (agent.Pair, bool) { return g.link().agent.Selected() }

// Ready is closed when packets can be written.
func (g *Group) Ready() <-chan struct{} { return g.ready }

// Run gathers candidates, connects once the peer is known, and carries packets until ctx ends, the path is lost or the
// peer closes it, which is no error. Everything has ended then.
func (g *Group) Run(ctx context.Context) (err error) {
	first := g.cur
	defer func() { err = errors.Join(err, g.closeLinks()) }()
	if err := first.gather(); err != nil {
		return err
	}
	select {
	case <-g.start:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	wg.Go(func() { g.supervise(ctx, cancel) })
	raw, err := first.start(ctx, g.cfg.Controlling)
	if err != nil {
		return cause(ctx, err)
	}
	conn, err := g.secure(first, raw)
	if err != nil {
		return errors.Join(err, raw.Close())
	}
	g.conn.Store(&conn)
	wg.Go(func() {
		select {
		case <-conn.Ready():
			close(g.ready)
		case <-ctx.Done():
		}
	})
	return cause(ctx, conn.Run(ctx))
}

// secure lays what carries RTP over the path.
func (g *Group) secure(l *link, raw net.Conn) (secured, error) {
	if g.old == nil {
		if l.rtcp != nil {
			go func() { _ = l.endRTCP() }() // it is multiplexed; closing the link waits for it
		}
		return dtlssrtp.New(raw, dtlssrtp.Config{
			Certificate: g.cfg.Certificate, Role: g.role, Remote: g.remote.Fingerprints,
			RTP: g.receive, RTCP: g.receiveRTCP, Log: g.cfg.Log,
		})
	}
	var reports net.Conn
	if l.rtcp != nil && !g.old.mux {
		var err error
		if reports, err = l.rtcp.Start(g.cfg.Controlling, g.remote.Ufrag, g.remote.Pwd); err != nil {
			return nil, err
		}
	}
	return sdes.New(raw, reports, sdes.Config{Send: g.old.send, Receive: g.old.receive, RTP: g.receive, RTCP: g.receiveRTCP})
}

func (g *Group) receive(h *rtp.Header, payload []byte, at time.Time) {
	if h.Extension {
		g.cc.received(h, at)
	}
	if g.cfg.RTP != nil {
		g.cfg.RTP(h, payload, at)
	}
}

func (g *Group) receiveRTCP(packets []rtcp.Packet, at time.Time) {
	g.cc.reported(packets, at)
	if g.cfg.RTCP != nil {
		g.cfg.RTCP(packets, at)
	}
}

// cause prefers why ctx ended over what ended because of it.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil && err != nil {
		return c
	}
	return err
}

func (g *Group) pathError() error {
	select {
	case <-g.ready:
		return ErrPathLost
	default:
		return fmt.Errorf("%w (%s)", ErrNoPath, g.Report())
	}
}

// WriteRTP sends a packet. It may be called from any goroutine; before [Group.Ready] it is an error.
func (g *Group) WriteRTP(h *rtp.Header, payload []byte) error {
	if c := g.conn.Load(); c != nil {
		return (*c).WriteRTP(h, payload)
	}
	return dtlssrtp.ErrNotReady
}

// WriteRTCP sends a compound packet, as [Group.WriteRTP] does.
func (g *Group) WriteRTCP(packets ...rtcp.Packet) error {
	if c := g.conn.Load(); c != nil {
		return (*c).WriteRTCP(packets...)
	}
	return dtlssrtp.ErrNotReady
}
