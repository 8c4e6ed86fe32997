package call

import (
	"errors"
	"time"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/media"
)

const (
	// restartPatience is how long a restart may take before another one is begun.
	restartPatience = 5 * time.Second
	// restartCourtesy is how much longer the responder waits than the initiator, as both notice a dead path at about the
	// same time, and the initiator's restart goes first.
	restartCourtesy = 300 * time.Millisecond
)

// NetworkChanged says that this machine's addresses have changed: another path is looked for at once, while the one in use
// goes on as long as it lasts.
func (c *Call) NetworkChanged() { c.s.Post(c.restart) }

// pathDied looks for another path, and again until something arrives or ICE gives up.
func (c *Call) pathDied() {
	if c.s.Role() == jingle.Responder {
		c.after(restartCourtesy, c.restartUnlessTried)
		return
	}
	c.restartUnlessTried()
}

func (c *Call) restartUnlessTried() {
	if !c.disturbed || c.s.State() == jingle.Done {
		return
	}
	if time.Since(c.restarted) >= restartPatience {
		c.restart()
	}
	c.after(restartPatience, c.restartUnlessTried)
}

func (c *Call) after(d time.Duration, f func()) { time.AfterFunc(d, func() { c.s.Post(f) }) }

// restart tells the peer of all contents in one transport-info, as Conversations wants it.
func (c *Call) restart() {
	if !c.answered || c.s.State() == jingle.Done {
		return
	}
	contents, err := c.media.Restart()
	if err != nil {
		c.log.Debug("restarting ICE", "err", err)
		return
	}
	c.restarted = time.Now()
	c.do(&jingle.Message{Action: jingle.TransportInfo, Contents: contents})
}

// refused follows an error to something that we have sent: Monal refuses restarts so.
func (c *Call) refused(ev jingle.RequestFailed) {
	if ev.Message.Action == jingle.ContentModify {
		c.modifyRefused(ev)
		return
	}
	if ev.Message.Action == jingle.ContentAdd {
		c.addRefused(ev)
		return
	}
	c.keyRefused(ev)
	var se *jingle.StanzaError
	if ev.Message.Action != jingle.TransportInfo || errors.As(ev.Err, &se) && se.HasApp("tie-break") {
		return // the peer's restart takes the place of ours
	}
	for _, content := range ev.Message.Contents {
		c.media.GiveUp(content)
	}
}

// restartError makes an answer to a transport-info that restarts ICE out of the error.
func restartError(err error) error {
	switch {
	case errors.Is(err, media.ErrRestartTieBreak):
		return jingle.ErrTieBreak("A restart of ICE from here is under way, and the initiator's goes first.")
	case errors.Is(err, media.ErrRestart):
		return jingle.ErrOutOfOrder("There is no connection yet that ICE could be restarted for.")
	case errors.Is(err, media.ErrTooManyRestarts):
		return jingle.ErrResourceConstraint("ICE is restarted too often.")
	case errors.Is(err, media.ErrNewFingerprint):
		return &jingle.StanzaError{Type: "modify", Condition: "not-acceptable", Text: "The certificate cannot change when ICE is restarted."}
	}
	return err
}
