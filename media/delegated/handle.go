package delegated

import (
	"errors"
	"slices"
	"time"

	"github.com/jingled/jingled/jingle"
	sigdtmf "github.com/jingled/jingled/jingle/dtmf"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media/call"
)

// Handle implements [engine.Application].
func (c *Call) Handle(s *engine.Session, ev jingle.Event) error {
	switch ev := ev.(type) {
	case jingle.Accepted:
		c.theirs = side{slices.Clone(ev.Message.Contents), ev.Message.Groups}
		c.answered = true
		c.ours.contents = slices.DeleteFunc(slices.Clone(c.ours.contents), func(o jingle.Content) bool { return find(c.theirs.contents, o.Name) < 0 })
		c.agreeSenders(c.theirs.contents)
		c.cfg.Notify(call.Accepted{})
		c.maybeAnswered()
	case jingle.InfoReceived:
		return c.received(ev.Message)
	case jingle.ContentAdded:
		c.added(ev.Message)
	case jingle.ContentAccepted:
		c.agreeSenders(ev.Message.Contents)
		c.theirs.contents = append(slices.Clone(c.theirs.contents), ev.Message.Contents...)
		c.share(ev.Message)
		c.answeredAdds(ev.Message.Contents)
	case jingle.ContentRejected:
		c.refusedAdds(ev.Message.Contents)
	case jingle.ContentRemoved:
		c.removed(ev)
	case jingle.ContentModified:
		c.logged(c.changed(func() {
			for _, cs := range [][]jingle.Content{c.ours.contents, c.theirs.contents} {
				if i := find(cs, ev.ID.Name); i >= 0 {
					cs[i].Senders = ev.New
				}
			}
		}))
	case jingle.TransportOffered:
		// There is only one (XEP-0166 section 7.2.15).
		var out []jingle.Content
		for _, content := range ev.Message.Contents {
			out = append(out, jingle.Content{Creator: content.Creator, Name: content.Name, Transport: content.Transport})
		}
		c.do(&jingle.Message{Action: jingle.TransportReject, Contents: out})
	case jingle.RequestFailed:
		c.failed(ev)
	case jingle.Ended:
		c.final = call.Ended{Reason: ev.Reason, ByPeer: ev.ByPeer, WasConnected: !c.connected.IsZero()}
		if c.final.WasConnected {
			c.final.Duration = time.Since(c.connected)
		}
	}
	return nil
}

func (c *Call) logged(err error) {
	if err != nil {
		c.log.Info("a change of the peer's cannot be told", "err", err)
	}
}

// received takes what came as information. Its error answers the IQ.
func (c *Call) received(m *jingle.Message) error {
	switch m.Action {
	case jingle.TransportInfo:
		return c.transportInfo(m)
	case jingle.DescriptionInfo:
		return nil // advice on what to send, which SDP has no word for outside of an offer
	case jingle.SessionInfo:
		for _, p := range m.Info {
			switch p.(type) {
			case rtp.Info, sigdtmf.Tone:
			default:
				return jingle.ErrUnsupportedInfo("This session-info is not understood.")
			}
		}
		for _, p := range m.Info {
			c.informed(p)
		}
		return nil
	}
	return jingle.ErrUnsupportedInfo("This %s is not understood.", m.Action)
}

func (c *Call) informed(p jingle.Payload) {
	switch p := p.(type) {
	case sigdtmf.Tone:
		if ms := p.Milliseconds(); ms > 0 && p.Known() {
			c.cfg.Notify(call.DTMF{Digit: p.Code[0], Duration: time.Duration(ms) * time.Millisecond})
		}
	case rtp.Info:
		switch p.Kind {
		case rtp.InfoRinging:
			if !c.answered {
				c.cfg.Notify(call.Ringing{})
			}
		case rtp.InfoHold, rtp.InfoUnhold:
			c.cfg.Notify(call.PeerHeld{On: p.Kind == rtp.InfoHold})
		case rtp.InfoMute, rtp.InfoUnmute:
			c.cfg.Notify(call.PeerMuted{On: p.Kind == rtp.InfoMute})
		case rtp.InfoActive:
			c.cfg.Notify(call.PeerHeld{})
			c.cfg.Notify(call.PeerMuted{})
		}
	}
}

