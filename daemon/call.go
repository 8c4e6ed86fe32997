package daemon

import (
	"errors"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/jingle/jmi"
)

// call is one call from the first sign of it to its end: by a proposal (XEP-0353) and then a session, or by a session
// alone. Its fields are guarded by the account's lock.
type call struct {
	account   *account
	peer      jid.JID // bare until a device has answered
	sid       string
	incoming  bool
	proposed  bool      // by XEP-0353
	tried     []jid.JID // the devices that were called directly, where we chose them
	video     bool      // the caller would like it
	state     jingledv1.CallState
	since     time.Time
	media     *jingledv1.Media // what we say and record; nil while an incoming call is not answered
	phone     *phone           // the session with its media; nil while there is only a proposal
	timer     *time.Timer      // ends a call that nobody answers
	ended     bool
	ending    bool       // it is to end: no session begins any more, and it does not go on elsewhere
	dialing   sync.Mutex // held while a session is made; taken before the account's lock
	inviting  bool       // a session is being made, which tells the peer of the end
	successor string     // the sid of the call that takes its place, or ""
	bridge    bridged
	handover  handover
	host      hostOffer
	keys      keys
}

// addCall enters a call, unless there is one of this name or the daemon is stopping.
func (a *account) addCall(c *call) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := sessionKey{c.peer.Bare(), c.sid}
	if a.stopping || a.calls[k] != nil {
		return false
	}
	a.calls[k] = c
	// The other side has its own patience; ours is a little longer, so that its reason is the one that is seen.
	c.timer = time.AfterFunc(a.d.cfg.RingTimeout+5*time.Second, c.unanswered)
	return true
}

func (a *account) call(peer jid.JID, sid string) *call {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls[sessionKey{peer.Bare(), sid}]
}

// callBySID finds the call that a request means. Two peers can use one sid; then it means the older one.
func (a *account) callBySID(sid string) (*call, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found *call
	for k, c := range a.calls {
		if k.sid == sid && (found == nil || c.since.Before(found.since)) {
			found = c
		}
	}
	if found == nil {
		return nil, errOver
	}
	return found, nil
}

func (a *account) listCalls() []*jingledv1.Call {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []*jingledv1.Call
	for _, c := range a.calls {
		one := &jingledv1.Call{Account: a.cfg.JID.String(), Peer: c.peer.String(), Sid: c.sid,
			Incoming: c.incoming, State: c.state, Since: timestamppb.New(c.since)}
		if p := c.phone; p != nil {
			one.Muted, one.Held, one.PeerMuted, one.PeerHeld = p.muted, p.held, p.peerMuted, p.peerHeld
		}
		out = append(out, one)
	}
	return out
}

func (c *call) publish(e *jingledv1.Event) {
	c.account.mu.Lock()
	peer := c.peer
	c.account.mu.Unlock()
	c.account.publish(peer, c.sid, e)
}

// announce tells clients of an incoming call.
func (c *call) announce() {
	c.publish(&jingledv1.Event{Body: &jingledv1.Event_CallIncoming{
		CallIncoming: &jingledv1.CallIncoming{Audio: true, Video: c.video, TransferredBy: c.handover.by.String()}}})
}

// ringing says that a device of the peer rings; it is told once.
func (c *call) ringing() {
	c.account.mu.Lock()
	first := c.state == jingledv1.CallState_CALL_STATE_CALLING
	if first {
		c.state = jingledv1.CallState_CALL_STATE_RINGING
	}
	c.account.mu.Unlock()
	if first {
		c.publish(&jingledv1.Event{Body: &jingledv1.Event_CallRinging{CallRinging: &jingledv1.CallRinging{}}})
	}
}

// taken says that the call was answered, by us or by the peer, and gives it all the time it wants. It is told once.
func (c *call) taken() {
	c.account.mu.Lock()
	first := c.state < jingledv1.CallState_CALL_STATE_CONNECTING && !c.ended
	if first {
		c.state = jingledv1.CallState_CALL_STATE_CONNECTING
		c.timer.Stop()
	}
	c.account.mu.Unlock()
	if !first {
		return
	}
	c.publish(&jingledv1.Event{Body: &jingledv1.Event_CallAccepted{CallAccepted: &jingledv1.CallAccepted{}}})
	c.handover.answered(c)
}

