package rtpstat

import "time"

// Splice makes one RTP stream of several that take turns: sequence numbers go on without a gap, and timestamps go on as
// time does. Within one source gaps and order stay as they are. The zero value begins at sequence number 1 and timestamp 0.
type Splice struct {
	begun    bool
	source   uint32
	shiftSeq uint16
	shiftTS  uint32
	seq      uint16 // the highest that was given out
	ts       uint32
	at       time.Duration // when ts was
}

// NewSplice returns a splice whose first packet has these numbers.
func NewSplice(seq uint16, timestamp uint32) *Splice {
	return &Splice{seq: seq - 1, ts: timestamp}
}

// Packet returns the numbers of a packet of a source, which has them so itself, at the time now of any origin. clock is
// that of its timestamps in Hz.
func (s *Splice) Packet(source uint32, seq uint16, timestamp uint32, clock int, now time.Duration) (uint16, uint32) {
	if !s.begun || source != s.source {
		next := s.ts
		if s.begun {
			next += uint32(max(now-s.at, 0) * time.Duration(clock) / time.Second)
		}
		s.shiftSeq, s.shiftTS = s.seq+1-seq, next-timestamp
		s.begun, s.source, s.ts, s.at = true, source, next, now
	}
	seq, timestamp = seq+s.shiftSeq, timestamp+s.shiftTS
	if int16(seq-s.seq) > 0 {
		s.seq = seq
	}
	if int32(timestamp-s.ts) > 0 {
		s.ts, s.at = timestamp, now
	}
	return seq, timestamp
}
