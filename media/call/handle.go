package call

import (
	"time"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jingle"
	sigdtmf "github.com/jingled/jingled/jingle/dtmf"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/jingle/transfer"
	"github.com/jingled/jingled/media"
)

// Handle implements [engine.Application].
func (c *Call) Handle(s *engine.Session, ev jingle.Event) error {
	switch ev := ev.(type) {
	case jingle.Accepted:
		c.acceptedAt, c.answered = time.Now(), true
		if err := c.media.Accepted(ev.Message.Contents, ev.Message.Groups); err != nil {
			s.Terminate(media.Reason(err))
			return nil
		}
		c.cfg.Notify(Accepted{})
	case jingle.InfoReceived:
		return c.received(ev.Message)
	case jingle.ContentAdded:
		c.added(ev.Message)
	case jingle.ContentAccepted:
		c.videoAccepted(ev.Message)
	case jingle.ContentRejected:
		c.videoRemoved(ev.Message)
	case jingle.ContentRemoved:
		if ev.Local { // the peer's has crossed it, and goes first
			c.withdraw(ev.Message.Contents)
			break
		}
		c.videoRemoved(ev.Message)
	case jingle.ContentModified:
		c.media.Modify(ev.ID.Name, ev.New)
	case jingle.TransportOffered:
		c.rejectTransports(ev.Message.Contents)
	case jingle.RequestFailed:
		// Dino has no content-reject, Monal answers some actions with nothing: the call goes on.
		c.log.Debug("request failed", "action", string(ev.Message.Action), "err", ev.Err)
		if !c.transferRefused(ev) {
			c.refused(ev)
		}
	case jingle.Ended:
		c.ended(ev)
	}
	return nil
}

// received takes what came as information, in any state of the session. Its error answers the IQ.
func (c *Call) received(m *jingle.Message) error {
	switch m.Action {
	case jingle.TransportInfo:
		for _, content := range m.Contents {
			if err := c.media.Info(content); err != nil {
				return restartError(err)
			}
		}
	case jingle.DescriptionInfo:
		for _, content := range m.Contents {
			c.media.Describe(content)
		}
	case jingle.SessionInfo:
		// Nothing is said before all of it is understood.
		for _, p := range m.Info {
			if err := c.understands(p); err != nil {
				return err
			}
		}
		for _, p := range m.Info {
			c.informed(p)
		}
	default:
		return jingle.ErrUnsupportedInfo("This %s is not understood.", m.Action)
	}
	return nil
}

func (c *Call) understands(p jingle.Payload) error {
	switch p := p.(type) {
	case rtp.Info:
		return nil
	case transfer.Transfer:
		return c.checkTransfer(p)
	case sigdtmf.Tone:
		switch {
		case c.media.HasEvents():
			return sigdtmf.ErrUseRTP() // XEP-0181 section 2
		case !p.Known():
			return sigdtmf.ErrUnknownCode()
		}
		return nil
	}
	return jingle.ErrUnsupportedInfo("This session-info is not understood.")
}

func (c *Call) informed(p jingle.Payload) {
	switch p := p.(type) {
	case sigdtmf.Tone:
		if ms := p.Milliseconds(); ms > 0 { // XEP-0181 section 2: one of 0 is to be ignored
			c.cfg.Notify(DTMF{Digit: p.Code[0], Duration: time.Duration(ms) * time.Millisecond})
		}
	case transfer.Transfer:
		c.cfg.Notify(TransferAsked{p})
	case rtp.Info:
		switch p.Kind {
		case rtp.InfoRinging:
			if !c.answered {
				c.cfg.Notify(Ringing{})
			}
		case rtp.InfoHold:
			c.media.Held(true)
			c.cfg.Notify(PeerHeld{true})
		case rtp.InfoUnhold:
			c.media.Held(false)
			c.cfg.Notify(PeerHeld{false})
		case rtp.InfoMute, rtp.InfoUnmute:
			c.cfg.Notify(PeerMuted{p.Kind == rtp.InfoMute})
		case rtp.InfoActive:
			// XEP-0167 section 8.1: it ends both.
			c.media.Held(false)
			c.cfg.Notify(PeerHeld{false})
			c.cfg.Notify(PeerMuted{false})
		}
	}
}

