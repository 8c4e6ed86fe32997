package video

import (
	"time"

	"github.com/pion/rtp"
)

const (
	// maxLate is how many packets are kept for one that is missing, or for the end of a frame; it divides 65536.
	maxLate = 512
	// patience is how long, by the sender's clock, so that what is sent again still counts.
	patience = 500 * time.Millisecond
)

// assembler makes frames of the packets of one source, in the order of their numbers. A number that is missing may be that of
// padding, which nobody sends again: what comes after it is kept, and is given once patience is over.
type assembler struct {
	codec  *Codec
	heads  rtp.Depacketizer // to be asked for the first packets of frames alone
	slots  [maxLate]slot    // by number
	begun  bool
	next   uint16 // to be given
	end    uint16 // after the last that has come
	newest uint32 // of the timestamps
	broken bool   // a part of the frame of the timestamp lost is missing
	lost   uint32
}

type slot struct {
	there bool
	seq   uint16
	p     Packet
}

func newAssembler(c *Codec) *assembler { return &assembler{codec: c, heads: c.frames()} }

func (a *assembler) at(seq uint16) *slot {
	if s := &a.slots[seq%maxLate]; s.there && s.seq == seq {
		return s
	}
	return nil
}

// push takes a packet, whose payload it copies, and gives the frames that can be given now.
func (a *assembler) push(seq uint16, p Packet, give func(frame []byte, timestamp uint32)) {
	if !a.begun {
		a.begun, a.next, a.end, a.newest = true, seq, seq, p.Timestamp
	}
	if int16(seq-a.next) < 0 {
		return
	}
	for seq-a.next >= maxLate && a.step(true, give) {
	}
	if seq-a.next >= maxLate {
		a.next, a.end = seq, seq
	}
	p.Payload = append([]byte(nil), p.Payload...)
	a.slots[seq%maxLate] = slot{true, seq, p}
	if int16(seq-a.end) >= 0 {
		a.end = seq + 1
	}
	if int32(p.Timestamp-a.newest) > 0 {
		a.newest = p.Timestamp
	}
	for a.step(false, give) {
	}
}

// flush gives what is left and whole.
func (a *assembler) flush(give func(frame []byte, timestamp uint32)) {
	for a.step(true, give) {
	}
}

// step goes on by a packet or a frame. It reports false at the end, and where it waits for what is missing, unless it must go on.
func (a *assembler) step(must bool, give func(frame []byte, timestamp uint32)) bool {
	s := a.at(a.next)
	switch {
	case a.next == a.end:
		return false
	case s == nil:
		if !must && !a.late() {
			return false
		}
		a.skip(1)
	case len(s.p.Payload) == 0, a.broken && s.p.Timestamp == a.lost, !a.heads.IsPartitionHead(s.p.Payload):
		a.skip(1)
	default:
		if n := a.whole(); n > 0 {
			if frame := a.join(n); frame != nil {
				give(frame, s.p.Timestamp)
			}
			a.skip(n)
			break
		}
		if !must && !a.late() {
			return false
		}
		a.broken, a.lost = true, s.p.Timestamp
		a.skip(1)
	}
	return true
}

func (a *assembler) skip(n uint16) {
	for range n {
		if s := a.at(a.next); s != nil {
			*s = slot{}
		}
		a.next++
	}
}

// late reports whether the oldest packet has waited long enough.
func (a *assembler) late() bool {
	for seq := a.next; seq != a.end; seq++ {
		if s := a.at(seq); s != nil {
			return time.Duration(int32(a.newest-s.p.Timestamp))*time.Second/ClockRate > patience
		}
	}
	return false
}

// whole returns how many packets the frame at next has, and 0 while some are missing: it ends with the marker, or before
// another timestamp.
func (a *assembler) whole() (n uint16) {
	timestamp := a.at(a.next).p.Timestamp
	for seq := a.next; seq != a.end; seq++ {
		s := a.at(seq)
		switch {
		case s == nil:
			return 0
		case s.p.Timestamp != timestamp:
			return seq - a.next
		case s.p.Marker:
			return seq - a.next + 1
		}
	}
	return 0
}

// join returns the frame of n packets at next, or nil if they are none. Nothing of one is left for the next.
func (a *assembler) join(n uint16) []byte {
	frames, frame := a.codec.frames(), []byte(nil)
	for i := range n {
		p := a.at(a.next + i).p
		if len(p.Payload) == 0 {
			continue
		}
		data, err := frames.Unmarshal(p.Payload)
		if err != nil {
			return nil
		}
		frame = append(frame, data...)
	}
	return frame
}
