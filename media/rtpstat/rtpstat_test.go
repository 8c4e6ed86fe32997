package rtpstat

import (
	"math"
	"testing"
	"time"
)

const ms = time.Millisecond

func TestLossAndJitter(t *testing.T) {
	r := NewReceiver(8000)
	if _, ok := r.Report(0); ok {
		t.Error("a report about nothing")
	}
	// 100 packets over the wrap, every tenth lost, every second one 5 ms late.
	for i := range 100 {
		if i%10 == 9 && i != 99 {
			continue
		}
		at := time.Duration(i) * 20 * ms
		if i%2 == 1 {
			at += 5 * ms
		}
		r.Packet(uint16(65500+i), uint32(0xfffffff0+i*160), 160, true, at)
	}
	if r.Received() != 91 || r.Lost() != 9 || r.Bytes() != 91*160 {
		t.Errorf("received %d, lost %d, %d bytes", r.Received(), r.Lost(), r.Bytes())
	}
	if j := r.Jitter(); j < 4*ms || j > 5*ms {
		t.Errorf("jitter is %v, want nearly 5 ms", j)
	}
	r.SenderReport(0x0102030405060708, 2*time.Second)
	rep, ok := r.Report(3500 * ms)
	if !ok || rep.FractionLost != 9*256/100 || rep.TotalLost != 9 || rep.HighestSeq != 65599 ||
		rep.LastSR != 0x03040506 || rep.Delay != 65536*3/2 {
		t.Errorf("%+v, %v", rep, ok)
	}
	// Since the last report nothing more was lost.
	r.Packet(64, 100*160-16, 160, true, 2*time.Second)
	if rep, _ = r.Report(4 * time.Second); rep.FractionLost != 0 {
		t.Errorf("%+v", rep)
	}
}

func TestReorderingAndCopiesAreNoLoss(t *testing.T) {
	r := NewReceiver(48000)
	for _, seq := range []uint16{5, 7, 6, 8, 8, 9} {
		r.Packet(seq, uint32(seq)*960, 10, true, time.Duration(seq)*20*ms)
	}
	if r.Lost() != 0 {
		t.Errorf("lost %d", r.Lost())
	}
}

func TestEventsDoNotCountAsJitter(t *testing.T) {
	r := NewReceiver(8000)
	for i := range 50 {
		ts, timed := uint32(i*160), true
		if i >= 20 && i < 30 {
			ts, timed = 20*160, false
		}
		r.Packet(uint16(i), ts, 4, timed, time.Duration(i)*20*ms)
	}
	if r.Jitter() != 0 || r.Lost() != 0 {
		t.Errorf("jitter %v, lost %d", r.Jitter(), r.Lost())
	}
}

func TestRestartedStreamIsNoLoss(t *testing.T) {
	r := NewReceiver(8000)
	for i := range 10 {
		r.Packet(uint16(i), 0, 1, false, 0)
	}
	for i := range 10 {
		r.Packet(uint16(30000+i), 0, 1, false, 0)
	}
	if r.Lost() != 0 || r.Received() != 20 {
		t.Errorf("received %d, lost %d", r.Received(), r.Lost())
	}
}

func TestRoundTrip(t *testing.T) {
	start := time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.UTC)
	sr := NTP(start)
	if s := sr >> 32; s != uint64(start.Unix())+2208988800 {
		t.Errorf("NTP seconds are %d", s)
	}
	rtt, ok := RoundTrip(uint32(sr>>16), 65536/2, NTP(start.Add(580*ms)))
	if !ok || (rtt-80*ms).Abs() > ms {
		t.Errorf("%v, %v", rtt, ok)
	}
	for _, c := range []struct {
		lsr, delay uint32
		at         time.Time
	}{
		{0, 0, start}, {uint32(sr >> 16), 65536, start}, {uint32(sr >> 16), 0, start.Add(time.Hour)},
	} {
		if rtt, ok := RoundTrip(c.lsr, c.delay, NTP(c.at)); ok {
			t.Errorf("%+v: %v", c, rtt)
		}
	}
}

// The first four are of G.107 annex B, where R 93.2 is MOS 4.41, R 80 is 4.03, R 70 is 3.60 and R 50 is 2.58; the others
// pin what the simplification makes of delay and loss.
func TestMOS(t *testing.T) {
	for _, c := range []struct {
		delay        time.Duration
		loss, ie, bp float64
		want         float64
	}{
		{0, 0, 0, 25, 4.41}, {0, 0, 13.2, 25, 4.03}, {0, 0, 23.2, 25, 3.60}, {0, 0, 43.2, 25, 2.58},
		{150 * ms, 0, 0, 25.1, 4.34}, {400 * ms, 0, 0, 25.1, 3.05}, {0, 0.05, 0, 25.1, 3.93}, {0, 1, 0, 1, 1},
	} {
		if got := MOS(c.delay, c.loss, c.ie, c.bp); math.Abs(got-c.want) > 0.06 {
			t.Errorf("%+v: %.2f", c, got)
		}
	}
	last := 5.0
	for d := time.Duration(0); d < 2*time.Second; d += 10 * ms {
		m := MOS(d, 0.02, 0, 25)
		if m > last || m < 1 {
			t.Fatalf("%v: %.3f after %.3f", d, m, last)
		}
		last = m
	}
}