func (c *call) answerWith() *jingledv1.Media {
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	return c.media
}

// unanswered ends a call that has rung for too long.
func (c *call) unanswered() {
	c.end(&jingle.Reason{Condition: jingle.Timeout, Text: "Nobody answered."})
}

// proceed sends the session-initiate to the device that has taken our proposal.
func (c *call) proceed(device jid.JID) {
	a := c.account
	a.mu.Lock()
	c.peer = device
	media := c.media
	a.mu.Unlock()
	switch err := c.dial(device, media); {
	case errors.Is(err, errOver):
		c.withdraw(&jingle.Reason{Condition: jingle.Cancel})
		return
	case err != nil:
		c.finish(&jingledv1.CallEnded{Reason: string(jingle.FailedApplication), Text: err.Error()})
		c.withdraw(failure{err}.reason())
		return
	}
	if err := a.propose(func(s *jmi.Set, _ time.Time) ([]jmi.Effect, error) {
		return nil, s.Started(keyOf(device, c.sid))
	}); err != nil {
		a.log.Debug("proposal", "err", err)
	}
}

// proposalEnded follows the end of the proposal, which ends the session too, if there is one.
func (c *call) proposalEnded(e jmi.Ended) {
	reason := e.Reason
	switch {
	case e.Cause == jmi.ByTieBreak:
		// XEP-0353 section 4.1.
		reason = &jingle.Reason{Condition: jingle.AlternativeSession, Text: "Both called at the same time; the other call goes on."}
	case reason != nil && reason.Text != "":
	case e.Cause == jmi.ByTimeout:
		reason = &jingle.Reason{Condition: jingle.Timeout, Text: "Nobody answered."}
	case e.Cause == jmi.ByOwnDevice && e.Taken:
		reason = &jingle.Reason{Condition: jingle.Success, Text: "Another device of yours took the call."}
	case e.Cause == jmi.ByOwnDevice:
		reason = &jingle.Reason{Condition: jingle.Decline, Text: "Another device of yours declined the call."}
	case e.Error != nil:
		reason = &jingle.Reason{Condition: jingle.Gone, Text: "The call could not be delivered: " + e.Error.Error()}
	case e.Cause == jmi.ByPeer && !c.incoming && e.State != jmi.StateLive:
		// XEP-0353 section 3.5: the default reason of a reject is busy, and it stands for declining too.
		if reason == nil {
			reason = &jingle.Reason{Condition: jingle.Busy}
		}
	}
	if reason == nil {
		reason = &jingle.Reason{Condition: jingle.Cancel}
	}
	c.account.mu.Lock()
	p := c.phone
	c.ending, c.successor = true, e.Successor
	c.account.mu.Unlock()
	if p != nil {
		p.hangUp(reason)
		return
	}
	c.finish(&jingledv1.CallEnded{Reason: string(reason.Condition), Text: reason.Text, ByPeer: e.Cause == jmi.ByPeer})
}

// end ends the call from our side. A nil reason is the one that fits: success for a conversation, cancel for a call that
// nobody has answered yet, decline for one that we do not want.
func (c *call) end(reason *jingle.Reason) {
	a := c.account
	a.mu.Lock()
	p, state, inviting := c.phone, c.state, c.inviting
	c.ending = true
	if reason == nil {
		reason = &jingle.Reason{Condition: jingle.Success}
		switch {
		case state >= jingledv1.CallState_CALL_STATE_CONNECTING:
		case c.incoming:
			reason.Condition = jingle.Decline
		default:
			reason.Condition = jingle.Cancel
		}
	}
	a.mu.Unlock()
	if p != nil {
		p.hangUp(reason) // its end is reported by callEnded
		return
	}
	if !inviting { // a session-initiate that follows the end of its proposal would ring again
		c.withdraw(reason)
	}
	c.finish(&jingledv1.CallEnded{Reason: string(reason.Condition), Text: reason.Text})
}

