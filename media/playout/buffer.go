package playout

import (
	"cmp"
	"slices"
	"time"
)

// Buffer orders the packets of one stream and decides when each is played. Its delay is how long after the fastest
// packets sound is played: it aims at what nearly all packets make in time.
type Buffer struct {
	cfg    Config
	jitter jitter
	queue  []entry // by seq

	// The stream's numbers without their wrap, from the first packet on.
	begun     bool
	lastSeq   int64
	lastTS    int64
	playing   bool
	next      int64         // seq to be played
	time      time.Duration // media time to be played
	ahead     time.Duration // of the stream, played as Late
	quiet     bool          // what was taken last was no sound
	changed   time.Duration // when the delay was last changed
	stepLen   time.Duration // of the last packet
	lost      uint64
	discarded uint64
}

type entry struct {
	seq  int64
	time time.Duration // media time of its start
	p    Packet
}

// The decisions' constants.
const (
	firstDelay = 40 * time.Millisecond  // before anything is known of the stream
	patience   = 300 * time.Millisecond // between changes that shorten
	maxExcess  = 300 * time.Millisecond // of the delay over its aim, then packets are dropped
	giveUp     = time.Second            // without packets, then the buffer starts anew
	jumpLimit  = 5 * time.Second        // of media time: more is another stream
	seqLimit   = 1000
)

// NewBuffer returns an empty buffer.
func NewBuffer(cfg Config) *Buffer {
	cfg = cfg.withDefaults()
	return &Buffer{cfg: cfg}
}

// Push takes a packet that has arrived at the time now, which has any origin but never runs backwards. It returns false
// if the packet is of no use: a second copy, or too late.
func (b *Buffer) Push(p Packet, now time.Duration) bool {
	seq, ts := int64(p.Seq), int64(p.Timestamp)
	if b.begun {
		seq = b.lastSeq + int64(int16(p.Seq-uint16(b.lastSeq)))
		ts = b.lastTS + int64(int32(p.Timestamp-uint32(b.lastTS)))
		if jump := b.media(ts - b.lastTS); jump > jumpLimit || jump < -jumpLimit || seq-b.lastSeq > seqLimit ||
			b.lastSeq-seq > seqLimit {
			// The peer has another source now (RFC 3550 appendix A.1 restarts its statistics likewise).
			b.restart()
			b.begun = false
			seq, ts = int64(p.Seq), int64(p.Timestamp)
		}
	}
	e := entry{seq: seq, time: b.media(ts), p: p}
	if !b.begun || seq > b.lastSeq {
		b.begun, b.lastSeq, b.lastTS = true, seq, ts
	}
	if p.Duration > 0 {
		b.jitter.add(now, now-e.time)
	}
	if b.playing && seq < b.next {
		b.discarded++
		return false
	}
	i, found := slices.BinarySearchFunc(b.queue, seq, func(e entry, seq int64) int { return cmp.Compare(e.seq, seq) })
	if found {
		return false
	}
	b.queue = slices.Insert(b.queue, i, e)
	if len(b.queue) > b.cfg.Capacity {
		b.queue = slices.Delete(b.queue, 0, 1)
		b.discarded++
	}
	return true
}

func (b *Buffer) media(ts int64) time.Duration {
	return time.Duration(ts) * time.Second / time.Duration(b.cfg.ClockRate)
}

func (b *Buffer) restart() {
	b.queue = b.queue[:0]
	b.playing, b.ahead = false, 0
	b.jitter.reset()
}

// Aim is the delay that the buffer aims for.
func (b *Buffer) Aim() time.Duration {
	// One step more than the latest packet needs, as steps are taken whole.
	aim := b.jitter.aim + b.cfg.MinDelay
	if b.jitter.n < 25 {
		aim = max(aim, firstDelay)
	}
	return min(max(aim, b.cfg.MinDelay), b.cfg.MaxDelay)
}

// Delay is how long after the fastest packets' arrival sound is played, at the time now.
func (b *Buffer) Delay(now time.Duration) time.Duration {
	if !b.playing {
		return 0
	}
	return now - b.time - b.jitter.fastest()
}

// Lost and Discarded count what was substituted for good, in steps, and what came too late to be used, in packets.
func (b *Buffer) Lost() uint64 { return b.lost }

