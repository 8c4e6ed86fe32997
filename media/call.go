package media

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	rtppkt "github.com/pion/rtp"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/dtlssrtp"
	"github.com/jingled/jingled/media/dtmf"
	"github.com/jingled/jingled/media/sdes"
)

// Config says what a [Call] is made of. Role, Certificate and Notify must be set.
type Config struct {
	// Role is our part in the session.
	Role jingle.Role
	// Certificate is the account's, so that its fingerprint stays the same from call to call.
	Certificate *dtlssrtp.Certificate
	ICE         agent.Config
	// Codecs are those to offer and accept, the best first; nil stands for [audio.Codecs].
	Codecs []*audio.Codec
	// Encryption is the least that is accepted of the peer. An offer has DTLS in any case.
	Encryption Encryption
	// Transport is the namespace of what to offer: [ice.NSUDP] (the default), [ice.NSICE] or [ice.NSRawUDP]. For a
	// responder it and RTCPComponent are what [OfferedIn] says.
	Transport string
	// RTCPComponent has RTCP on a path of its own if the peer does not multiplex, which only matters without DTLS.
	RTCPComponent bool
	// Name is the content of the audio in an offer; "" stands for [ContentName].
	Name string
	// InBandDTMF looks for keys in the peer's sound while it sends none as telephone events, and sends them so to a peer
	// that takes none. It is for gateways: speech may be taken for a key now and then.
	InBandDTMF bool
	// Bundle announces a BUNDLE group in an offer (XEP-0338). An answer follows the offer.
	Bundle bool
	// VideoTypes are the payload types of an offer's video by the names of the codecs; those without one are not offered. nil
	// stands for those of [video.Codecs].
	VideoTypes map[string]uint8
	// SeveralVideos offers all videos at once. Otherwise an offer has the first, and the others wait (see [Call.Unplaced]).
	SeveralVideos bool
	// Notify is told what happens. It is called from several goroutines and must only post.
	Notify func(Event)
	// Log may be nil.
	Log *slog.Logger
}

// Call is the media of one session: a content of audio and, if it is wanted, some of video. What negotiates and takes or
// gives contents belongs to one goroutine, the session's; everything else may be called from any.
type Call struct {
	cfg     Config
	group   *Group
	stream  *stream
	offered rtp.Description
	agreed  rtp.Description
	keys    []rtp.Crypto // ours for the audio, if SDES is accepted
	bundled bool         // the audio is in a BUNDLE group

	parts atomic.Pointer[[]*part]  // the videos; see enter and leave
	past  atomic.Pointer[[]uint32] // the peer's sources of those that are no more
	toRun chan *part

	mu      sync.Mutex
	content string // its name
	pair    agent.Pair
	paired  bool
	secured bool
	path    agent.State
	secret  Secrecy

	wantVideo bool
	waiting   []Video // for their contents
}

// ContentName and VideoName are the contents of an offer. Conversations maps names to SDP, where they are short and plain.
const (
	ContentName = "audio"
	VideoName   = "video"
)

// New returns a call that gathers candidates as soon as [Call.Run] runs. Run or [Call.Close] must be called.
func New(cfg Config) (*Call, error) {
	if cfg.Certificate == nil || cfg.Notify == nil || cfg.Role == 0 {
		return nil, errors.New("media: Role, Certificate and Notify must be set")
	}
	if cfg.Codecs == nil {
		cfg.Codecs = audio.Codecs()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Call{cfg: cfg, content: cmp.Or(cfg.Name, ContentName), toRun: make(chan *part, 16)}
	if cfg.Encryption != DTLS {
		c.keys = sdes.Offer()
	}
	// RFC 7022 section 4.2: a random name for each session tells nothing.
	c.stream = newStream(nil, rand.Text()[:16], cfg.Notify)
	c.stream.inBand = cfg.InBandDTMF
	var err error
	c.group, err = NewGroup(GroupConfig{
		ICE: cfg.ICE, Certificate: cfg.Certificate, Controlling: cfg.Role == jingle.Initiator, Log: cfg.Log,
		NS: cfg.Transport, RTCPComponent: cfg.RTCPComponent,
		Candidate: c.candidates(c.Name),
		Gathered:  func() { cfg.Notify(Gathered{c.Name()}) },
		State:     c.onState, Pair: c.onPair,
		RTP: c.receive, RTCP: c.receiveRTCP,
	})
	if err != nil {
		return nil, err
	}
	c.stream.out = c.group
	return c, nil
}

// Name returns the name of the call's content.
func (c *Call) Name() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.content
}

