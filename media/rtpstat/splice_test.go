package rtpstat

import (
	"testing"
	"time"
)

func TestSplice(t *testing.T) {
	const ms = time.Millisecond
	s := NewSplice(65534, 1000)
	for i, c := range []struct {
		source uint32
		seq    uint16
		ts     uint32
		now    time.Duration
		outSeq uint16
		outTS  uint32
	}{
		{1, 10, 5000, 0, 65534, 1000},
		{1, 11, 5160, 20 * ms, 65535, 1160},
		{1, 13, 5480, 60 * ms, 1, 1480},        // a gap stays one
		{1, 12, 5320, 61 * ms, 0, 1320},        // late
		{2, 7, 0, 160 * ms, 2, 2280},           // 100 ms after the latest timestamp
		{2, 8, 160, 180 * ms, 3, 2440},         //
		{1, 14, 99999, 180 * ms, 4, 2440},      // at once
		{1, 15, 99999 + 80, 190 * ms, 5, 2520}, //
	} {
		seq, ts := s.Packet(c.source, c.seq, c.ts, 8000, c.now)
		if seq != c.outSeq || ts != c.outTS {
			t.Errorf("packet %d: got %d, %d, want %d, %d", i, seq, ts, c.outSeq, c.outTS)
		}
	}
}
