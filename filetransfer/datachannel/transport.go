package datachannel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/media/dtlssrtp"
)

// transport is one data channel transport. Its methods run on the session's goroutine.
type transport struct {
	cfg    Config
	ns     string
	in     engine.TransportConfig
	agent  *agent.Agent
	local  ice.Transport // credentials, no candidates
	remote *ice.Transport
	role   dtlssrtp.Role
	peer   limits

	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	handed bool // the connection, and the agent with it, belong to the application
}

// limits are what the peer said of itself.
type limits struct {
	port       uint16
	maxMessage uint64
}

func newTransport(f *Factory, c engine.TransportConfig) (*transport, error) {
	t := &transport{cfg: f.cfg, ns: f.NS(), in: c}
	if own := f.cfg.CertificateFor; own != nil {
		var err error
		if t.cfg.Certificate, err = own(c.Peer); err != nil {
			return nil, err
		}
	}
	icecfg := f.cfg.ICE(c.Peer)
	icecfg.Socket = socket
	if icecfg.Log == nil {
		icecfg.Log = f.cfg.Log
	}
	var err error
	t.agent, err = agent.NewAgent(icecfg, agent.Handler{Candidate: func(c ice.Candidate) {
		t.in.Host.SendInfo(t.wrap(t.local.WithCandidates(c)))
	}})
	if err != nil {
		return nil, err
	}
	t.local.Ufrag, t.local.Pwd = t.agent.Credentials()
	t.local.Trickle = true // Conversations takes its absence for a peer that cannot
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t, nil
}

// NS implements [engine.Transport].
func (t *transport) NS() string { return t.ns }

// wrap puts an ICE transport into the form that is spoken.
func (t *transport) wrap(inner ice.Transport) jingle.Payload {
	if t.cfg.Form == SCTPMap {
		if len(inner.Candidates) == 0 {
			inner.SCTPMap = &ice.SCTPMap{Number: sctpPort, Protocol: "webrtc-datachannel", Streams: 1024}
		}
		return inner
	}
	return ice.DataChannel{SCTPPort: sctpPort, MaxMessageSize: MaxMessageSize, ICE: &inner}
}

// unwrap returns the ICE transport in a payload.
func (t *transport) unwrap(p jingle.Payload) (ice.Transport, limits, error) {
	switch p := p.(type) {
	case ice.DataChannel:
		if p.ICE != nil && t.cfg.Form == Own {
			return *p.ICE, limits{p.SCTPPort, p.MaxMessageSize}, nil
		}
		return ice.Transport{}, limits{}, errors.New("the data channel transport has no ICE transport in it")
	case ice.Transport:
		if t.cfg.Form == SCTPMap {
			l := limits{}
			if p.SCTPMap != nil {
				l.port = p.SCTPMap.Number
			}
			return p, l, nil
		}
	}
	return ice.Transport{}, limits{}, fmt.Errorf("%T is no data channel transport", p)
}

func (t *transport) described(setup ice.Setup) jingle.Payload {
	inner := t.local
	inner.Fingerprints = []ice.Fingerprint{t.cfg.Certificate.Fingerprint(setup)}
	return t.wrap(inner)
}

// Offer implements [engine.Transport].
func (t *transport) Offer() (jingle.Payload, error) {
	if err := t.agent.Gather(); err != nil {
		return nil, err
	}
	return t.described(ice.SetupActpass), nil
}

// Answer implements [engine.Transport].
func (t *transport) Answer(remote jingle.Payload) (jingle.Payload, error) {
	inner, l, err := t.unwrap(remote)
	if err != nil {
		return nil, err
	}
	if t.cfg.Form == SCTPMap && inner.SCTPMap == nil {
		return nil, errors.New("the ICE transport offers no data channel")
	}
	setup, role, err := dtlssrtp.Answer(setupOf(inner))
	if err != nil {
		return nil, err
	}
	if err := t.know(inner, l, role); err != nil {
		return nil, err
	}
	if err := t.agent.Gather(); err != nil {
		return nil, err
	}
	return t.described(setup), nil
}

// Accepted implements [engine.Transport].
func (t *transport) Accepted(remote jingle.Payload) error {
	inner, l, err := t.unwrap(remote)
	if err != nil {
		return err
	}
	role, err := dtlssrtp.Answered(setupOf(inner))
	if err != nil {
		return err
	}
	return t.know(inner, l, role)
}

func setupOf(t ice.Transport) ice.Setup {
	for _, f := range t.Fingerprints {
		if f.Setup != "" {
			return f.Setup
		}
	}
	return ""
}

func (t *transport) know(remote ice.Transport, l limits, role dtlssrtp.Role) error {
	if err := dtlssrtp.CheckFingerprints(remote.Fingerprints); err != nil {
		return err
	}
	if err := remote.ValidateCredentials(); err != nil {
		return err
	}
	t.remote, t.peer, t.role = &remote, l, role
	t.add(remote)
	return nil
}

func (t *transport) add(remote ice.Transport) {
	for _, c := range remote.Candidates {
		if err := t.agent.AddRemote(c); err != nil {
			t.cfg.Log.Debug("candidate of the peer is not used", "sid", t.in.SID, "err", err)
		}
	}
}

// Info implements [engine.Transport].
func (t *transport) Info(p jingle.Payload) error {
	inner, _, err := t.unwrap(p)
	if err != nil {
		return err
	}
	if t.remote != nil && inner.Restarts(*t.remote) {
		return jingle.ErrUnsupportedInfo("ICE is not restarted here.")
	}
	t.add(inner)
	return nil
}

// Start implements [engine.Transport].
func (t *transport) Start() {
	raw, err := t.agent.Start(t.in.Role == jingle.Initiator, t.remote.Ufrag, t.remote.Pwd)
	if err != nil {
		t.in.Host.Failed(err)
		return
	}
	cfg := dtlssrtp.Config{Certificate: t.cfg.Certificate, Role: t.role, Remote: t.remote.Fingerprints, Log: t.cfg.Log}
	go func() {
		conn, err := t.connect(raw, cfg)
		if err != nil {
			t.in.Host.Failed(err)
			return
		}
		t.hand(conn)
	}()
}

func (t *transport) connect(raw io.ReadWriteCloser, cfg dtlssrtp.Config) (*Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, t.cfg.ConnectTimeout)
	defer cancel()
	if err := t.agent.Wait(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("no path to the other side was found (%s): %w", t.agent.Report(), err)
	}
	return dial(ctx, raw, cfg, t.cfg, t.peer, t.agent)
}

// hand gives the connection to the application, unless it came too late.
func (t *transport) hand(conn *Conn) {
	t.mu.Lock()
	late := t.closed
	t.handed = !late
	t.mu.Unlock()
	if late {
		_ = conn.Close()
		return
	}
	t.in.Host.Connected(conn)
}

// Close implements [engine.Transport].
func (t *transport) Close() {
	t.cancel()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.handed {
		t.closed = true
		return
	}
	t.closed = true
	go func() { _ = t.agent.Close() }() // it waits for its goroutines, and one of them may be posting to us
}