// withdraw ends the proposal of a call that has no session, if there is one.
func (c *call) withdraw(reason *jingle.Reason) {
	a := c.account
	a.mu.Lock()
	proposed := c.proposed
	a.mu.Unlock()
	if !proposed {
		return
	}
	if err := a.propose(func(s *jmi.Set, now time.Time) ([]jmi.Effect, error) {
		return s.End(now, keyOf(c.peer, c.sid), reason)
	}); err != nil {
		a.log.Debug("proposal", "err", err)
	}
}

// sessionEnded follows the end of the session, which ends the proposal too.
func (c *call) sessionEnded(reason *jingle.Reason, ended *jingledv1.CallEnded) {
	a := c.account
	if c.proposed {
		if err := a.propose(func(s *jmi.Set, now time.Time) ([]jmi.Effect, error) {
			if s.Get(keyOf(c.peer, c.sid)) == nil {
				return nil, nil
			}
			return s.End(now, keyOf(c.peer, c.sid), reason)
		}); err != nil {
			a.log.Debug("proposal", "err", err)
		}
	}
	c.finish(ended)
}

// finish reports the end, once.
func (c *call) finish(ended *jingledv1.CallEnded) {
	a := c.account
	a.mu.Lock()
	if c.ended {
		a.mu.Unlock()
		return
	}
	c.ended, c.ending = true, true
	ended.Successor = c.successor
	if ended.TransferredTo != "" {
		ended.TransferredTo = c.handover.to.String()
	}
	c.timer.Stop()
	delete(a.calls, sessionKey{c.peer.Bare(), c.sid})
	peer := c.peer
	a.mu.Unlock()
	if ended.GetText() == "" {
		ended.Text = c.sentence(ended)
	}
	a.log.Info("a call has ended", "sid", c.sid, "peer", peer.String(), "reason", ended.GetReason(), "by_peer", ended.GetByPeer(),
		"text", ended.GetText())
	c.closeLine()
	c.handover.failed(c, ended)
	c.keepCall(ended)
	c.publish(&jingledv1.Event{Body: &jingledv1.Event_CallEnded{CallEnded: ended}})
}

// incomingCall decides about the session-initiate of a call.
func (a *account) incomingCall(s *engine.Session, m *jingle.Message) (engine.Application, error) {
	c := a.call(s.Peer(), s.SID())
	by, replaces := a.handedOver(m)
	expected, over := false, false
	_ = a.propose(func(set *jmi.Set, _ time.Time) ([]jmi.Effect, error) {
		expected, over = set.Expects(s.Peer(), s.SID()), set.Over(keyOf(s.Peer(), s.SID()))
		if expected {
			return nil, set.Started(keyOf(s.Peer(), s.SID()))
		}
		return nil, nil
	})
	switch {
	case expected && c != nil:
		// Taken already, by proceed.
	case c != nil:
		return nil, jingle.ErrOutOfOrder("This call was not accepted.")
	case a.blocks(s.Peer()), replaces == nil && !a.admits(s.Peer(), true):
		return nil, jingle.ErrServiceUnavailable()
	case over:
		return nil, jingle.ErrOutOfOrder("This call has ended.")
	default:
		c = &call{account: a, peer: s.Peer(), sid: s.SID(), incoming: true, since: time.Now(),
			state: jingledv1.CallState_CALL_STATE_RINGING, handover: handover{by: by}}
		if replaces != nil {
			// Whom we talk with wants us to talk with this one: nobody is asked again.
			c.handover.from, c.media = replaces, again(replaces.answerWith())
		}
		for i := range m.Contents {
			_, video := mediaOf([]jingle.Payload{m.Contents[i].Description})
			c.video = c.video || video
		}
		if !a.addCall(c) {
			return nil, jingle.ErrServiceUnavailable()
		}
	}
	app, err := c.pickUp(s, m)
	if err != nil {
		c.finish(&jingledv1.CallEnded{Reason: string(jingle.FailedApplication), Text: err.Error()})
		return nil, err
	}
	if !expected {
		c.announce()
	}
	return app, nil
}
