// Package impair makes a network worse, for tests: it loses, delays, doubles and reorders packets, and is slow.
//
// [Line] decides what becomes of each packet, as a function of its seed and of the packets it is told of. [Pump] carries
// packets between two devices by what lines decide.
package impair

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Link says what one direction of a network does to packets. The zero value does nothing. Shares are from 0 to 1.
type Link struct {
	// Delay is how long every packet takes.
	Delay time.Duration
	// Jitter is how much longer some take; all values up to it are as likely. Packets stay in order.
	Jitter time.Duration
	// Loss is the share of packets that is lost, by chance.
	Loss float64
	// LoseEach loses each third packet if it is 3, and none if it is 0.
	LoseEach int
	// Late is the share of packets that comes behind those that were sent up to LateBy after them.
	Late   float64
	LateBy time.Duration
	// Double is the share of packets that comes twice.
	Double float64
	// Rate is how many bytes pass in a second; 0 is no limit. What comes faster waits; what would wait for longer than
	// Queue is lost. If that is 0 it is 200 ms.
	Rate  int
	Queue time.Duration
}

// Validate says what is wrong with a link.
func (l Link) Validate() error {
	for _, share := range []float64{l.Loss, l.Late, l.Double} {
		if !(share >= 0 && share <= 1) {
			return fmt.Errorf("impair: a share of %v is not between 0 and 1", share)
		}
	}
	for _, d := range []time.Duration{l.Delay, l.Jitter, l.LateBy, l.Queue} {
		if d < 0 {
			return fmt.Errorf("impair: a time of %v", d)
		}
	}
	if l.LoseEach < 0 || l.Rate < 0 {
		return fmt.Errorf("impair: lose each %d, rate %d", l.LoseEach, l.Rate)
	}
	return nil
}

const defaultQueue = 200 * time.Millisecond

// Counts says what became of the packets that a line was told of.
type Counts struct{ Packets, Lost, Late, Doubled int }

// Line is one direction of a network. It has no clock and is for one goroutine.
type Line struct {
	link   Link
	chance *rand.Rand
	count  Counts
	since  int       // packets since the last change of the link, for LoseEach
	free   time.Time // when what has been sent has left, at Link.Rate
	last   time.Time // when the last packet that was not late arrives
}

// New makes a line. Lines of the same seed decide alike.
func New(link Link, seed uint64) (*Line, error) {
	if err := link.Validate(); err != nil {
		return nil, err
	}
	return &Line{link: link, chance: rand.New(rand.NewPCG(seed, seed))}, nil
}

// Change makes the line another one for what comes from now on.
func (l *Line) Change(link Link) error {
	if err := link.Validate(); err != nil {
		return err
	}
	l.link, l.since = link, 0
	return nil
}

// Counts returns what became of packets until now.
func (l *Line) Counts() Counts { return l.count }

// Take decides on a packet of some bytes that is sent now, and appends when it arrives to at: not at all if it is lost, and
// twice if it is doubled.
func (l *Line) Take(now time.Time, bytes int, at []time.Time) []time.Time {
	l.count.Packets++
	l.since++
	k := l.link
	// Each packet draws the same lots, so that a change of one share does not change who wins the others.
	lost, late, doubled := l.chance.Float64() < k.Loss, l.chance.Float64() < k.Late, l.chance.Float64() < k.Double
	jitter := time.Duration(l.chance.Float64() * float64(k.Jitter))
	if k.LoseEach > 0 && l.since%k.LoseEach == 0 {
		lost = true
	}
	sent := now
	if k.Rate > 0 && !lost {
		queue := k.Queue
		if queue == 0 {
			queue = defaultQueue
		}
		if l.free.After(sent) {
			sent = l.free
		}
		if sent.Sub(now) > queue {
			lost = true
		} else {
			sent = sent.Add(time.Duration(float64(bytes) / float64(k.Rate) * float64(time.Second)))
			l.free = sent
		}
	}
	if lost {
		l.count.Lost++
		return at
	}
	arrival := sent.Add(k.Delay + jitter)
	if arrival.Before(l.last) {
		arrival = l.last
	}
	if late {
		l.count.Late++
		arrival = arrival.Add(k.LateBy)
	} else {
		l.last = arrival
	}
	at = append(at, arrival)
	if doubled {
		l.count.Doubled++
		at = append(at, arrival)
	}
	return at
}
