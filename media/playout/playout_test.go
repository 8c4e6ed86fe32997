package playout

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/media/audio"
)

const (
	ms    = time.Millisecond
	frame = 20 * ms
)

// arrival is a packet on its way.
type arrival struct {
	at time.Duration
	p  Packet
}

// stream makes n packets of 20 ms, 100 ms after now = 0; network tells each one's transit, or less than 0 for lost.
func stream(n int, seq0 uint16, ts0 uint32, network func(i int) time.Duration) []arrival {
	var as []arrival
	for i := range n {
		if d := network(i); d >= 0 {
			as = append(as, arrival{100*ms + time.Duration(i)*frame + d, Packet{
				Seq: seq0 + uint16(i), Timestamp: ts0 + uint32(i*960), Duration: frame, Payload: []byte{byte(i), byte(i >> 8)},
			}})
		}
	}
	slices.SortStableFunc(as, func(a, b arrival) int { return int(a.at - b.at) })
	return as
}

// play pulls each 20 ms and writes down what happens: a letter for each step and the number of the packet.
func play(b *Buffer, as []arrival, until time.Duration) (steps []string, maxDelay time.Duration) {
	var owed time.Duration
	for now := time.Duration(0); now < until; now += frame {
		for len(as) > 0 && as[0].at <= now {
			b.Push(as[0].p, as[0].at)
			as = as[1:]
		}
		for owed < frame {
			s := b.Pull(now + owed)
			d := s.Duration
			switch s.Kind {
			case Silence:
				steps = append(steps, ".")
			case Play, PlayLonger, PlayShorter:
				name := map[Kind]string{Play: "p", PlayLonger: "+", PlayShorter: "-"}[s.Kind]
				steps = append(steps, fmt.Sprintf("%s%d", name, int(s.Packet.Payload[0])|int(s.Packet.Payload[1])<<8))
				if s.Kind == PlayLonger {
					d += d / 2
				}
				if s.Kind == PlayShorter {
					d -= d / 2
				}
			case Lost:
				name := "lost"
				if s.Next != nil {
					name = "fec"
				}
				steps = append(steps, name)
			case Late:
				steps = append(steps, "late")
			}
			owed += d
		}
		owed -= frame
		maxDelay = max(maxDelay, b.Delay(now))
	}
	return steps, maxDelay
}