// rejectTransports refuses to replace the transport: there is only one (XEP-0166 section 7.2.15).
func (c *Call) rejectTransports(contents []jingle.Content) {
	out := bare(contents)
	for i := range out {
		out[i].Transport = contents[i].Transport
	}
	c.do(&jingle.Message{Action: jingle.TransportReject, Contents: out})
}

func bare(contents []jingle.Content) []jingle.Content {
	var out []jingle.Content
	for _, content := range contents {
		out = append(out, jingle.Content{Creator: content.Creator, Name: content.Name, Senders: content.Senders})
	}
	return out
}

func (c *Call) do(m *jingle.Message) {
	if err := c.s.Do(m); err != nil {
		c.log.Debug("request", "action", string(m.Action), "err", err)
	}
}

// onMedia follows what happens below.
func (c *Call) onMedia(e media.Event) {
	if c.abandoned {
		return
	}
	switch e := e.(type) {
	case media.Candidate:
		if !c.described {
			c.candidates = append(c.candidates, e)
			return
		}
		c.do(&jingle.Message{Action: jingle.TransportInfo, Contents: []jingle.Content{{
			Creator: jingle.Initiator, Name: e.Content, Transport: e.Transport.Payload(),
		}}})
	case media.Gathered:
		c.gatheredOnce()
		if (c.cfg.GatherFirst || c.cfg.Transport == ice.NSRawUDP) && c.s.Role() == jingle.Initiator {
			c.initiateOnce()
		}
	case media.Described:
		c.do(&jingle.Message{Action: jingle.DescriptionInfo, Contents: []jingle.Content{e.Content}})
	case media.Connected:
		c.path = &e
		time.AfterFunc(silentLimit, func() { c.s.Post(c.connectedSilent) })
		c.maybeConnected()
	case media.Heard:
		c.sound = &e
		c.s.Heard()
		c.maybeConnected()
	case media.KeyDown:
		c.cfg.Notify(DTMF{Digit: e.Key.Digit, Duration: e.Key.Duration})
	case media.KeyUp:
	case media.Disturbed:
		c.disturbed = true
		c.pathDied()
		c.cfg.Notify(Media{e})
	case media.Restored, media.PathChanged:
		c.disturbed = false
		c.cfg.Notify(Media{e})
	case media.Restarting:
		c.restarted = time.Now()
		c.cfg.Notify(Media{e})
	default:
		c.cfg.Notify(Media{e})
	}
}

// silentLimit is how long sound is waited for on a path that works.
const silentLimit = 3 * time.Second

func (c *Call) connectedSilent() {
	if c.connected.IsZero() {
		c.tellConnected(0, c.media.Stats().Codec)
	}
}

func (c *Call) maybeConnected() {
	if c.path != nil && c.sound != nil && c.connected.IsZero() {
		c.tellConnected(max(c.sound.At.Sub(c.acceptedAt), 1), c.sound.Codec)
	}
}

func (c *Call) tellConnected(setup time.Duration, codec string) {
	c.connected = time.Now()
	c.cfg.Notify(Connected{Setup: setup, Pair: c.path.Pair, Codec: codec, Secrecy: c.path.Secrecy})
	c.cfg.Go(c.meter)
	c.placeRest()
}

// meter tells the figures once a second.
func (c *Call) meter() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var received uint64
	for {
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			return
		}
		st := c.media.Stats()
		if st.PacketsReceived > received {
			received = st.PacketsReceived
			c.s.Heard()
		}
		c.s.Post(func() { c.cfg.Notify(Meter{Elapsed: time.Since(c.connected), Stats: st}) })
	}
}

// ended keeps what is told once the media has ended, too.
func (c *Call) ended(ev jingle.Ended) {
	c.final = Ended{Reason: ev.Reason, ByPeer: ev.ByPeer, WasConnected: !c.connected.IsZero(), Stats: c.media.Stats()}
	if c.final.WasConnected {
		c.final.Duration = time.Since(c.connected)
	}
	c.stop(errEnded)
	c.offer = nil
	c.gatheredOnce() // what waits to answer gives back what it has
}
