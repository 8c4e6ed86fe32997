package daemon

import (
	"crypto/rand"
	"fmt"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/jmi"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/xmpp"
	"github.com/jingled/jingled/xmpp/carbons"
)

const nsClient = "jabber:client"

// receiveMessage takes what XEP-0353 sends; it runs on the dispatcher.
func (a *account) receiveMessage(m *xmpp.Message) {
	in, ours, err := jmi.ParseStanza(m.Element, a.registry)
	if err != nil || !ours {
		return
	}
	in.From, in.To, in.Sent = m.From, m.To, m.Delayed
	in.Archived = m.Kind == carbons.Archived
	if !in.Sent.IsZero() && in.Message != nil && in.Message.Kind == jmi.Propose {
		a.late()
	}
	if err := a.propose(func(s *jmi.Set, now time.Time) ([]jmi.Effect, error) { return s.Receive(now, in), nil }); err != nil {
		a.log.Debug("message of a call", "err", err)
	}
}

// propose gives an input to the proposals and carries out what follows. It returns the input's error.
func (a *account) propose(input func(*jmi.Set, time.Time) ([]jmi.Effect, error)) error {
	effects, err := a.input(input)
	a.carryOut(effects)
	return err
}

// input gives an input to the proposals and returns what is to be carried out.
func (a *account) input(input func(*jmi.Set, time.Time) ([]jmi.Effect, error)) ([]jmi.Effect, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.proposals == nil {
		return nil, xmpp.ErrOffline
	}
	effects, err := input(a.proposals, time.Now())
	if a.jmiTimer == nil {
		a.jmiTimer = time.AfterFunc(time.Hour, a.advance)
	}
	if d := a.proposals.Deadline(); !d.IsZero() && !a.stopping {
		a.jmiTimer.Reset(max(time.Until(d), 0))
	} else {
		a.jmiTimer.Stop()
	}
	return effects, err
}

func (a *account) advance() {
	err := a.propose(func(s *jmi.Set, now time.Time) ([]jmi.Effect, error) { return s.Advance(now), nil })
	if err != nil {
		a.log.Debug("proposals", "err", err)
	}
}

// endProposals withdraws what stands when the daemon stops.
func (a *account) endProposals() {
	a.mu.Lock()
	a.stopping = true
	var open []*call
	for _, c := range a.calls {
		open = append(open, c)
	}
	if a.jmiTimer != nil {
		a.jmiTimer.Stop()
	}
	a.mu.Unlock()
	for _, c := range open {
		c.end(nil)
	}
}

func (a *account) carryOut(effects []jmi.Effect) {
	media := a.crossing(effects)
	for _, e := range effects {
		if o, ok := e.(jmi.Offered); ok && media != nil {
			a.crossed(o, media)
			continue
		}
		a.perform(e)
	}
}

// crossing returns the media of our own call that gives way to one of the peer, which has called at the same moment
// (XEP-0353 section 4.1), or nil.
func (a *account) crossing(effects []jmi.Effect) *jingledv1.Media {
	for _, e := range effects {
		if o, ok := e.(jmi.Offered); ok && o.Crossed != "" {
			if ours := a.call(o.Key.Peer, o.Crossed); ours != nil {
				return ours.answerWith()
			}
		}
	}
	return nil
}

// crossed takes the call of a peer whom we are calling at the same moment: that is what our user wants.
func (a *account) crossed(e jmi.Offered, media *jingledv1.Media) {
	audio, video := mediaOf(e.Descriptions)
	if !audio {
		a.offered(e)
		return
	}
	c := &call{account: a, peer: e.From, sid: e.Key.ID, incoming: true, proposed: true, since: time.Now(),
		state: jingledv1.CallState_CALL_STATE_RINGING, video: video, media: media}
	if !a.addCall(c) {
		return
	}
	c.announce()
	c.taken()
	if err := a.propose(func(s *jmi.Set, now time.Time) ([]jmi.Effect, error) { return s.Accept(now, e.Key) }); err != nil {
		a.log.Debug("accept", "err", err)
	}
}

func (a *account) perform(e jmi.Effect) {
	var err error
	switch e := e.(type) {
	case jmi.Send:
		err = a.client.SendLater(e.Stanza(nsClient))
	case jmi.SendReceipt:
		err = a.client.SendLater(e.Stanza(nsClient))
	case jmi.SendPresence:
		a.show(e.To)
	case jmi.Offered:
		a.offered(e)
	case jmi.PeerRinging:
		if c := a.call(e.Key.Peer, e.Key.ID); c != nil {
			c.ringing()
		}
	case jmi.Proceeding:
		if c := a.call(e.Key.Peer, e.Key.ID); c != nil {
			c.proceed(e.Device)
		}
	case jmi.Migrated:
		a.migrated(e)
	case jmi.Ended:
		if c := a.call(e.Key.Peer, e.Key.ID); c != nil {
			c.proposalEnded(e)
		}
	}
	if err != nil {
		a.log.Warn("message of a call", "err", err)
	}
}

// offered decides about a proposal of a peer. A caller who is not admitted gets no answer at all (XEP-0353 section 6).
func (a *account) offered(e jmi.Offered) {
	audio, video := mediaOf(e.Descriptions)
	if !audio || !a.admits(e.From, true) {
		a.log.Info("a call was not let in", "peer", e.From.String())
		return
	}
	c := &call{account: a, peer: e.From, sid: e.Key.ID, incoming: true, proposed: true, since: time.Now(),
		state: jingledv1.CallState_CALL_STATE_RINGING, video: video}
	if !a.addCall(c) {
		return
	}
	if err := a.propose(func(s *jmi.Set, now time.Time) ([]jmi.Effect, error) { return s.Ring(now, e.Key) }); err != nil {
		a.log.Debug("ring", "err", err)
	}
	c.announce()
}

// migrated continues a call whose peer has begun a new session for it (XEP-0353 section 4.2).
func (a *account) migrated(e jmi.Migrated) {
	old := a.call(e.Old.Peer, e.Old.ID)
	c := &call{account: a, peer: e.From, sid: e.New.ID, incoming: true, proposed: true, since: time.Now(),
		state: jingledv1.CallState_CALL_STATE_RINGING, media: &jingledv1.Media{}}
	if old != nil {
		c.media = old.answerWith()
	}
	if a.addCall(c) {
		c.announce()
		c.taken()
	}
	if old != nil {
		old.end(&jingle.Reason{Condition: jingle.Expired, Text: "The call goes on in another session."})
	}
}

// mediaOf tells which media the descriptions of a proposal or session ask for.
func mediaOf(ds []jingle.Payload) (audio, video bool) {
	for _, d := range ds {
		if r, ok := d.(rtp.Description); ok {
			audio = audio || r.Media == "audio"
			video = video || r.Media == "video"
		}
	}
	return audio, video
}

// proposalOf is what stands in a propose: the media alone.
func proposalOf(video bool) []jingle.Payload {
	out := []jingle.Payload{rtp.Description{Media: "audio"}}
	if video {
		out = append(out, rtp.Description{Media: "video"})
	}
	return out
}

// newCallID makes a random UUID (RFC 9562 version 4), as XEP-0353 section 3.1 has it.
func newCallID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func keyOf(peer jid.JID, sid string) jmi.Key { return jmi.Key{Peer: peer.Bare(), ID: sid} }
