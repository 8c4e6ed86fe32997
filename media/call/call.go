package call

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	sigdtmf "github.com/jingled/jingled/jingle/dtmf"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/jingle/transfer"
	"github.com/jingled/jingled/media"
	"github.com/jingled/jingled/media/audio"
)

func register(r *jingle.Registry) {
	rtp.Register(r)
	ice.Register(r)
	sigdtmf.Register(r)
	transfer.Register(r)
}

// Call is one call. Its exported methods may be called from any goroutine and do not block; everything else belongs to the
// session's goroutine.
type Call struct {
	cfg   Config
	media *media.Call
	s     *engine.Session // set before anything runs
	log   *slog.Logger

	ctx  context.Context // of the media
	stop context.CancelCauseFunc
	done chan struct{}

	// The session's goroutine owns the rest.
	offer      *jingle.Message // of the peer, until it is answered
	described  bool            // our description has gone out
	answered   bool            // session-accept was sent or received
	candidates []media.Candidate
	gathered   bool     // there are no more to come
	waiting    []func() // for that
	acceptedAt time.Time
	path       *media.Connected
	sound      *media.Heard
	connected  time.Time // when it was told
	final      Ended
	abandoned  bool
	disturbed  bool      // nothing arrives
	restarted  time.Time // when another path was looked for the last time
}

// newCall makes a call; of a responder's it is known what was offered.
func newCall(cfg Config, role jingle.Role, offered media.Offered) (*Call, error) {
	if cfg.Notify == nil {
		return nil, errors.New("call: Notify must be set")
	}
	if cfg.Go == nil {
		cfg.Go = func(f func()) { go f() }
	}
	c := &Call{cfg: cfg, log: cfg.Log, done: make(chan struct{})}
	// What holds if the session ends without a word, by a mistake of ours.
	c.final = Ended{Reason: &jingle.Reason{Condition: jingle.GeneralError, Text: "The session has broken down."}}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	var err error
	c.media, err = media.New(media.Config{
		Role: role, Certificate: cfg.Certificate, ICE: cfg.ICE, Codecs: cfg.Codecs, Name: cfg.Name, Bundle: cfg.Bundle, Log: c.log,
		SeveralVideos: cfg.Places == Several, VideoTypes: cfg.VideoTypes,
		Encryption: cfg.Encryption, InBandDTMF: cfg.InBandDTMF, Transport: offered.Transport, RTCPComponent: offered.RTCPComponent,
		Notify: func(e media.Event) { c.s.Post(func() { c.onMedia(e) }) },
	})
	if err != nil {
		return nil, err
	}
	c.ctx, c.stop = context.WithCancelCause(context.Background())
	return c, nil
}

// Dial calls a full address. An empty sid stands for a new one; after a proposal by XEP-0353 it is that of the proposal.
// Source and sink may be nil, for silence and for nothing, and are closed by the call, also if Dial fails.
func Dial(e *engine.Engine, peer jid.JID, sid string, cfg Config, source audio.Source, sink audio.Sink) (*Call, error) {
	raw := cfg.Transport == ice.NSRawUDP
	c, err := newCall(cfg, jingle.Initiator, media.Offered{Transport: cfg.Transport, RTCPComponent: cfg.Encryption != media.DTLS})
	if err != nil {
		return nil, errors.Join(err, closeAudio(source, sink), closeVideos(cfg.Videos))
	}
	c.media.SetAudio(source, sink)
	if len(cfg.Videos) > 0 {
		c.media.SetVideo(cfg.Videos...)
	}
	begun := make(chan struct{})
	_, err = e.Start(peer, sid, c, func(s *engine.Session) error {
		c.begin(s)
		close(begun)
		if !cfg.GatherFirst && !raw {
			return c.initiate()
		}
		time.AfterFunc(gatherLimit, func() { s.Post(c.initiateOnce) })
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, c.media.Close())
	}
	<-begun // the first thing that the session does
	return c, nil
}

// gatherLimit is how long the candidates are waited for with [Config.GatherFirst].
const gatherLimit = 2 * time.Second

func closeAudio(source audio.Source, sink audio.Sink) error {
	var errs []error
	if source != nil {
		errs = append(errs, source.Close())
	}
	if sink != nil {
		errs = append(errs, sink.Close())
	}
	return errors.Join(errs...)
}

func closeVideos(videos []Video) error {
	var errs []error
	for i := range videos {
		errs = append(errs, videos[i].Close())
	}
	return errors.Join(errs...)
}

// PickUp takes an incoming session-initiate, in the engine's Incoming. What cannot become a call is refused at once with
// an [*engine.Rejection], whose reason says why. Call [Call.Ring] or [Call.Answer] next.
func PickUp(s *engine.Session, m *jingle.Message, cfg Config) (*Call, error) {
	if err := media.Check(m.Contents, m.Groups, cfg.Codecs, cfg.Encryption); err != nil {
		return nil, &engine.Rejection{Reason: media.Reason(err)}
	}
	c, err := newCall(cfg, jingle.Responder, media.OfferedIn(m.Contents, m.Groups))
	if err != nil {
		return nil, &engine.Rejection{Reason: media.Reason(err)}
	}
	c.offer = m
	if err := c.media.Adopt(m.Contents, m.Groups); err != nil {
		return nil, &engine.Rejection{Reason: media.Reason(errors.Join(err, c.media.Close()))}
	}
	c.begin(s)
	return c, nil
}

