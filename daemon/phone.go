package daemon

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	jingletransfer "github.com/jingled/jingled/jingle/transfer"
	"github.com/jingled/jingled/media"
	"github.com/jingled/jingled/media/audio"
	mediacall "github.com/jingled/jingled/media/call"
	"github.com/jingled/jingled/media/dtlssrtp"
	"github.com/jingled/jingled/xmpp/disco"
)

// phone is the session of a call with its media.
type phone struct {
	call  *call
	media session
	// What we and the peer have said of ourselves, guarded by the account's lock.
	muted, held, peerMuted, peerHeld bool
}

// checkMedia looks at what a request asks for, before anybody is disturbed by it.
func checkMedia(m *jingledv1.Media) error {
	if m.GetDelegated() {
		return checkDelegated(m)
	}
	if m.GetWebrtc() {
		return checkBridged(m)
	}
	if err := checkSound(m); err != nil {
		return err
	}
	if r := strings.ToLower(m.GetRecord()); r != "" && !strings.HasSuffix(r, ".wav") && !strings.HasSuffix(r, ".ogg") {
		return fmt.Errorf("record: %q ends in neither .wav nor .ogg", m.GetRecord())
	}
	if err := canRecord(m.GetRecord()); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return checkVideos(m)
}

// openAll opens sound and pictures.
func (c *call) openAll(m *jingledv1.Media) (source audio.Source, sink audio.Sink, videos []mediacall.Video, err error) {
	if m.GetWebrtc() {
		return c.openLine(m.GetVideo())
	}
	if videos, err = openVideos(m); err != nil {
		return nil, nil, nil, err
	}
	if source, sink, err = openMedia(m); err != nil {
		return nil, nil, nil, errors.Join(err, closeVideos(videos))
	}
	return source, sink, videos, nil
}

// callConfig is how a call with this peer is made.
func (a *account) callConfig(c *call, policy jingledv1.IcePolicy, bundle bool) mediacall.Config {
	cfg := mediacall.Config{
		Certificate: a.certificate,
		ICE:         a.iceConfig(c.peer),
		Encryption:  a.d.cfg.CallEncryption,
		InBandDTMF:  a.d.cfg.InBandDTMF,
		Bundle:      bundle,
		Places:      a.videoPlaces(c.peer),
		VideoAdded:  c.videoAdded,
		Transfers:   a.cfg.Transfers != NoTransfers,
		Info:        c.handover.info,
		Notify:      c.mediaEvent,
		Go:          a.media.Go,
		Log:         a.log,
	}
	if a.unnamedTo(c.peer) {
		// The account's certificate would tell somebody in a room who we are.
		if fresh, err := dtlssrtp.NewCertificate(); err == nil {
			cfg.Certificate = fresh
		} else {
			cfg.Certificate = nil // which is refused
		}
	}
	if a.relaysOnly(&jingledv1.Media{Ice: policy}) {
		cfg.ICE.Policy = agent.RelayOnly
	}
	return cfg
}

// relaysOnly reports whether a call must not show our addresses.
func (a *account) relaysOnly(m *jingledv1.Media) bool {
	return a.d.cfg.RelayOnly || m.GetIce() == jingledv1.IcePolicy_ICE_POLICY_RELAY
}

// dial sends the session-initiate of a call to a device, or returns errOver if the call has ended meanwhile.
func (c *call) dial(device jid.JID, m *jingledv1.Media) error {
	c.dialing.Lock()
	defer c.dialing.Unlock()
	a := c.account
	a.mu.Lock()
	over := c.ending
	c.inviting = !over
	a.mu.Unlock()
	if over {
		return errOver
	}
	err := c.invite(device, m)
	a.mu.Lock()
	defer a.mu.Unlock()
	c.inviting = false
	if err == nil && c.phone == nil && c.ending {
		return errOver // there is no session yet that could tell it
	}
	return err
}

