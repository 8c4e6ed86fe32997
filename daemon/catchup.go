package daemon

import (
	"errors"
	"time"

	"github.com/jingled/jingled/jingle/jmi"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
)

// lateness is how long a proposal that was delayed on its way does not ring: what came after it comes within that time.
const lateness = time.Second

// catchUp keeps proposals from ringing until all has come that was sent while we were away, by offline storage or with
// the resumed stream: what was proposed and withdrawn meanwhile does not ring at all. Most servers have sent that before
// they answer what they are asked afterwards.
func (a *account) catchUp() {
	a.catching(1)
	a.client.Request("", "get", xmltree.New(nsPing, "ping"), 0, func(*xmltree.Element, error) { a.catching(-1) })
}

// late is catchUp for a message that was delayed. Servers such as ejabberd send what they have stored in their own time.
func (a *account) late() {
	a.catching(1)
	time.AfterFunc(lateness, func() { a.catching(-1) })
}

// catching counts the reasons to wait.
func (a *account) catching(more int) {
	a.mu.Lock()
	a.waits += more
	going := a.waits > 0
	a.mu.Unlock()
	err := a.propose(func(s *jmi.Set, now time.Time) ([]jmi.Effect, error) { return s.CatchUp(now, going), nil })
	if err != nil && !errors.Is(err, xmpp.ErrOffline) {
		a.log.Debug("proposals", "err", err)
	}
}
