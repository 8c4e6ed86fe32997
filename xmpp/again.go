package xmpp

import (
	"time"

	"github.com/jingled/jingled/xmltree"
)

// sendAgainWithin is how old a lost connection may be for what was said by it to be still worth saying.
const sendAgainWithin = time.Minute

// salvage keeps what a stream that is gone has not brought to the server for sure, to be sent again by the next one
// (XEP-0198 section 5). These are messages and replies: who made a request has heard that it failed, presence is sent anew,
// and a room has to be entered again before anything can be said in it. What the server did get comes twice at worst, and the
// protocols that are spoken by messages here know each by its id.
func (c *Client) salvage(l *link) {
	var keep [][]byte
	for _, text := range l.out.unacknowledged() {
		e, err := xmltree.Parse(text, xmltree.Limits{Bytes: c.cfg.Limits.Send})
		if err != nil {
			continue
		}
		switch typ := e.Attr("type"); e.Name.Local {
		case "message":
			if typ != "groupchat" {
				keep = append(keep, text)
			}
		case "iq":
			if typ == "result" || typ == "error" {
				keep = append(keep, text)
			}
		}
	}
	if c.unsent = append(c.unsent, keep...); len(c.unsent) > c.cfg.Limits.Outbox {
		c.unsent = c.unsent[len(c.unsent)-c.cfg.Limits.Outbox:]
	}
}

// sendAgain sends what was salvaged, if it is not stale.
func (c *Client) sendAgain(l *link) {
	unsent := c.unsent
	c.unsent = nil
	if time.Since(c.lostAt) > sendAgainWithin {
		return
	}
	for _, text := range unsent {
		if err := l.out.put(text); err != nil {
			c.log.Warn("not sent again", "err", err)
			return
		}
	}
}
