package ibb

import "time"

// SkipForTest makes a stream go on as if n blocks had been sent and received.
func SkipForTest(s *Stream, n uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sendSeq, s.recvSeq = n, n
}

// Pace is pace.
type Pace struct{ p pace }

// NewPace returns the pace of a new stream.
func NewPace(block, blocks int) *Pace { return &Pace{newPace(block, blocks)} }

// Next sends a block if one may go and returns its size, otherwise 0.
func (p *Pace) Next() int {
	n := p.p.next()
	p.p.inFlight += n
	return n
}

// Answered is pace.answered.
func (p *Pace) Answered(n int, sent, now time.Time) { p.p.answered(n, sent, now) }