// added has the host asked about contents that the peer adds.
func (c *Call) added(m *jingle.Message) {
	err := c.changed(func() {
		c.theirs.contents = append(slices.Clone(c.theirs.contents), m.Contents...)
		c.share(m)
		for _, content := range m.Contents {
			c.asked = append(c.asked, content.Name)
		}
	})
	if err == nil {
		return
	}
	c.log.Info("what the peer adds is refused", "err", err)
	var out []jingle.Content
	for _, content := range m.Contents {
		out = append(out, jingle.Content{Creator: content.Creator, Name: content.Name})
		c.theirs.contents = slices.DeleteFunc(c.theirs.contents, func(t jingle.Content) bool { return t.Name == content.Name })
	}
	c.asked = nil
	c.do(&jingle.Message{Action: jingle.ContentReject, Contents: out, Reason: &jingle.Reason{Condition: jingle.FailedApplication}})
}

// share puts contents that were added into the bundle: as the message says, or because they have its credentials, or none
// (Conversations).
func (c *Call) share(m *jingle.Message) {
	if len(m.Groups) > 0 {
		c.theirs.groups = m.Groups
		return
	}
	groups := slices.Clone(c.theirs.groups)
	for i := range groups {
		if groups[i].Semantics != "BUNDLE" || len(groups[i].Contents) == 0 {
			continue
		}
		j := find(c.theirs.contents, groups[i].Contents[0])
		if j < 0 {
			continue
		}
		tagged, _ := transportOf(c.theirs.contents[j])
		for _, content := range m.Contents {
			t, _ := transportOf(content)
			if (t.Ufrag == "" || t.Ufrag == tagged.Ufrag) && !slices.Contains(groups[i].Contents, content.Name) {
				groups[i].Contents = append(slices.Clone(groups[i].Contents), content.Name)
			}
		}
	}
	c.theirs.groups = groups
}

// answeredAdds goes on when the peer has answered contents of the host's offer.
func (c *Call) answeredAdds(contents []jingle.Content) {
	for _, content := range contents {
		delete(c.adds, content.Name)
	}
	c.maybeAnswered()
}

func (c *Call) refusedAdds(contents []jingle.Content) {
	c.ours.contents = slices.DeleteFunc(slices.Clone(c.ours.contents), func(o jingle.Content) bool { return find(contents, o.Name) >= 0 })
	c.answeredAdds(contents)
}

// removed follows contents that the peer takes away, or that it never took.
func (c *Call) removed(ev jingle.ContentRemoved) {
	switch waits := c.waits(ev.Message); {
	case waits && ev.Local:
		c.overruled()
		return
	case waits:
		c.refusedAdds(ev.Message.Contents)
		return
	}
	gone := func(o jingle.Content) bool { return find(ev.Message.Contents, o.Name) >= 0 }
	c.logged(c.changed(func() {
		c.ours.contents = slices.DeleteFunc(slices.Clone(c.ours.contents), gone)
		c.theirs.contents = slices.DeleteFunc(slices.Clone(c.theirs.contents), gone)
		c.asked = slices.DeleteFunc(c.asked, func(name string) bool { return find(ev.Message.Contents, name) >= 0 })
	}))
}

// failed follows an error to something of ours: Dino has no content-reject, and Monal refuses restarts so.
func (c *Call) failed(ev jingle.RequestFailed) {
	c.log.Debug("request failed", "action", string(ev.Message.Action), "err", ev.Err)
	var se *jingle.StanzaError
	switch {
	case ev.Message.Action == jingle.ContentAdd && !c.waits(ev.Message):
	case ev.Message.Action == jingle.ContentAdd && errors.As(ev.Err, &se) && se.HasApp("tie-break"):
		c.overruled()
	case ev.Message.Action == jingle.ContentAdd:
		c.refusedAdds(ev.Message.Contents)
	case ev.Message.Action != jingle.TransportInfo || !c.restarting:
	default:
		c.rollback() // also for the peer's own, which goes first
	}
}

// waits reports whether the host's offer adds one of these contents.
func (c *Call) waits(m *jingle.Message) bool {
	return slices.ContainsFunc(m.Contents, func(r jingle.Content) bool { return c.adds[r.Name] })
}

// overruled follows that the peer adds something at the same time, which goes first (XEP-0166 section 7.2.16). What the host
// wanted to send can be in its answer to that, so its offer is taken back rather than refused.
func (c *Call) overruled() {
	clear(c.adds)
	c.rollback()
}

// rollback takes the host's offer back.
func (c *Call) rollback() {
	c.restarting = false
	if len(c.adds) > 0 {
		return // it goes on with what else the offer has
	}
	c.ours, c.lines = c.before.side, c.before.lines
	c.cfg.Describe(Description{Kind: Rollback})
	c.settled()
}