// Close frees a call that never ran.
func (c *Call) Close() error {
	for _, p := range c.videos() {
		p.free()
	}
	return errors.Join(c.group.Close(), c.stream.close(), c.closeWaiting())
}

// SetAudio gives the call its source and its sink, which may be nil for silence and for nothing. The call closes both. It
// must be called before the call is answered.
func (c *Call) SetAudio(source audio.Source, sink audio.Sink) {
	c.stream.mu.Lock()
	defer c.stream.mu.Unlock()
	c.stream.source, c.stream.sink = source, sink
}

func (c *Call) capabilities() rtp.Capabilities {
	return capabilities(c.cfg.Codecs, c.stream.ssrc, c.stream.cname)
}

// Offer returns contents and groups for a session-initiate. Candidates follow by [Candidate].
func (c *Call) Offer() ([]jingle.Content, []jingle.Group) {
	c.offered = offerable(c.capabilities(), c.cfg.Encryption, c.keys).Offer()
	contents := []jingle.Content{{
		Creator: jingle.Initiator, Name: c.Name(), Senders: jingle.SendersBoth,
		Description: c.offered, Transport: c.group.Offer().Payload(),
	}}
	group := jingle.Group{Semantics: bundle, Contents: []string{c.Name()}}
	for _, v := range c.toOffer() {
		content, err := c.offerVideo(c.freeName(v.Category), c.cfg.Bundle, v)
		if err != nil {
			c.cfg.Log.Warn("there is no video in the call", "err", err)
			continue
		}
		contents, group.Contents = append(contents, content), append(group.Contents, content.Name)
	}
	if !c.cfg.Bundle {
		return contents, nil
	}
	return contents, []jingle.Group{group}
}

// toOffer takes what is to be seen from the start.
func (c *Call) toOffer() []Video {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.waiting), maxVideos)
	if !c.cfg.SeveralVideos {
		n = min(n, 1)
	}
	out := slices.Clone(c.waiting[:n])
	c.waiting = slices.Delete(c.waiting, 0, n)
	return out
}

const bundle = "BUNDLE"

// parts returns what is in a content of audio over ICE.
func parts(c jingle.Content) (d rtp.Description, t ice.Transport, ok bool) {
	return partsOf(c, "audio")
}

func partsOf(c jingle.Content, media string) (d rtp.Description, t ice.Transport, ok bool) {
	d, isRTP := c.Description.(rtp.Description)
	t, known := ice.TransportOf(c.Transport)
	return d, t, isRTP && known && d.Media == media
}

// ErrUnsupported says that an offer or an answer has no content that we can take.
var ErrUnsupported = errors.New("there is no content of audio over ICE or raw UDP (XEP-0167, XEP-0176, XEP-0371, XEP-0177) in the offer")

// Info takes the transport of a transport-info, at any time. Contents that are not ours are passed over. Other
// credentials than before restart ICE; the errors are those of [Group.Add].
func (c *Call) Info(content jingle.Content) error {
	t, ok := ice.TransportOf(content.Transport)
	g := c.groupOf(content.Name)
	if !ok || g == nil {
		return nil
	}
	restarted, err := g.Add(t)
	if restarted {
		c.cfg.Notify(Restarting{ByPeer: true})
	}
	return err
}

// Restart begins to look for another path, while the one in use goes on. It returns the contents of the transport-info
// that tells the peer, with new credentials and no candidates (as Conversations does it; XEP-0176 section 5.9). Candidates
// follow by [Candidate]. The errors are those of [Group.Restart].
func (c *Call) Restart() ([]jingle.Content, error) {
	t, err := c.group.Restart()
	if err != nil {
		return nil, err
	}
	c.cfg.Notify(Restarting{})
	contents := []jingle.Content{{Creator: jingle.Initiator, Name: c.Name(), Transport: t}}
	for _, p := range c.videos() {
		own := t
		if p.own {
			if own, err = p.group.Restart(); err != nil {
				c.cfg.Log.Debug("restarting ICE for video", "err", err)
				continue
			}
		}
		contents = append(contents, jingle.Content{Creator: jingle.Initiator, Name: p.name, Transport: own})
	}
	return contents, nil
}

