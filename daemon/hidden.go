package daemon

import (
	"errors"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/media"
	mediacall "github.com/jingled/jingled/media/call"
)

// answerHidden answers a call that rings by a session, without the peer learning our addresses. Nothing was told of them, but they
// were gathered while it rang, so the media is made anew.
func (c *call) answerHidden(m *jingledv1.Media) error {
	c.account.mu.Lock()
	u, p := c.host.ringing, c.phone
	c.account.mu.Unlock()
	own, ok := p.media.(*mediacall.Call)
	if u == nil || !ok {
		return connect.NewError(connect.CodeFailedPrecondition, errors.New("this call does not ring here"))
	}
	s := own.Session()
	s.Post(func() { u.hide(s, own, m) })
	return nil
}

// hide gives the session to media that use relays only.
func (u *undecided) hide(s *engine.Session, own *mediacall.Call, m *jingledv1.Media) {
	if u.decided || s.State() == jingle.Done {
		return
	}
	u.decided = true
	mc, err := mediacall.PickUp(s, u.initial, u.call.account.callConfig(u.call, m.GetIce(), false))
	if err != nil {
		var rejected *engine.Rejection
		reason := media.Reason(err)
		if errors.As(err, &rejected) {
			reason = rejected.Reason
		}
		s.Terminate(reason)
		return
	}
	own.Abandon()
	u.Application = mc
	for _, info := range u.seen {
		_ = mc.Handle(s, info) // it was answered then
	}
	if u.call.connect(mc) {
		mc.HangUp(nil)
		return
	}
	source, sink, videos, err := u.call.openAll(m)
	if err != nil {
		s.Terminate(&jingle.Reason{Condition: jingle.FailedApplication, Text: err.Error()})
		return
	}
	mc.AnswerWith(source, sink, videos...)
}
