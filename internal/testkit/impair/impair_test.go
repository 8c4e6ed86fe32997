package impair

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// trace sends n packets of 100 bytes, one each 20 ms, and returns when they arrive.
func trace(t *testing.T, link Link, seed uint64, n int) (at [][]time.Duration, c Counts) {
	t.Helper()
	l, err := New(link, seed)
	if err != nil {
		t.Fatal(err)
	}
	var start time.Time
	for i := range n {
		sent := time.Duration(i) * 20 * time.Millisecond
		var took []time.Duration
		for _, a := range l.Take(start.Add(sent), 100, nil) {
			took = append(took, a.Sub(start)-sent)
		}
		at = append(at, took)
	}
	return at, l.Counts()
}

func TestNothingIsDoneByDefault(t *testing.T) {
	at, c := trace(t, Link{}, 1, 1000)
	for i, took := range at {
		if !slices.Equal(took, []time.Duration{0}) {
			t.Fatalf("packet %d took %v", i, took)
		}
	}
	if c != (Counts{Packets: 1000}) {
		t.Errorf("counted %+v", c)
	}
}

func TestSharesAreMet(t *testing.T) {
	link := Link{Loss: 0.05, Late: 0.1, LateBy: time.Millisecond, Double: 0.02}
	_, c := trace(t, link, 2, 100_000)
	near := func(what string, n, of int, share float64) {
		t.Helper()
		if got := float64(n) / float64(of); math.Abs(got-share) > share/10 {
			t.Errorf("%s: a share of %.4f, want %.4f", what, got, share)
		}
	}
	near("lost", c.Lost, c.Packets, 0.05)
	near("late", c.Late, c.Packets-c.Lost, 0.1)
	near("doubled", c.Doubled, c.Packets-c.Lost, 0.02)
}

func TestSameSeedDecidesAlike(t *testing.T) {
	link := Link{Delay: 25 * time.Millisecond, Jitter: 30 * time.Millisecond, Loss: 0.3, Late: 0.3, LateBy: time.Second, Double: 0.3, Rate: 6000}
	a, _ := trace(t, link, 7, 500)
	b, _ := trace(t, link, 7, 500)
	c, _ := trace(t, link, 8, 500)
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Error("two lines of one seed decide differently")
	}
	if fmt.Sprint(a) == fmt.Sprint(c) {
		t.Error("two lines of different seeds decide alike")
	}
	// What is lost does not depend on what else is done.
	d, _ := trace(t, Link{Loss: 0.3}, 7, 500)
	e, _ := trace(t, Link{Loss: 0.3, Late: 0.5, LateBy: time.Second, Jitter: time.Second}, 7, 500)
	for i := range d {
		if (len(d[i]) == 0) != (len(e[i]) == 0) {
			t.Fatalf("packet %d is lost by one line and not by the other", i)
		}
	}
}

func TestEachThirdIsLost(t *testing.T) {
	at, _ := trace(t, Link{LoseEach: 3}, 1, 30)
	for i, took := range at {
		if lost := (i+1)%3 == 0; lost != (len(took) == 0) {
			t.Errorf("packet %d took %v", i+1, took)
		}
	}
}

func TestJitterKeepsOrderAndLateDoesNot(t *testing.T) {
	arrivals := func(link Link) (out []time.Duration) {
		at, _ := trace(t, link, 3, 2000)
		for i, took := range at {
			if took[0] < link.Delay || took[0] > link.Delay+link.Jitter+link.LateBy {
				t.Fatalf("packet %d took %v", i, took[0])
			}
			out = append(out, time.Duration(i)*20*time.Millisecond+took[0])
		}
		return out
	}
	if a := arrivals(Link{Delay: 10 * time.Millisecond, Jitter: 100 * time.Millisecond}); !slices.IsSorted(a) {
		t.Error("packets with jitter overtake each other")
	}
	late := arrivals(Link{Delay: 10 * time.Millisecond, Late: 0.1, LateBy: 50 * time.Millisecond})
	overtaken := 0
	for i := 1; i < len(late); i++ {
		if late[i] < late[i-1] {
			overtaken++
		}
	}
	if overtaken < 100 || overtaken > 300 {
		t.Errorf("%d of 2000 packets were overtaken", overtaken)
	}
}