// groupOf returns the transport of a content, or nil.
func (c *Call) groupOf(name string) *Group {
	if name == c.Name() {
		return c.group
	}
	if p := c.part(name); p != nil {
		return p.group
	}
	return nil
}

// GiveUp says that the peer has refused a transport-info: if it was to restart ICE, the restart is over.
func (c *Call) GiveUp(content jingle.Content) {
	g := c.groupOf(content.Name)
	if t, ok := ice.TransportOf(content.Transport); ok && g != nil {
		g.GiveUp(t)
	}
}

// HasEvents reports whether keys go as RTP events in this call.
func (c *Call) HasEvents() bool {
	c.stream.mu.Lock()
	defer c.stream.mu.Unlock()
	return c.stream.agreed.hasEvents
}

// Adopt takes the names of contents before the call runs and an offer is answered, so that candidates that are told
// earlier have them. It is also where video is taken in; without it that is left out of the answer.
func (c *Call) Adopt(contents []jingle.Content, groups []jingle.Group) error {
	c.adopt(contents)
	return c.adoptVideos(contents, groups)
}

func (c *Call) adopt(contents []jingle.Content) {
	for _, content := range contents {
		if _, _, ok := parts(content); ok {
			c.mu.Lock()
			c.content = content.Name
			c.mu.Unlock()
			return
		}
	}
}

// Modify follows a change of who may send.
func (c *Call) Modify(name string, senders jingle.Senders) {
	if p := c.part(name); p != nil {
		p.allow(senders, c.cfg.Role)
	}
	if name != c.Name() {
		return
	}
	c.stream.mu.Lock()
	defer c.stream.mu.Unlock()
	c.stream.canSend = senders.Sends(c.cfg.Role)
}

// Mute sends silence instead of the source, which goes on.
func (c *Call) Mute(on bool) { c.set(func(s *stream) { s.muted = on }) }

// Hold stops sending, as we do not listen either.
func (c *Call) Hold(on bool) { c.set(func(s *stream) { s.holding = on }) }

// Held stops sending because the peer has put us on hold (XEP-0167 section 8.2: the holdee should stop).
func (c *Call) Held(on bool) { c.set(func(s *stream) { s.held = on }) }

func (c *Call) set(f func(*stream)) {
	c.stream.mu.Lock()
	defer c.stream.mu.Unlock()
	f(c.stream)
	for _, p := range c.videos() {
		p.stream.hold(c.stream.held || c.stream.holding)
	}
}

// ErrNoEvents says that the peer does not take DTMF in RTP (RFC 4733).
var ErrNoEvents = errors.New("the peer does not support telephone events")

// SendKeys sends DTMF, after what is being sent.
func (c *Call) SendKeys(keys ...dtmf.Key) error {
	c.stream.mu.Lock()
	defer c.stream.mu.Unlock()
	if c.stream.agreed.send == nil {
		return errors.New("the call is not answered yet")
	}
	if !c.stream.agreed.hasEvents {
		if c.stream.inBand {
			return c.stream.tones.Queue(keys...)
		}
		return ErrNoEvents
	}
	return c.stream.keys.Queue(keys...)
}

// Stats returns the figures so far.
func (c *Call) Stats() Stats {
	var st Stats
	c.mu.Lock()
	if c.paired {
		st.Path, st.Relayed = c.pair.String(), c.pair.Relayed()
	}
	st.Secrecy = c.secret
	c.mu.Unlock()
	c.stream.fill(&st)
	for _, p := range c.videos() {
		st.Videos = append(st.Videos, p.stream.stats())
	}
	return st
}

