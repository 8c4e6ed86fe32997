package daemon

import (
	"errors"
	"time"

	"github.com/jingled/jingled/jingle/jmi"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
)

// catchUp keeps proposals from ringing until all has come that was sent while we were away, by offline storage or with
// the resumed stream: what was proposed and withdrawn meanwhile does not ring at all. A server has sent that before it
// answers what it is asked afterwards.
func (a *account) catchUp() {
	set := func(going bool) {
		err := a.propose(func(s *jmi.Set, now time.Time) ([]jmi.Effect, error) { return s.CatchUp(now, going), nil })
		if err != nil {
			a.log.Debug("proposals", "err", err)
		}
	}
	set(true)
	a.client.Request("", "get", xmltree.New(nsPing, "ping"), 0, func(_ *xmltree.Element, err error) {
		if !errors.Is(err, xmpp.ErrOffline) { // otherwise the next connection does it
			set(false)
		}
	})
}