func (c *call) invite(device jid.JID, m *jingledv1.Media) error {
	if m.GetDelegated() {
		return c.dialDelegated(device)
	}
	a := c.account
	// Those that bundle have one transport for all, and others, such as Dino, one for each content.
	var known disco.Info
	if r, ok := a.client.Resource(device); ok {
		if info := a.caps.Get(r.Caps); info != nil {
			known = *info
		}
	}
	cfg := a.callConfig(c, m.GetIce(), known.Has("urn:ietf:rfc:5888") || known.Has(ice.NSDataChannel))
	cfg.GatherFirst = known.Has(ice.FeatureOfferAnswer)
	if err := suit(&cfg, known); err != nil {
		return err
	}
	source, sink, videos, err := c.openAll(m)
	if err != nil {
		return err
	}
	cfg.Videos = videos
	mc, err := mediacall.Dial(a.engine, device, c.sid, cfg, source, sink)
	if err != nil {
		return err
	}
	if c.connect(mc) {
		mc.HangUp(&jingle.Reason{Condition: jingle.Cancel}) // it was given up meanwhile
	}
	return nil
}

// connect gives the call its session, and reports whether it is to end already.
func (c *call) connect(mc session) (over bool) {
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	c.phone = &phone{call: c, media: mc}
	return c.ending
}

// pickUp makes the application of an incoming session: it rings, or answers at once if the call was taken already.
func (c *call) pickUp(s *engine.Session, m *jingle.Message) (engine.Application, error) {
	a := c.account
	answer := c.answerWith()
	if answer.GetDelegated() {
		return c.pickUpDelegated(s, m)
	}
	mc, err := mediacall.PickUp(s, m, a.callConfig(c, answer.GetIce(), false))
	if err != nil {
		return nil, err
	}
	if c.connect(mc) {
		mc.HangUp(nil)
		return mc, nil
	}
	if answer == nil {
		u := &undecided{Application: mc, initial: m}
		a.mu.Lock()
		c.host.ringing = u
		a.mu.Unlock()
		mc.Ring()
		return u, nil
	}
	source, sink, videos, err := c.openAll(answer)
	if err != nil {
		return nil, failure{err}
	}
	mc.AnswerWith(source, sink, videos...)
	return mc, nil
}