func count(steps []string, prefix string) (n int) {
	for _, s := range steps {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}

// inOrder checks that packets are played once each and in order, and returns their number.
func inOrder(t *testing.T, steps []string) int {
	t.Helper()
	last, n := -1, 0
	for _, s := range steps {
		var i int
		if _, err := fmt.Sscanf(strings.TrimLeft(s, "p+-"), "%d", &i); err != nil {
			continue
		}
		if i <= last {
			t.Fatalf("packet %d is played after %d", i, last)
		}
		last = i
		n++
	}
	return n
}

func TestSteadyStreamIsPlayedAsItIs(t *testing.T) {
	b := NewBuffer(Config{})
	steps, delay := play(b, stream(100, 65500, 0xffff0000, func(int) time.Duration { return 30 * ms }), 2*time.Second)
	if n := inOrder(t, steps); n < 90 {
		t.Errorf("%d packets were played: %v", n, steps)
	}
	if n := count(steps, "late") + count(steps, "lost") + count(steps, "fec"); n != 0 {
		t.Errorf("%d steps are made up: %v", n, steps)
	}
	if delay > 60*ms {
		t.Errorf("the delay is %v without any jitter", delay)
	}
}

func TestReorderedPacketsAreOrdered(t *testing.T) {
	b := NewBuffer(Config{})
	steps, _ := play(b, stream(100, 10, 0, func(i int) time.Duration {
		if i%5 == 3 {
			return 45 * ms // after the next one or two
		}
		return 20 * ms
	}), 2*time.Second)
	if n := inOrder(t, steps); n < 90 {
		t.Errorf("%d packets were played: %v", n, steps)
	}
	if n := count(steps, "lost") + count(steps, "fec"); n > 3 {
		t.Errorf("%d packets are lost that were only late: %v", n, steps)
	}
}

func TestLossIsToldWithWhatFollows(t *testing.T) {
	b := NewBuffer(Config{})
	steps, _ := play(b, stream(60, 0, 0, func(i int) time.Duration {
		if i == 30 || i == 40 || i == 41 {
			return -1
		}
		return 20 * ms
	}), 1100*ms)
	got := strings.Join(steps, " ")
	for _, want := range []string{"p29 fec p31", "p39 lost fec p42"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	if b.Lost() != 3 {
		t.Errorf("lost %d", b.Lost())
	}
}

func TestDelayFollowsJitterUpAndDown(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	b := NewBuffer(Config{})
	as := stream(3000, 0, 0, func(i int) time.Duration {
		if i >= 1000 && i < 2000 { // 20 seconds of a bad network
			return 20*ms + time.Duration(r.IntN(120))*ms
		}
		return 20*ms + time.Duration(r.IntN(5))*ms
	})
	split := func(at time.Duration) []arrival {
		n := 0
		for n < len(as) && as[n].at < at {
			n++
		}
		defer func() { as = as[n:] }()
		return as[:n]
	}
	// play starts its clock at 0, so run it in one go and judge by time.
	var delays []time.Duration
	var late int
	now, owed := time.Duration(0), time.Duration(0)
	for ; now < 60*time.Second; now += frame {
		for _, a := range split(now + 1) {
			b.Push(a.p, a.at)
		}
		for owed < frame {
			s := b.Pull(now + owed)
			d := s.Duration
			switch s.Kind {
			case PlayLonger:
				d += d / 2
			case PlayShorter:
				d -= d / 2
			case Late, Lost:
				if now > 25*time.Second && now < 40*time.Second {
					late++
				}
			}
			owed += d
		}
		owed -= frame
		delays = append(delays, b.Delay(now))
	}
	at := func(sec int) time.Duration { return delays[sec*50] }
	if d := at(15); d > 60*ms {
		t.Errorf("on a good network the delay is %v", d)
	}
	if d := at(38); d < 90*ms || d > 200*ms {
		t.Errorf("with 120 ms of jitter the delay is %v", d)
	}
	if late > 15*50*8/100 {
		t.Errorf("with the delay adapted %d of 750 steps are made up", late)
	}
	if d := at(58); d > 70*ms {
		t.Errorf("back on a good network the delay is still %v", d)
	}
}

func TestClockDriftIsFollowed(t *testing.T) {
	// The peer's clock is 500 ppm fast: in five minutes it makes 150 ms more sound than there is time.
	b := NewBuffer(Config{})
	steps, delay := play(b, stream(15000, 0, 0, func(i int) time.Duration {
		return 20*ms + time.Duration(15000-i)*10*time.Microsecond
	}), 300*time.Second)
	if delay > 120*ms {
		t.Errorf("the delay has grown to %v", delay)
	}
	if n := count(steps, "-"); n == 0 {
		t.Error("no packet was shortened")
	}
	inOrder(t, steps)
}

func TestStalledListenerCatchesUp(t *testing.T) {
	b := NewBuffer(Config{})
	as := stream(200, 0, 0, func(int) time.Duration { return 20 * ms })
	for now := time.Duration(0); now < 4*time.Second; now += frame {
		for len(as) > 0 && as[0].at <= now {
			b.Push(as[0].p, as[0].at)
			as = as[1:]
		}
		if now < time.Second || now > 2500*ms {
			b.Pull(now)
		}
		if now == 2600*ms && b.Delay(now) > b.Aim()+maxExcess+frame {
			t.Errorf("the delay is still %v", b.Delay(now))
		}
	}
}

func TestPauseIsSilence(t *testing.T) {
	// The stream pauses for 400 ms after packet 30, without a gap in its sequence.
	b := NewBuffer(Config{})
	as := stream(60, 0, 0, func(int) time.Duration { return 20 * ms })
	for i := range as {
		if i > 30 {
			as[i].at += 400 * ms
			as[i].p.Timestamp += 400 * 48
		}
	}
	steps, _ := play(b, as, 2*time.Second)
	if n := inOrder(t, steps); n < 58 {
		t.Errorf("%d packets were played: %v", n, steps)
	}
	if n := b.Lost(); n != 0 {
		t.Errorf("a pause counts as %d losses", n)
	}
}

func TestEventsAreNoLoss(t *testing.T) {
	// Packets 30 to 36 are a telephone-event: they have numbers in the sequence but no sound.
	b := NewBuffer(Config{})
	as := stream(60, 0, 0, func(int) time.Duration { return 20 * ms })
	for i := 30; i < 37; i++ {
		as[i].p.Duration, as[i].p.Timestamp = 0, as[30].p.Timestamp
	}
	steps, _ := play(b, as, 1300*ms)
	if n := inOrder(t, steps); n != 51 {
		t.Errorf("%d packets were played, want 51: %v", n, steps)
	}
	if n := count(steps, "lost") + count(steps, "fec") + count(steps, "late"); n != 0 {
		t.Errorf("%d steps are made up: %v", n, steps)
	}
}

func TestAnotherSourceStartsAnew(t *testing.T) {
	b := NewBuffer(Config{})
	as := stream(60, 0, 0, func(int) time.Duration { return 20 * ms })
	for i := 30; i < 60; i++ {
		as[i].p.Seq += 30000
		as[i].p.Timestamp += 1 << 31
	}
	steps, _ := play(b, as, 1400*ms)
	if n := inOrder(t, steps); n < 54 {
		t.Errorf("%d packets were played: %v", n, steps)
	}
}

func TestBufferIsBounded(t *testing.T) {
	b := NewBuffer(Config{Capacity: 10})
	for i := range 1000 {
		b.Push(Packet{Seq: uint16(i), Timestamp: uint32(i * 960), Duration: frame}, 0)
	}
	if len(b.queue) > 10 {
		t.Errorf("%d packets are kept", len(b.queue))
	}
	if b.Push(Packet{Seq: 999, Timestamp: 999 * 960, Duration: frame}, 0) {
		t.Error("a second copy is taken")
	}
}

func FuzzBuffer(f *testing.F) {
	f.Add([]byte{0, 1, 0, 1, 9, 0, 2, 0, 2, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		buf := NewBuffer(Config{Capacity: 16})
		now := time.Duration(0)
		for len(b) >= 5 {
			buf.Push(Packet{
				Seq: uint16(b[0])<<8 | uint16(b[1]), Timestamp: uint32(b[2])<<24 | uint32(b[3])*960,
				Duration: time.Duration(b[4]%7) * frame,
			}, now)
			now += time.Duration(b[4]) * ms
			for range b[4] % 3 {
				s := buf.Pull(now)
				if s.Duration <= 0 {
					t.Fatalf("a step of %v", s.Duration)
				}
				now += s.Duration
			}
			b = b[5:]
		}
	})
}

func TestStretchingKeepsTheTone(t *testing.T) {
	for _, f := range []func([]float32, int) []float32{longer, shorter} {
		var pcm []float32
		src := audio.NewTone(400, 0.3)
		one := make([]float32, audio.FrameSize)
		for i := range 50 {
			_, _ = src.Read(one)
			start := len(pcm)
			pcm = append(pcm, one...)
			if i%10 == 5 {
				pcm = f(pcm, start)
				if len(pcm) == start+len(one) {
					t.Fatal("nothing has changed")
				}
			}
		}
		// Cuts shift the phase, so look at pieces.
		for i := 0; i+2400 < len(pcm); i += 2400 {
			if s := audio.Share(pcm[i:i+2400], audio.SampleRate, 400); s < 0.9 {
				t.Errorf("share of the tone at sample %d is %.3f", i, s)
			}
		}
	}
}

func TestPlayerPlaysThroughABadNetwork(t *testing.T) {
	for _, codec := range audio.Codecs() {
		enc, err := codec.NewEncoder(audio.EncoderConfig{FEC: true})
		if err != nil {
			t.Fatal(err)
		}
		dec, err := codec.NewDecoder()
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(3, 3))
		as := stream(500, 0, 0, func(int) time.Duration {
			if r.IntN(100) < 3 {
				return -1
			}
			return 20*ms + time.Duration(r.IntN(40))*ms
		})
		src := audio.NewTone(440, 0.3)
		pcm := make([]float32, audio.FrameSize)
		var payloads [][]byte
		for range 500 {
			_, _ = src.Read(pcm)
			p, err := enc.Encode(nil, pcm)
			if err != nil {
				t.Fatal(err)
			}
			payloads = append(payloads, p)
		}
		player := NewPlayer(Config{ClockRate: codec.ClockRate}, dec)
		taken := 0
		player.Taken = func(Step) { taken++ }
		var heard []float32
		for now := time.Duration(0); now < 10*time.Second; now += frame {
			for len(as) > 0 && as[0].at <= now {
				p := as[0].p
				i := int(p.Seq)
				p.Payload, p.Timestamp = payloads[i], uint32(i*codec.ClockRate/50)
				player.Push(p, as[0].at)
				as = as[1:]
			}
			player.Frame(pcm, now)
			heard = append(heard, pcm...)
		}
		good, all := 0, 0
		for i := audio.SampleRate / 2; i+2400 < len(heard); i += 2400 {
			all++
			if audio.Share(heard[i:i+2400], audio.SampleRate, 440) > 0.9 {
				good++
			}
		}
		if good < all*8/10 {
			t.Errorf("%s: the tone is heard in %d of %d pieces", codec.Name, good, all)
		}
		if taken < 490 {
			t.Errorf("%s: %d steps were told of", codec.Name, taken)
		}
	}
}

func BenchmarkBuffer(b *testing.B) {
	buf := NewBuffer(Config{})
	now := time.Duration(0)
	i := 0
	for b.Loop() {
		buf.Push(Packet{Seq: uint16(i), Timestamp: uint32(i * 960), Duration: frame}, now)
		buf.Pull(now)
		now += frame
		i++
	}
}
