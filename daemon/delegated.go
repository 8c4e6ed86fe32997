package daemon

import (
	"context"
	"errors"
	"slices"
	"time"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	jingletransfer "github.com/jingled/jingled/jingle/transfer"
	"github.com/jingled/jingled/media"
	"github.com/jingled/jingled/media/audio"
	mediacall "github.com/jingled/jingled/media/call"
	"github.com/jingled/jingled/media/delegated"
)

// session is what a call does with its session: a [mediacall.Call], or [hosted] for delegated media.
type session interface {
	HangUp(r *jingle.Reason)
	NetworkChanged()
	Mute(on bool)
	Hold(on bool)
	SendDTMF(digits string, duration time.Duration) error
	Videos() []media.VideoContent
	AddVideo(v mediacall.Video)
	EquipVideo(name string, v mediacall.Video)
	RemoveVideo(names ...string)
	SendVideo(on bool, names ...string)
	AnswerWith(source audio.Source, sink audio.Sink, videos ...mediacall.Video)
	Transfer(t jingletransfer.Transfer)
}

// hosted is the session of a call whose media is the host's. What the host does by its descriptions is not done here.
type hosted struct{ *delegated.Call }

// NetworkChanged implements [session]: the host's stack notices by itself.
func (hosted) NetworkChanged() {}

// Videos implements [session].
func (hosted) Videos() []media.VideoContent { return nil }

// AddVideo implements [session].
func (hosted) AddVideo(v mediacall.Video) { _ = v.Close() }

// EquipVideo implements [session].
func (hosted) EquipVideo(_ string, v mediacall.Video) { _ = v.Close() }

// RemoveVideo implements [session].
func (hosted) RemoveVideo(...string) {}

// SendVideo implements [session].
func (hosted) SendVideo(bool, ...string) {}

// AnswerWith implements [session]: the host is told the offer.
func (h hosted) AnswerWith(audio.Source, audio.Sink, ...mediacall.Video) { h.Take() }

// hostOffer is what a call with delegated media has: what the host of an outgoing call has told before it is answered, all of
// which another device would need if the first one leaves, and which device it is to go to. The account's lock guards it.
type hostOffer struct {
	device     jid.JID // empty until one is known
	sdp        string
	candidates []delegated.Candidates
	session    *delegated.Call
	ringing    *undecided // an incoming call's, until it is answered
}

// maxHostCandidates bounds the candidates of a host that are kept until the call is answered.
const maxHostCandidates = 256

// checkDelegated is checkMedia for calls with delegated media.
func checkDelegated(m *jingledv1.Media) error {
	if m.GetAudioIn() != "" || m.GetAudioOut() != "" || m.GetRecord() != "" || m.GetVideoIn() != "" || m.GetRecordVideo() != "" || len(m.GetMoreVideos()) > 0 || m.GetWebrtc() {
		return errors.New("delegated: the media is the host's, so everything but video and ice must be empty")
	}
	return nil
}

func (c *call) delegatedConfig() delegated.Config {
	a := c.account
	return delegated.Config{
		Notify: c.mediaEvent, Go: a.media.Go, Log: a.log,
		Describe: func(d delegated.Description) {
			c.publish(&jingledv1.Event{Body: &jingledv1.Event_CallDescription{
				CallDescription: &jingledv1.CallDescription{Type: string(d.Kind), Sdp: d.SDP}}})
		},
		Candidates: func(cs delegated.Candidates) {
			c.publish(&jingledv1.Event{Body: &jingledv1.Event_CallCandidates{
				CallCandidates: &jingledv1.CallCandidates{Mid: cs.MID, Candidates: cs.Lines}}})
		},
	}
}

// dialDelegated sends the session-initiate to a device, as soon as there is the host's offer.
func (c *call) dialDelegated(device jid.JID) error {
	a := c.account
	a.mu.Lock()
	c.host.device = device
	offer, candidates := c.host.sdp, c.host.candidates
	a.mu.Unlock()
	if offer == "" {
		return nil
	}
	d, err := delegated.Dial(a.engine, device, c.sid, c.delegatedConfig(), offer, candidates...)
	if err != nil {
		return err
	}
	late := c.hosts(d)[len(candidates):] // told while the session began
	for _, cs := range late {
		a.media.Go(func() {
			if err := d.AddCandidates(cs); err != nil {
				a.log.Debug("candidates of a host", "err", err)
			}
		})
	}
	return nil
}

