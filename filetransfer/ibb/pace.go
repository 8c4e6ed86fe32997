package ibb

import "time"

// Servers hold people to rates: Debian's Prosody to 10 kB/s, its ejabberd to 3 kB/s. What is sent beyond that waits in queues
// that everything else of the account has to pass, messages, calls and the server's pings too, until something times
// out. So the window follows how long the answers take.
const (
	// leastWindow is what may be on its way at first and at worst, in bytes: a block of the recommended size.
	leastWindow = DefaultBlockSize
	// While blocks wait less than quick in queues the window grows, and when they wait more than slow it shrinks.
	quick = 200 * time.Millisecond
	slow  = 600 * time.Millisecond
	// Where an answer may come as fast as near, one block at a time is the fastest. A server with Nagle's algorithm on, as
	// Prosody's is, holds the end of a large stanza back until what it wrote before is acknowledged. With a block alone on its
	// way that is at once; with several the answers took 45 ms in place of 2.
	near = 5 * time.Millisecond
)

// pace says how much may be on its way without an answer.
type pace struct {
	block, most int // bytes of a block, and of the window

	window   int
	inFlight int           // bytes
	least    time.Duration // that an answer took, 0 at first: the way without queues
	cut      time.Time     // when the window shrank last
}

func newPace(block, blocks int) pace {
	return pace{block: block, most: block * blocks, window: min(block*blocks, leastWindow)}
}

// next returns how large the next block may be, 0 if it has to wait. First blocks become larger, then more.
func (p *pace) next() int {
	n := min(p.block, p.window)
	if p.inFlight > 0 && p.inFlight+n > p.window {
		return 0
	}
	return n
}

// answered tells of the answer to n bytes that were sent at a time.
func (p *pace) answered(n int, sent, now time.Time) {
	p.inFlight -= n
	took := now.Sub(sent)
	if p.least == 0 || took < p.least {
		p.least = took
	}
	switch waited := took - p.least; {
	case waited < quick:
		if p.window += n; p.least < near {
			p.window = min(p.window, p.block)
		}
		p.window = min(p.window, p.most)
	case waited > slow && sent.After(p.cut):
		p.window = max(p.window/2, min(leastWindow, p.most))
		p.cut = now
	}
}
