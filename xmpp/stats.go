package xmpp

import (
	"sync/atomic"
	"time"
)

// Stats counts what has happened since [New].
type Stats struct {
	Connected uint64 // logins
	In, Out   uint64 // stanzas taken and queued to be sent

	Malformed  uint64 // stanzas dropped: not parsable, no usable sender, too deep
	Oversize   uint64 // stanzas dropped: over [Limits].Stanza
	Overflow   uint64 // stanzas dropped or requests refused: no room in the inbox, too many unanswered
	Forged     uint64 // forwarded messages dropped that the own account had not made
	Blocked    uint64 // stanzas dropped or requests refused: their sender is blocked
	Unmatched  uint64 // replies dropped: unknown id, or not from whom was asked
	Unanswered uint64 // requests of others that no handler answered in time
	Panics     uint64 // in handlers

	Longest time.Duration // for which a handler has held the others up
}

type counters struct {
	connected, in, out                               atomic.Uint64
	malformed, oversize, overflow, forged, unmatched atomic.Uint64
	unanswered, panics, blocked                      atomic.Uint64
	longest                                          atomic.Int64 // of a handler, in nanoseconds
}

// Stats returns the counters.
func (c *Client) Stats() Stats {
	s := &c.stats
	return Stats{
		Connected: s.connected.Load(), In: s.in.Load(), Out: s.out.Load(),
		Malformed: s.malformed.Load(), Oversize: s.oversize.Load(), Overflow: s.overflow.Load(), Forged: s.forged.Load(),
		Unmatched: s.unmatched.Load(), Unanswered: s.unanswered.Load(), Blocked: s.blocked.Load(), Panics: s.panics.Load(),
		Longest: time.Duration(s.longest.Load()),
	}
}