func TestRateAndQueue(t *testing.T) {
	// 100 bytes each 20 ms are 5000 a second. At 2500 a second half of them has to go, once the queue is full.
	at, c := trace(t, Link{Rate: 2500, Queue: 400 * time.Millisecond}, 1, 1000)
	longest := time.Duration(0)
	for _, took := range at {
		if len(took) > 0 {
			longest = max(longest, took[0])
		}
	}
	if longest < 400*time.Millisecond || longest > 440*time.Millisecond {
		t.Errorf("the longest way took %v", longest)
	}
	if c.Lost < 470 || c.Lost > 500 {
		t.Errorf("%d of 1000 were lost", c.Lost)
	}
	if _, c := trace(t, Link{Rate: 10_000}, 1, 1000); c.Lost != 0 {
		t.Errorf("%d were lost though there is room", c.Lost)
	}
}

func TestLinksThatMakeNoSense(t *testing.T) {
	for _, k := range []Link{{Loss: -0.1}, {Late: 1.1}, {Double: math.NaN()}, {Delay: -1}, {Jitter: -1}, {LoseEach: -1}, {Rate: -1}, {Queue: -1}, {LateBy: -1}} {
		if _, err := New(k, 1); err == nil {
			t.Errorf("%+v is taken", k)
		}
		l, err := New(Link{}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if l.Change(k) == nil {
			t.Errorf("a line changes to %+v", k)
		}
	}
}

// end is one end of a device in fake time: a packet a write.
type end struct {
	in  chan []byte
	out chan<- []byte
	off chan struct{}
}

func device() (ours, theirs *end) {
	a, b := make(chan []byte, 1000), make(chan []byte, 1000)
	off := make(chan struct{})
	return &end{a, b, off}, &end{b, a, off}
}

func (e *end) Read(p []byte) (int, error) {
	select {
	case b := <-e.in:
		return copy(p, b), nil
	case <-e.off:
		return 0, io.EOF
	}
}

func (e *end) Write(p []byte) (int, error) {
	e.out <- bytes.Clone(p)
	return len(p), nil
}

func (e *end) Close() error {
	select {
	case <-e.off:
		return net.ErrClosed
	default:
		close(e.off)
	}
	return nil
}

func TestPumpCarriesBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, outA := device()
		b, outB := device()
		p, err := NewPump(a, b, Config{
			Up:     Link{Delay: 30 * time.Millisecond},
			Down:   Link{Delay: 10 * time.Millisecond, Late: 1, LateBy: 10 * time.Millisecond, Double: 1},
			Spares: func(packet []byte) bool { return packet[0] == '!' },
		})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		buf := make([]byte, 100)
		read := func(e *end, want string, after time.Duration) {
			t.Helper()
			n, err := e.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(buf[:n]); got != want || time.Since(start) != after {
				t.Errorf("%q after %v, want %q after %v", got, time.Since(start), want, after)
			}
		}
		_, _ = outA.Write([]byte("ping"))
		read(outB, "ping", 30*time.Millisecond)
		_, _ = outB.Write([]byte("pong"))
		read(outA, "pong", 50*time.Millisecond)
		read(outA, "pong", 50*time.Millisecond)
		if err := p.Change(Link{Loss: 1, Delay: time.Second}, Link{}); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			_, _ = outA.Write([]byte("into the dark"))
		}
		_, _ = outB.Write([]byte("light"))
		read(outA, "light", 50*time.Millisecond)
		_, _ = outA.Write([]byte("!spared"))
		read(outB, "!spared", 1050*time.Millisecond)
		synctest.Wait()
		up, down := p.Counts()
		if up != (Counts{Packets: 6, Lost: 5}) || down != (Counts{Packets: 2, Late: 1, Doubled: 1}) {
			t.Errorf("counted %+v and %+v", up, down)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}
