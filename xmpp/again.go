package xmpp

import (
	"errors"
	"time"

	"github.com/jingled/jingled/xmltree"
)

// sendAgainWithin is how old a lost stream may be for what was to be said by it to be still worth saying.
const sendAgainWithin = time.Minute

// unsent is what a stream that is gone has left to be sent by the next one. The client's lock guards it.
type unsent struct {
	lost    time.Time // when the stream was; zero before the first one
	stanzas [][]byte
}

// salvage keeps what a stream that is gone has not brought to the server for sure, to be sent again by the next one
// (XEP-0198 section 5). These are messages and replies: who made a request has heard that it failed, presence is sent anew,
// and a room has to be entered again before anything can be said in it. What the server did get comes twice at worst, and the
// protocols that are spoken by messages here know each by its id. The client's lock is held.
func (c *Client) salvage(l *link, lost time.Time) {
	var keep [][]byte
	for _, text := range l.out.unacknowledged() {
		e, err := xmltree.Parse(text, xmltree.Limits{Bytes: c.cfg.Limits.Send})
		if err == nil && again(e) {
			keep = append(keep, text)
		}
	}
	c.unsent = unsent{lost: lost, stanzas: keep}
}

func again(e *xmltree.Element) bool {
	switch typ := e.Attr("type"); e.Name.Local {
	case "message":
		return typ != "groupchat"
	case "iq":
		return typ == "result" || typ == "error"
	}
	return false
}

// SendLater is [Client.Send] for a message that is still worth something a little later: while the client connects again
// after it has lost its stream, for a minute, the message is kept for the next one.
func (c *Client) SendLater(message *xmltree.Element) error {
	text, err := c.encode(message)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err = c.put(c.link, text); !errors.Is(err, ErrOffline) {
		return err
	}
	u := &c.unsent
	switch {
	case u.lost.IsZero() || c.state.State == Stopped || time.Since(u.lost) > sendAgainWithin:
		return ErrOffline
	case len(u.stanzas) >= c.cfg.Limits.Outbox:
		return ErrQueueFull
	}
	u.stanzas = append(u.stanzas, text)
	return nil
}

// sendAgain sends what is unsent, if it is not stale. The client's lock is held.
func (c *Client) sendAgain(l *link) {
	u := c.unsent
	c.unsent = unsent{}
	if time.Since(u.lost) > sendAgainWithin {
		return
	}
	for _, text := range u.stanzas {
		if err := c.checkSize(l, text); err != nil { // this server may take less than the one before
			c.log.Warn("not sent again", "err", err)
			continue
		}
		if err := l.out.put(text); err != nil {
			c.log.Warn("not sent again", "err", err)
			return
		}
	}
}