// begin lets the media run; candidates are gathered while it rings.
func (c *Call) begin(s *engine.Session) {
	c.s = s
	c.log = c.log.With("sid", s.SID())
	c.cfg.Go(func() {
		defer close(c.done)
		over := make(chan error, 1)
		go func() { over <- c.media.Run(c.ctx) }()
		select {
		case err := <-over:
			s.Post(func() { c.mediaEnded(err) })
			<-s.Done()
		case <-s.Done():
			c.stop(errEnded)
			if err := <-over; err != nil && !errors.Is(err, errEnded) {
				c.log.Debug("media", "err", err)
			}
		}
		c.final.AudioErr = c.media.AudioErr()
		if !c.abandoned {
			c.cfg.Notify(c.final)
		}
	})
}

var errEnded = errors.New("the session has ended")

// Abandon ends the media of a call that is not answered yet, while its session goes on in other hands. Nothing is told any
// more. It is called on the session's goroutine.
func (c *Call) Abandon() {
	c.abandoned = true
	c.stop(errEnded)
}

func (c *Call) initiate() error {
	contents, groups := c.media.Offer()
	c.take(contents)
	return c.s.Do(&jingle.Message{
		Action: jingle.SessionInitiate, Initiator: c.s.Local(), Contents: contents, Groups: groups, Info: c.cfg.Info,
	})
}

// initiateOnce is for when all candidates are there or have taken too long.
func (c *Call) initiateOnce() {
	if c.described || c.s.State() != jingle.Idle {
		return
	}
	if err := c.initiate(); err != nil {
		c.s.Terminate(media.Reason(err))
	}
}

// take puts the candidates that are known into the contents of our first description; those to come go out at once.
func (c *Call) take(contents []jingle.Content) {
	c.described = true
	for i := range contents {
		t, ok := ice.TransportOf(contents[i].Transport)
		if !ok {
			continue
		}
		for _, known := range c.candidates {
			if known.Content == contents[i].Name {
				t.Candidates = append(t.Candidates, known.Transport.Candidates...)
				t.GatheringComplete = t.GatheringComplete || known.Transport.GatheringComplete
			}
		}
		contents[i].Transport = t.Payload()
	}
	c.candidates = nil
}

// Session returns the session of the call.
func (c *Call) Session() *engine.Session { return c.s }

// Done is closed after [Ended] was told.
func (c *Call) Done() <-chan struct{} { return c.done }

// Ring tells the caller that it rings here. It is not needed after a proposal by XEP-0353, which has its own.
func (c *Call) Ring() { c.s.Post(func() { c.info(rtp.Info{Kind: rtp.InfoRinging}) }) }

// Answer accepts the call. Source and sink are as in [Dial]. What goes wrong ends the call with its reason.
func (c *Call) Answer(source audio.Source, sink audio.Sink) { c.AnswerWith(source, sink) }

// AnswerWith is [Call.Answer] with video, if it is offered or added later.
func (c *Call) AnswerWith(source audio.Source, sink audio.Sink, videos ...Video) {
	c.whenGathered(func() {
		if c.offer == nil {
			_, _ = closeAudio(source, sink), closeVideos(videos)
			return
		}
		c.media.SetAudio(source, sink)
		if len(videos) > 0 {
			c.media.SetVideo(videos...)
		}
		offer := c.offer
		c.offer = nil
		contents, groups, err := c.media.Answer(offer.Contents, offer.Groups)
		if err != nil {
			c.s.Terminate(media.Reason(err))
			return
		}
		c.take(contents)
		c.acceptedAt, c.answered = time.Now(), true
		if err := c.s.Do(&jingle.Message{
			Action: jingle.SessionAccept, Responder: c.s.Local(), Contents: contents, Groups: groups,
		}); err != nil {
			c.s.Terminate(media.Reason(err))
			return
		}
		c.cfg.Notify(Accepted{})
	}, func() { _, _ = closeAudio(source, sink), closeVideos(videos) })
}

// post runs f on the session's goroutine, or dropped if the session is over.
func (c *Call) post(f, dropped func()) {
	ran := make(chan struct{})
	c.s.Post(func() {
		close(ran)
		f()
	})
	c.cfg.Go(func() {
		select {
		case <-ran:
		case <-c.s.Done():
			select {
			case <-ran:
			default:
				dropped()
			}
		}
	})
}

// HangUp ends the call. A nil reason is the one that fits: success for a conversation, cancel for a call that was not
// answered, decline for one that we do not want.
func (c *Call) HangUp(r *jingle.Reason) {
	c.s.Post(func() {
		if r == nil {
			r = &jingle.Reason{Condition: c.hangUpCondition()}
		}
		c.s.Terminate(r)
	})
}

func (c *Call) hangUpCondition() jingle.Condition {
	switch {
	case c.answered:
		return jingle.Success
	case c.s.Role() == jingle.Initiator:
		return jingle.Cancel
	}
	return jingle.Decline
}

// Stats returns the figures so far.
func (c *Call) Stats() media.Stats { return c.media.Stats() }

// info sends a session-info.
func (c *Call) info(p jingle.Payload) {
	if err := c.s.Do(&jingle.Message{Action: jingle.SessionInfo, Info: []jingle.Payload{p}}); err != nil {
		c.log.Debug("session-info", "err", err)
	}
}

// mediaEnded follows the end of the media, while the session still lives.
func (c *Call) mediaEnded(err error) {
	if c.abandoned {
		return
	}
	if err != nil {
		c.s.Terminate(media.Reason(err))
		return
	}
	// The peer has closed the media; its session-terminate should be on the way.
	time.AfterFunc(terminateGrace, func() {
		c.s.Post(func() { c.s.Terminate(&jingle.Reason{Condition: jingle.Success}) })
	})
}

const terminateGrace = 3 * time.Second
