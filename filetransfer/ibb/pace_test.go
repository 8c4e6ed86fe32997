package ibb_test

import (
	"testing"
	"time"

	"github.com/jingled/jingled/filetransfer/ibb"
)

// TestPace sends blocks through servers of many speeds, in simulated time. None may wait for long behind others, and no
// speed may be given away.
func TestPace(t *testing.T) {
	for name, c := range map[string]struct {
		rate  float64 // bytes of XML a second
		burst float64 // bytes that are let through before that
		trip  time.Duration
		wait  time.Duration // at most, once it has settled
		speed float64       // of the file, bytes a second, at least
	}{
		"Debian's ejabberd":         {3000, 20000, 10 * time.Millisecond, 2500 * time.Millisecond, 1950},
		"Debian's Prosody":          {10000, 20000, 10 * time.Millisecond, 900 * time.Millisecond, 6500},
		"128 KiB/s":                 {128 << 10, 0, 50 * time.Millisecond, 900 * time.Millisecond, 85 << 10},
		"10 MB/s on the local net":  {10e6, 0, time.Millisecond, 20 * time.Millisecond, 4.5e6},
		"10 MB/s, far away":         {10e6, 0, 200 * time.Millisecond, 400 * time.Millisecond, 500e3},
		"10 MB/s, by a satellite":   {10e6, 0, 800 * time.Millisecond, time.Second, 120e3},
		"1 MB/s, and a slow client": {1e6, 0, 500 * time.Millisecond, 800 * time.Millisecond, 200e3},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Unix(0, 0)
			now, free := start, start.Add(-time.Duration(c.burst/c.rate*float64(time.Second))) // when the server has time
			type sent struct {
				n              int
				sent, answered time.Time
			}
			p, queue, got, most := ibb.NewPace(16<<10, 8), []sent(nil), 0, time.Duration(0)
			const lasts, settles = 120 * time.Second, 30 * time.Second
			for now.Sub(start) < lasts {
				if n := p.Next(); n > 0 {
					if free.Before(now) && now.Sub(start) > settles {
						free = now
					}
					free = free.Add(time.Duration((float64(n)*4/3 + 250) / c.rate * float64(time.Second)))
					done := free
					if done.Before(now) {
						done = now // let through at once
					}
					queue = append(queue, sent{n, now, done.Add(c.trip)})
					continue
				}
				b := queue[0]
				queue, now = queue[1:], b.answered
				p.Answered(b.n, b.sent, now)
				if now.Sub(start) > settles {
					got += b.n
					most = max(most, now.Sub(b.sent))
				}
			}
			speed := float64(got) / (lasts - settles).Seconds()
			t.Logf("%.0f bytes/s, a block took %v at most", speed, most)
			if most > c.wait || speed < c.speed {
				t.Errorf("want at most %v, and %.0f bytes/s", c.wait, c.speed)
			}
		})
	}
}