// hosts gives the call its session, and returns the candidates that the host has told until then; it sends the later ones.
func (c *call) hosts(d *delegated.Call) []delegated.Candidates {
	c.account.mu.Lock()
	c.host.session = d
	told := c.host.candidates
	c.account.mu.Unlock()
	if c.connect(hosted{d}) {
		d.HangUp(&jingle.Reason{Condition: jingle.Cancel}) // it was given up meanwhile
	}
	return told
}

// pickUpDelegated makes the application of an incoming session that was taken for a host already.
func (c *call) pickUpDelegated(s *engine.Session, m *jingle.Message) (engine.Application, error) {
	d, err := delegated.PickUp(s, m, c.delegatedConfig())
	if err != nil {
		return nil, err
	}
	c.hosts(d)
	d.Take()
	return d, nil
}

// undecided is the application of a session that rings: whose media it will have is known once it is answered. It belongs
// to the session's goroutine.
type undecided struct {
	engine.Application
	initial *jingle.Message
	seen    []jingle.InfoReceived
	decided bool
}

// maxSeen bounds what is kept of what comes while it rings.
const maxSeen = 128

// Handle implements [engine.Application].
func (u *undecided) Handle(s *engine.Session, ev jingle.Event) error {
	if info, ok := ev.(jingle.InfoReceived); ok && !u.decided && len(u.seen) < maxSeen {
		u.seen = append(u.seen, info)
	}
	return u.Application.Handle(s, ev)
}

// decide has other media than was prepared for a call that rings by a session. f runs on the session's goroutine, once.
func (c *call) decide(f func(u *undecided, s *engine.Session, own *mediacall.Call)) error {
	c.account.mu.Lock()
	u, p := c.host.ringing, c.phone
	c.account.mu.Unlock()
	own, ok := p.media.(*mediacall.Call)
	if u == nil || !ok {
		return connect.NewError(connect.CodeFailedPrecondition, errors.New("this call does not ring here"))
	}
	s := own.Session()
	s.Post(func() {
		if u.decided || s.State() == jingle.Done {
			return
		}
		u.decided = true
		f(u, s, own)
	})
	return nil
}

// give lets other media have the session: that which was prepared for it ends.
func (u *undecided) give(s *engine.Session, own *mediacall.Call, other engine.Application) {
	own.Abandon()
	u.Application = other
	for _, info := range u.seen {
		_ = other.Handle(s, info) // it was answered then
	}
}

// answerDelegated answers a call that rings by a session.
func (c *call) answerDelegated() error {
	return c.decide(func(u *undecided, s *engine.Session, own *mediacall.Call) {
		d, err := delegated.PickUp(s, u.initial, c.delegatedConfig())
		if err != nil {
			s.Terminate(&jingle.Reason{Condition: jingle.IncompatibleParameters, Text: err.Error()})
			return
		}
		u.give(s, own, d)
		c.hosts(d)
		d.Take()
	})
}

// host finds the call with delegated media that a request means.
func (d *Daemon) host(account, sid string) (*call, error) {
	c, err := d.call(account, sid)
	if err != nil {
		return nil, err
	}
	if !c.answerWith().GetDelegated() {
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("this call was made or answered without delegated"))
	}
	return c, nil
}

