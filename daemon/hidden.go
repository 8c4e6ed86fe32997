package daemon

import (
	"errors"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/media"
	mediacall "github.com/jingled/jingled/media/call"
)

// answerHidden answers a call that rings by a session, without the peer learning our addresses. Nothing was told of them, but they
// were gathered while it rang, so the media is made anew.
func (c *call) answerHidden(m *jingledv1.Media) error {
	return c.decide(func(u *undecided, s *engine.Session, own *mediacall.Call) {
		mc, err := mediacall.PickUp(s, u.initial, c.account.callConfig(c, m.GetIce(), false))
		if err != nil {
			reason := media.Reason(err)
			if rejected, ok := errors.AsType[*engine.Rejection](err); ok {
				reason = rejected.Reason
			}
			s.Terminate(reason)
			return
		}
		u.give(s, own, mc)
		if c.connect(mc) {
			mc.HangUp(nil)
			return
		}
		source, sink, videos, err := c.openAll(m)
		if err != nil {
			c.account.log.Info("a call cannot be taken", "sid", c.sid, "err", err)
			s.Terminate(failure{err}.reason())
			return
		}
		mc.AnswerWith(source, sink, videos...)
	})
}
