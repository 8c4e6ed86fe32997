package delegated

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	sigdtmf "github.com/jingled/jingled/jingle/dtmf"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/jingle/sdp"
	"github.com/jingled/jingled/jingle/transfer"
	"github.com/jingled/jingled/media/call"
	"github.com/jingled/jingled/media/dtmf"
)

// Call is one call. Its exported methods may be called from any goroutine; everything else belongs to the session's.
type Call struct {
	cfg  Config
	s    *engine.Session
	log  *slog.Logger
	done chan struct{}

	initial  *jingle.Message // of the peer, until it is answered
	told     bool            // the host knows the peer's first description
	answered bool
	state    signaling
	ours     side
	theirs   side
	before   snapshot
	lines    *sdp.Session // whose media descriptions are those of the last description, of either side
	id       uint64       // of our descriptions
	version  uint64
	early    map[string][]string // candidates of the host for what it has not described yet

	adds       map[string]bool // contents of the host's offer that the peer has not answered
	restarting bool            // and new credentials
	asked      []string        // contents of the peer's offer that the host has not answered
	restarted  bool            // and new credentials
	queue      []func() error  // what the peer wants while there is an offer

	connected time.Time
	final     call.Ended
}

// signaling is the state of offers and answers (RFC 9429 section 3.5.1), as the host's stack has it.
type signaling uint8

const (
	stable signaling = iota
	haveLocalOffer
	haveRemoteOffer
)

// snapshot is what there was before the host's offer that has no answer yet.
type snapshot struct {
	side  side // ours
	lines *sdp.Session
}

// side is what one side has described.
type side struct {
	contents []jingle.Content
	groups   []jingle.Group
}