// Discarded is told with [Buffer.Lost].
func (b *Buffer) Discarded() uint64 { return b.discarded }

// Pull decides what is played at the time now. It is called whenever what was pulled before has been played.
func (b *Buffer) Pull(now time.Duration) Step {
	b.dropEvents()
	if !b.playing {
		if len(b.queue) == 0 || now-b.queue[0].time-b.jitter.fastest() < b.Aim() {
			return Step{Kind: Silence, Duration: b.step()}
		}
		b.playing, b.next, b.time, b.ahead = true, b.queue[0].seq, b.queue[0].time, 0
		b.changed = now
	}
	if len(b.queue) == 0 {
		return b.starve()
	}
	for len(b.queue) > 1 && b.Delay(now) > b.Aim()+maxExcess {
		// Nobody has pulled for a while. Shortening would take too long.
		b.next, b.time, b.ahead = b.queue[1].seq, b.queue[1].time, 0
		b.queue = slices.Delete(b.queue, 0, 1)
		b.discarded++
	}
	head := b.queue[0]
	if missing := head.time - b.time; head.seq > b.next && missing > 0 {
		if b.Delay(now) < b.Aim()-b.step() {
			return b.starve() // they are not overdue yet
		}
		// Older packets than the one at hand are due and not here. What was played as Late has stood for them already.
		if b.ahead >= missing {
			b.lost++
			return b.take(head, now)
		}
		b.lost++
		d := min(missing-b.ahead, b.step())
		b.time += b.ahead + d
		b.ahead = 0
		step := Step{Kind: Lost, Duration: d}
		if b.time == head.time {
			b.next = head.seq
			step.Next = head.p.Payload
		}
		return step
	}
	if early := b.Aim() - b.Delay(now) + head.time - b.time; head.time > b.time && early > 0 {
		// A pause in the stream (RFC 3551 section 4.1: the timestamp goes on, the sequence does not).
		d := min(head.time-b.time, b.step())
		b.time += d
		return Step{Kind: Silence, Duration: d}
	}
	return b.take(head, now)
}

// dropEvents takes packets without sound that are next in the sequence.
func (b *Buffer) dropEvents() {
	n := 0
	for n < len(b.queue) && b.queue[n].p.Duration == 0 && (!b.playing || b.queue[n].seq == b.next) {
		b.next = b.queue[n].seq + 1
		b.quiet = true
		n++
	}
	b.queue = slices.Delete(b.queue, 0, n)
}

func (b *Buffer) starve() Step {
	d := b.step()
	if b.ahead += d; b.ahead > giveUp {
		b.playing = false
		b.jitter.reset()
		return Step{Kind: Silence, Duration: d}
	}
	if b.quiet {
		return Step{Kind: Silence, Duration: d}
	}
	return Step{Kind: Late, Duration: d}
}

// take plays the head of the queue.
func (b *Buffer) take(e entry, now time.Duration) Step {
	b.queue = slices.Delete(b.queue, 0, 1)
	if e.p.Duration == 0 { // an event after a loss
		b.next, b.quiet = e.seq+1, true
		return b.Pull(now)
	}
	b.next, b.time = e.seq+1, e.time+e.p.Duration
	b.ahead, b.quiet, b.stepLen = 0, false, e.p.Duration
	return b.paced(e, now)
}

// paced plays a packet so that the delay nears its aim.
func (b *Buffer) paced(e entry, now time.Duration) Step {
	s := Step{Kind: Play, Packet: e.p, Duration: e.p.Duration}
	half := e.p.Duration / 2
	// The packet is already taken, so the delay without it is that much longer.
	delay, aim := b.Delay(now)+e.p.Duration, b.Aim()
	switch {
	case delay > aim+half+b.cfg.MinDelay && now-b.changed >= patience:
		s.Kind, b.changed = PlayShorter, now
	case delay < aim-half-b.cfg.MinDelay/2:
		s.Kind, b.changed = PlayLonger, now
	}
	return s
}

func (b *Buffer) step() time.Duration {
	if b.stepLen > 0 {
		return min(b.stepLen, 60*time.Millisecond)
	}
	return 20 * time.Millisecond
}