// SetDescription brings a description of the host.
func (d *Daemon) SetDescription(_ context.Context, req *jingledv1.SetDescriptionRequest) (*jingledv1.SetDescriptionResponse, error) {
	c, err := d.host(req.GetAccount(), req.GetSid())
	if err != nil {
		return nil, err
	}
	kind := delegated.Kind(req.GetType())
	if kind != delegated.Offer && kind != delegated.Answer {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New(`type is neither "offer" nor "answer"`))
	}
	a := c.account
	a.mu.Lock()
	s := c.host.session
	first := s == nil && !c.incoming && kind == delegated.Offer && c.host.sdp == ""
	device, media := c.host.device, c.media
	if first {
		c.host.sdp = req.GetSdp()
	}
	a.mu.Unlock()
	switch {
	case first:
		if err = delegated.CheckOffer(req.GetSdp()); err == nil && device != "" {
			err = c.dial(device, media)
		}
		if err != nil {
			a.mu.Lock()
			c.host.sdp = ""
			a.mu.Unlock()
		}
	case s == nil:
		err = delegated.ErrState
	default:
		err = s.SetDescription(delegated.Description{Kind: kind, SDP: req.GetSdp()})
	}
	if err != nil {
		return nil, hostError(err)
	}
	return &jingledv1.SetDescriptionResponse{}, nil
}

// hostError says whose fault it is.
func hostError(err error) error {
	var bad *delegated.DescriptionError
	var command *jingle.CommandError
	switch {
	case errors.As(err, &bad):
		return connect.NewError(connect.CodeInvalidArgument, err)
	case errors.Is(err, delegated.ErrState), errors.As(err, &command):
		return connect.NewError(connect.CodeFailedPrecondition, err)
	case errors.Is(err, delegated.ErrOver):
		return errOver
	}
	return connect.NewError(connect.CodeInternal, err)
}

// AddCandidates brings candidates of the host.
func (d *Daemon) AddCandidates(_ context.Context, req *jingledv1.AddCandidatesRequest) (*jingledv1.AddCandidatesResponse, error) {
	c, err := d.host(req.GetAccount(), req.GetSid())
	if err != nil {
		return nil, err
	}
	cs := delegated.Candidates{MID: req.GetMid(), Lines: req.GetCandidates()}
	s, kept := c.keepCandidates(cs)
	if s != nil {
		// Kept candidates of a session that has just ended are for the next one, if there is one.
		if err := s.AddCandidates(cs); err != nil && !(kept && errors.Is(err, delegated.ErrOver)) {
			return nil, hostError(err)
		}
	}
	return &jingledv1.AddCandidatesResponse{}, nil
}

// keepCandidates keeps what a host tells before its call is answered, for the session or for the next one. It returns the session,
// if there is one.
func (c *call) keepCandidates(cs delegated.Candidates) (s *delegated.Call, kept bool) {
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	n := len(cs.Lines)
	for _, known := range c.host.candidates {
		n += len(known.Lines)
	}
	if kept = !c.incoming && c.state < jingledv1.CallState_CALL_STATE_CONNECTING && n <= maxHostCandidates; kept {
		c.host.candidates = append(c.host.candidates, cs)
	}
	return c.host.session, kept
}

// SetConnected says that the host's media is connected.
func (d *Daemon) SetConnected(_ context.Context, req *jingledv1.SetConnectedRequest) (*jingledv1.SetConnectedResponse, error) {
	c, err := d.host(req.GetAccount(), req.GetSid())
	if err != nil {
		return nil, err
	}
	c.account.mu.Lock()
	s := c.host.session
	c.account.mu.Unlock()
	if s == nil {
		return nil, hostError(delegated.ErrState)
	}
	s.Connected()
	return &jingledv1.SetConnectedResponse{}, nil
}

// GetIceServers returns what the host's WebRTC stack is to be configured with.
func (d *Daemon) GetIceServers(ctx context.Context, req *jingledv1.GetIceServersRequest) (*jingledv1.GetIceServersResponse, error) {
	a, err := d.account(req.GetAccount())
	if err != nil {
		return nil, err
	}
	a.awaitRelays(ctx)
	out := &jingledv1.GetIceServersResponse{}
	for _, s := range a.iceServers() {
		same := func(o *jingledv1.IceServer) bool {
			return o.GetUsername() == s.Username && o.GetCredential() == s.Password
		}
		if i := slices.IndexFunc(out.Servers, same); i >= 0 {
			out.Servers[i].Urls = append(out.Servers[i].Urls, s.URI)
			continue
		}
		out.Servers = append(out.Servers, &jingledv1.IceServer{Urls: []string{s.URI}, Username: s.Username, Credential: s.Password})
	}
	return out, nil
}