func (p *phone) answer(m *jingledv1.Media) error {
	if m.GetDelegated() {
		return p.call.answerDelegated()
	}
	if a := p.call.account; a.relaysOnly(m) && !a.relaysOnly(nil) {
		return p.call.answerHidden(m)
	}
	source, sink, videos, err := p.call.openAll(m)
	if err != nil {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	p.media.AnswerWith(source, sink, videos...)
	return nil
}

// networkChanged has calls look for another path, and the connections of the account prove that they still are some.
func (a *account) networkChanged() {
	a.client.Probe()
	a.files.manager.NetworkChanged()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.groups {
		r.inbox.post(r.networkChanged)
	}
	for _, c := range a.calls {
		if c.phone != nil {
			c.phone.media.NetworkChanged() // does not block
		}
	}
}

func (p *phone) hangUp(r *jingle.Reason) { p.media.HangUp(r) }

func (p *phone) press(digits string) error {
	if err := p.media.SendDTMF(digits, 0); err != nil {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	p.call.keysSent(digits)
	return nil
}

// mediaEvent tells clients what happens to the call's session.
func (c *call) mediaEvent(e mediacall.Event) {
	switch e := e.(type) {
	case mediacall.Ringing:
		c.ringing()
	case mediacall.Accepted:
		c.taken()
		c.matchVideo()
	case mediacall.Connected:
		c.account.mu.Lock()
		c.state = jingledv1.CallState_CALL_STATE_CONNECTED
		c.account.mu.Unlock()
		c.publish(&jingledv1.Event{Body: &jingledv1.Event_CallConnected{CallConnected: &jingledv1.CallConnected{
			SetupMs: float64(e.Setup.Microseconds()) / 1000, Codec: e.Codec, CandidatePair: candidatePair(e.Pair),
			Encryption: e.Encryption.String(), ZrtpHash: e.ZRTPHash}}})
	case mediacall.DTMF:
		c.keyReceived(e.Digit)
		c.publish(&jingledv1.Event{Body: &jingledv1.Event_CallDtmf{CallDtmf: &jingledv1.CallDtmf{
			Digit: string(e.Digit), Duration: durationpb.New(e.Duration)}}})
	case mediacall.DTMFRefused:
		c.publish(&jingledv1.Event{Body: &jingledv1.Event_CallDtmfRefused{CallDtmfRefused: &jingledv1.CallDtmfRefused{
			Digit: string(e.Digit), Text: e.Err.Error()}}})
	case mediacall.PeerMuted:
		c.peerState(func(p *phone) { p.peerMuted = e.On })
	case mediacall.PeerHeld:
		c.peerState(func(p *phone) { p.peerHeld = e.On })
	case mediacall.Meter:
		c.publish(&jingledv1.Event{Body: &jingledv1.Event_CallMeter{CallMeter: &jingledv1.CallMeter{
			Duration: durationpb.New(e.Elapsed), Codec: e.Stats.Codec, Relayed: e.Stats.Relayed, Stats: callStats(e.Stats)}}})
	case mediacall.Ended:
		if c.redirect(e) {
			return
		}
		ended := &jingledv1.CallEnded{Reason: string(e.Reason.Condition), Text: e.Reason.Text, ByPeer: e.ByPeer,
			WasConnected: e.WasConnected, Duration: durationpb.New(e.Duration), Stats: callStats(e.Stats)}
		if e.AudioErr != nil {
			ended.AudioError = e.AudioErr.Error()
		}
		if jingletransfer.IsTransferred(e.Reason) {
			ended.TransferredTo = "?" // finish knows whom
		}
		c.sessionEnded(e.Reason, ended)
	case mediacall.TransferAsked:
		c.transferAsked(e.Transfer)
	case mediacall.TransferRefused:
		c.transferFailed("The peer cannot be sent on to somebody else: " + e.Err.Error() + ".")
	case mediacall.Media:
		c.account.log.Debug("call", "sid", c.sid, "media", fmt.Sprintf("%T", e.Event))
		c.videoEvent(e.Event)
	}
}

// peerState tells what the peer says of itself, if that is new.
func (c *call) peerState(change func(*phone)) {
	c.account.mu.Lock()
	p := c.phone
	if p == nil {
		c.account.mu.Unlock()
		return
	}
	muted, held := p.peerMuted, p.peerHeld
	change(p)
	changed := muted != p.peerMuted || held != p.peerHeld
	muted, held = p.peerMuted, p.peerHeld
	c.account.mu.Unlock()
	if changed {
		c.publish(&jingledv1.Event{Body: &jingledv1.Event_CallPeerState{
			CallPeerState: &jingledv1.CallPeerState{Muted: muted, Held: held}}})
	}
}

// mute and hold change what we say of ourselves.
func (p *phone) mute(on bool) {
	p.media.Mute(on)
	p.call.account.mu.Lock()
	defer p.call.account.mu.Unlock()
	p.muted = on
}

func (p *phone) hold(on bool) {
	p.media.Hold(on)
	p.call.account.mu.Lock()
	defer p.call.account.mu.Unlock()
	p.held = on
}

func callStats(s media.Stats) *jingledv1.CallStats {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	out := &jingledv1.CallStats{PacketsSent: s.PacketsSent, PacketsReceived: s.PacketsReceived, PacketsLost: s.PacketsLost,
		BytesSent: s.BytesSent, BytesReceived: s.BytesReceived, JitterMs: ms(s.Jitter), RoundTripMs: ms(s.RoundTrip),
		Mos: s.MOS}
	videoStats(out, s.Videos)
	return out
}

func candidatePair(p agent.Pair) *jingledv1.CandidatePair {
	if !p.Local.Addr.IsValid() {
		return nil // only the host knows
	}
	return &jingledv1.CandidatePair{Local: "udp " + p.Local.Addr.String(), LocalType: string(p.Local.Type),
		Remote: "udp " + p.Remote.Addr.String(), RemoteType: string(p.Remote.Type)}
}
