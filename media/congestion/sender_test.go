package congestion

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
)

// path is a link with a queue and losses, in time that is only counted.
type path struct {
	t       *testing.T
	s       *Sender
	rec     *twcc.Recorder
	now     time.Duration
	free    time.Duration // when the link has sent all that waits
	backlog []delivery
	back    []delivery
	random  *rand.Rand
	sent    float64 // bits that are due
	offset  time.Duration
}

type delivery struct {
	at  time.Duration
	seq uint16
	fb  []rtcp.Packet
}

func newPath(t *testing.T) *path {
	return &path{
		t: t, s: NewSender(Config{Start: 1_000_000, Min: 100_000, Max: 4_000_000}), rec: twcc.NewRecorder(1),
		random: rand.New(rand.NewPCG(1, 2)), offset: 100 * time.Hour,
	}
}

// run has a source that follows the estimate, up to most, send for so long over a link of bps with this much loss; jitter is what
// other traffic adds to the 20 ms there. A queue holds 300 ms.
func (p *path) run(d time.Duration, bps float64, loss float64, jitter time.Duration, most float64) (estimate int) {
	p.t.Helper()
	const step = time.Millisecond
	const size = 1000
	for end := p.now + d; p.now < end; p.now += step {
		rate, _ := p.s.Bitrate()
		p.sent += min(float64(rate), most) * step.Seconds()
		for p.sent >= size*8 {
			p.sent -= size * 8
			seq := p.s.Sent(p.now, size)
			p.free = max(p.free, p.now) + time.Duration(size*8/bps*float64(time.Second))
			if p.free-p.now > 300*time.Millisecond || p.random.Float64() < loss {
				if p.free-p.now > 300*time.Millisecond {
					p.free -= time.Duration(size * 8 / bps * float64(time.Second))
				}
				continue
			}
			at := p.free + 20*time.Millisecond
			if jitter > 0 {
				at += time.Duration(p.random.Int64N(int64(jitter)))
			}
			p.backlog = append(p.backlog, delivery{at: at, seq: seq})
		}
		keep := p.backlog[:0]
		for _, b := range p.backlog {
			if b.at > p.now {
				keep = append(keep, b)
				continue
			}
			p.rec.Record(2, b.seq, (b.at + p.offset).Microseconds())
		}
		p.backlog = keep
		if p.now%(100*step) == 0 {
			p.back = append(p.back, delivery{at: p.now + 20*time.Millisecond, fb: p.rec.BuildFeedbackPacket()})
		}
		for len(p.back) > 0 && p.back[0].at <= p.now {
			for _, f := range p.back[0].fb {
				b, err := f.Marshal()
				if err != nil {
					p.t.Fatal(err)
				}
				var cc rtcp.TransportLayerCC
				if err := cc.Unmarshal(b); err != nil {
					p.t.Fatal(err)
				}
				p.s.Feedback(p.now, &cc)
			}
			p.back = p.back[1:]
		}
	}
	estimate, known := p.s.Bitrate()
	if !known {
		p.t.Fatal("nothing is known")
	}
	return estimate
}

const wide = 1e9

func TestEstimateFollowsTheLink(t *testing.T) {
	for name, offset := range map[string]time.Duration{"any clock": 100 * time.Hour, "a clock that comes round": 64*time.Millisecond<<24 - 10*time.Second} {
		t.Run(name, func(t *testing.T) {
			p := newPath(t)
			p.offset = offset
			if got := p.run(20*time.Second, 2e6, 0, 0, wide); got < 1_200_000 || got > 2_300_000 {
				t.Errorf("over 2 Mbit/s it is %d", got)
			}
			if got := p.run(5*time.Second, 500e3, 0, 0, wide); got < 250_000 || got > 600_000 {
				t.Errorf("over 500 kbit/s it is %d", got)
			}
			if got := p.run(15*time.Second, 500e3, 0, 0, wide); got < 300_000 || got > 600_000 {
				t.Errorf("after a while it is %d", got)
			}
			if got := p.run(30*time.Second, 2e6, 0, 0, wide); got < 1_000_000 || got > 2_300_000 {
				t.Errorf("over 2 Mbit/s again it is %d", got)
			}
		})
	}
}

func TestLossesLowerTheEstimate(t *testing.T) {
	p := newPath(t)
	before := p.run(10*time.Second, wide, 0, 0, wide)
	low := p.run(10*time.Second, wide, 0.25, 0, wide)
	if low > before/2 {
		t.Errorf("from %d to %d", before, low)
	}
	if got := p.run(10*time.Second, wide, 0.01, 0, wide); got < low*3/2 {
		t.Errorf("from %d to %d with next to no loss", low, got)
	}
}

func TestVaryingDelayIsNoOveruse(t *testing.T) {
	p := newPath(t)
	if got := p.run(20*time.Second, 20e6, 0, 8*time.Millisecond, wide); got < 1_000_000 {
		t.Errorf("it is %d", got)
	}
}

func TestWhoSendsLittleLearnsLittle(t *testing.T) {
	p := newPath(t)
	if got := p.run(60*time.Second, wide, 0, 0, 300e3); got < 900_000 || got > 1_100_000 {
		t.Errorf("a source of 300 kbit/s makes %d of 1 Mbit/s", got)
	}
	p.now += 10 * time.Second // a pause
	if got := p.run(2*time.Second, wide, 0, 0, 300e3); got < 900_000 {
		t.Errorf("after a pause it is %d", got)
	}
}

func TestNothingIsKnownBeforeFeedback(t *testing.T) {
	s := NewSender(Config{Start: 1_000_000, Min: 100_000, Max: 4_000_000})
	s.Feedback(0, &rtcp.TransportLayerCC{PacketStatusCount: 3, PacketChunks: []rtcp.PacketStatusChunk{
		&rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketReceivedSmallDelta, RunLength: 3},
	}, RecvDeltas: []*rtcp.RecvDelta{{Delta: 1}}})
	if got, known := s.Bitrate(); got != 1_000_000 || known {
		t.Errorf("%d, %v", got, known)
	}
}

// FuzzFeedback has any feedback leave the estimate within its bounds.
func FuzzFeedback(f *testing.F) {
	p := newPathFor(f)
	for range 50 {
		p.s.Sent(0, 1000)
		p.rec.Record(2, p.s.next-1, 1000)
	}
	for _, fb := range p.rec.BuildFeedbackPacket() {
		b, err := fb.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var cc rtcp.TransportLayerCC
		if cc.Unmarshal(b) != nil {
			return
		}
		s := NewSender(Config{Start: 1_000_000, Min: 100_000, Max: 4_000_000})
		for i := range 3000 {
			s.Sent(time.Duration(i)*time.Millisecond, 1000)
		}
		for i := range 3 {
			s.Feedback(time.Duration(i)*time.Second, &cc)
		}
		if got, _ := s.Bitrate(); got < 100_000 || got > 4_000_000 {
			t.Errorf("it is %d", got)
		}
	})
}

func newPathFor(testing.TB) *path {
	return &path{s: NewSender(Config{Start: 1_000_000, Min: 100_000, Max: 4_000_000}), rec: twcc.NewRecorder(1)}
}