func newCall(cfg Config) *Call {
	if cfg.Go == nil {
		cfg.Go = func(f func()) { go f() }
	}
	c := &Call{
		cfg: cfg, log: cfg.Log, done: make(chan struct{}), early: map[string][]string{}, adds: map[string]bool{}, id: rand.Uint64() >> 1,
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.final = call.Ended{Reason: &jingle.Reason{Condition: jingle.GeneralError, Text: "The session has broken down."}}
	return c
}

// Dial calls a full address with the host's offer, and its candidates that are not in it.
func Dial(e *engine.Engine, peer jid.JID, sid string, cfg Config, offer string, candidates ...Candidates) (*Call, error) {
	c := newCall(cfg)
	parsed, contents, groups, err := read(offer, jingle.Initiator)
	if err != nil {
		return nil, err
	}
	if err := CheckOffer(offer); err != nil {
		return nil, err
	}
	for _, cs := range candidates {
		for i := range contents {
			if contents[i].Name == sdp.ContentName(cs.MID) {
				addCandidates(&contents[i], readCandidates(cs.Lines))
			}
		}
	}
	begun := make(chan struct{})
	_, err = e.Start(peer, sid, c, func(s *engine.Session) error {
		c.begin(s)
		close(begun)
		c.ours, c.lines, c.state = side{slices.Clone(contents), groups}, parsed, haveLocalOffer
		return s.Do(&jingle.Message{Action: jingle.SessionInitiate, Initiator: s.Local(), Contents: contents, Groups: groups})
	})
	if err != nil {
		return nil, err
	}
	<-begun // the first thing that the session does
	return c, nil
}

// PickUp takes an incoming session-initiate, in the engine's Incoming. Call [Call.Ring] or [Call.Take] next.
func PickUp(s *engine.Session, m *jingle.Message, cfg Config) (*Call, error) {
	c := newCall(cfg)
	if _, err := sdp.FromJingle(m.Contents, m.Groups, jingle.Initiator); err != nil {
		return nil, &engine.Rejection{Reason: &jingle.Reason{Condition: jingle.IncompatibleParameters, Text: err.Error()}}
	}
	c.initial, c.theirs = m, side{slices.Clone(m.Contents), m.Groups}
	c.begin(s)
	return c, nil
}

func (c *Call) begin(s *engine.Session) {
	c.s = s
	c.log = c.log.With("sid", s.SID())
	c.cfg.Go(func() {
		<-s.Done()
		c.cfg.Notify(c.final)
		close(c.done)
	})
}

// Done is closed after the end was told.
func (c *Call) Done() <-chan struct{} { return c.done }

// Ring tells the caller that it rings here.
func (c *Call) Ring() { c.s.Post(func() { c.info(rtp.Info{Kind: rtp.InfoRinging}) }) }

// Take begins to answer an incoming call: the host is told the offer, and answers it by [Call.SetDescription].
func (c *Call) Take() {
	c.s.Post(func() {
		if c.initial == nil || c.told {
			return
		}
		if err := c.tell(Offer); err != nil {
			c.s.Terminate(&jingle.Reason{Condition: jingle.IncompatibleParameters, Text: err.Error()})
			return
		}
		c.state = haveRemoteOffer
	})
}

// HangUp ends the call, as [call.Call.HangUp] does.
func (c *Call) HangUp(r *jingle.Reason) {
	c.s.Post(func() {
		if r == nil {
			r = &jingle.Reason{Condition: jingle.Decline}
			switch {
			case c.answered:
				r.Condition = jingle.Success
			case c.s.Role() == jingle.Initiator:
				r.Condition = jingle.Cancel
			}
		}
		c.s.Terminate(r)
	})
}

// Connected says that the host's media is connected; only the host knows.
func (c *Call) Connected() {
	c.s.Post(func() {
		if c.answered && c.connected.IsZero() {
			c.connected = time.Now()
			c.cfg.Notify(call.Connected{})
		}
	})
}

// Mute tells the peer that the host sends silence (XEP-0167 section 8.3), or does no longer.
func (c *Call) Mute(on bool) {
	kind := rtp.InfoUnmute
	if on {
		kind = rtp.InfoMute
	}
	c.s.Post(func() {
		for _, content := range c.ours.contents {
			if d, ok := content.Description.(rtp.Description); ok && d.Media == "audio" {
				c.info(rtp.Info{Kind: kind, Creator: jingle.Initiator, Name: content.Name})
			}
		}
	})
}

// Hold tells the peer that the host sends and plays nothing (XEP-0167 section 8.2), or does again.
func (c *Call) Hold(on bool) {
	kind := rtp.InfoUnhold
	if on {
		kind = rtp.InfoHold
	}
	c.s.Post(func() { c.info(rtp.Info{Kind: kind}) })
}

// SendDTMF presses keys in the signalling (XEP-0181). A host does better to press them itself, as telephone events: peers
// that agreed on those refuse these.
func (c *Call) SendDTMF(digits string, duration time.Duration) error {
	keys, err := dtmf.Parse(digits, duration)
	if err != nil {
		return err
	}
	var at time.Duration
	for _, k := range keys {
		if k.Digit != dtmf.Pause {
			tone := sigdtmf.New(k.Digit, uint32(k.Duration.Milliseconds()))
			time.AfterFunc(at, func() { c.s.Post(func() { c.info(tone) }) })
			at += dtmf.DefaultGap
		}
		at += k.Duration
	}
	return nil
}

// Transfer asks the peer to go on with somebody else, as [call.Call.Transfer] does.
func (c *Call) Transfer(t transfer.Transfer) { c.s.Post(func() { c.info(t) }) }

func (c *Call) info(p jingle.Payload) {
	c.do(&jingle.Message{Action: jingle.SessionInfo, Info: []jingle.Payload{p}})
}

func (c *Call) do(m *jingle.Message) {
	if err := c.s.Do(m); err != nil {
		c.log.Debug("request", "action", string(m.Action), "err", err)
	}
}

// ask runs f on the session's goroutine and waits for what it returns.
func (c *Call) ask(f func() error) error {
	result := make(chan error, 1)
	c.s.Post(func() { result <- f() })
	select {
	case err := <-result:
		return err
	case <-c.s.Done():
		return ErrOver
	}
}