// Run connects and carries the call until ctx ends or the connection does. It returns nil if the peer has closed it,
// and when all it has started has ended; source and sink are closed. See [Reason] for its errors.
func (c *Call) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	// Packets need the group to live, so it ends last and the goodbye still goes out.
	gctx, endGroup := context.WithCancelCause(context.WithoutCancel(ctx))
	defer endGroup(nil)
	var groupErr error
	wg.Go(func() {
		groupErr = c.group.Run(gctx)
		cancel(errGroupEnded)
	})
	partsOver := make(chan struct{})
	go func() {
		defer close(partsOver)
		c.runParts(ctx)
	}()
	err := c.media(ctx)
	cancel(err)
	<-partsOver
	endGroup(err)
	wg.Wait()
	if errors.Is(err, errGroupEnded) {
		err = groupErr
	}
	_ = c.stream.close() // told by AudioErr
	_ = c.closeWaiting()
	return err
}

// AudioErr returns what kept the source from being played or the sink from taking all, once [Call.Run] has returned.
func (c *Call) AudioErr() error {
	c.stream.mu.Lock()
	defer c.stream.mu.Unlock()
	return c.stream.audioErr
}

var errGroupEnded = errors.New("the group has ended")

func (c *Call) media(ctx context.Context) error {
	select {
	case <-c.group.Ready():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	c.told(func() { c.secured = true })
	return c.stream.run(ctx)
}

// told tells [Connected] once there are both keys and a chosen path.
func (c *Call) told(change func()) {
	c.mu.Lock()
	before := c.secured && c.paired
	change()
	after, pair, secret := c.secured && c.paired, c.pair, c.secret
	c.mu.Unlock()
	switch {
	case after && !before:
		c.cfg.Notify(Connected{Pair: pair, At: time.Now(), Secrecy: secret})
	case after:
		c.cfg.Notify(PathChanged{pair})
	}
}

func (c *Call) onPair(p agent.Pair) { c.told(func() { c.pair, c.paired = p, true }) }

func (c *Call) onState(s agent.State) {
	c.mu.Lock()
	before := c.path
	c.path = s
	c.mu.Unlock()
	switch {
	case s == agent.Disturbed:
		c.cfg.Notify(Disturbed{})
	case s == agent.Connected && (before == agent.Disturbed || before == agent.Failed):
		c.cfg.Notify(Restored{})
	}
}

// candidates tells those of a group, in the content that stands for it.
func (c *Call) candidates(content func() string) func(ice.Transport) {
	return func(t ice.Transport) { c.cfg.Notify(Candidate{Content: content(), Transport: t}) }
}

// receive tells apart what shares the transport.
func (c *Call) receive(h *rtppkt.Header, payload []byte, at time.Time) {
	p := c.videoFor(h.PayloadType, h.SSRC)
	switch {
	case p == nil:
		c.stream.receive(h, payload, at)
	case !c.isPast(h.SSRC):
		p.stream.receive(h, payload, at)
	}
}

func (c *Call) receiveRTCP(packets []rtcp.Packet, at time.Time) {
	for _, p := range c.videos() {
		if !p.own {
			p.stream.receiveRTCP(packets, at)
		}
	}
	c.stream.receiveRTCP(packets, at)
}

// Reason says what to tell the peer when a call ends because of err.
func Reason(err error) *jingle.Reason {
	var reasoned interface{ Reason() *jingle.Reason }
	switch {
	case err == nil:
		return &jingle.Reason{Condition: jingle.Success}
	case errors.As(err, &reasoned):
		return reasoned.Reason()
	}
	condition := jingle.FailedApplication
	for c, errs := range map[jingle.Condition][]error{
		jingle.SecurityError:           {ErrOnlySDES, ErrUnencrypted, ErrRawUDP, sdes.ErrCrypto, dtlssrtp.ErrNoFingerprint, dtlssrtp.ErrFingerprint, dtlssrtp.ErrSetup},
		jingle.ConnectivityError:       {ErrNoPath, ErrPathLost, agent.ErrNoRelay, agent.ErrRawRelay, dtlssrtp.ErrHandshake},
		jingle.IncompatibleParameters:  {ErrMux},
		jingle.UnsupportedApplications: {ErrUnsupported},
	} {
		if slices.ContainsFunc(errs, func(e error) bool { return errors.Is(err, e) }) {
			condition = c
		}
	}
	return &jingle.Reason{Condition: condition, Text: fmt.Sprintf("%s.", upper(err.Error()))}
}

// upper makes a sentence of an error's text.
func upper(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}
