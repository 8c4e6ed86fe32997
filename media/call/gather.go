package call

import (
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/media"
)

// whenGathered runs f on the session's goroutine, or dropped if the session is over. With raw UDP, whose one candidate has
// to stand in the answer (XEP-0177 section 4.3), it waits for that, though not for long.
func (c *Call) whenGathered(f, dropped func()) {
	c.post(func() {
		if c.offer == nil || c.gathered || media.OfferedIn(c.offer.Contents, c.offer.Groups).Transport != ice.NSRawUDP {
			f()
			return
		}
		c.waiting = append(c.waiting, f)
		c.after(gatherLimit, c.gatheredOnce)
	}, dropped)
}

// gatheredOnce goes on with what has waited for the candidates.
func (c *Call) gatheredOnce() {
	c.gathered = true
	waiting := c.waiting
	c.waiting = nil
	for _, f := range waiting {
		f()
	}
}
