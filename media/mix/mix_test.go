package mix

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/jingled/jingled/media/audio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recording keeps what it gets.
type recording struct {
	pcm    []float32
	err    error
	closed int
}

func (r *recording) WritePCM(pcm []float32) error {
	r.pcm = append(r.pcm, pcm...)
	return r.err
}

func (r *recording) Close() error {
	r.closed++
	return nil
}

// talk has a call read what we say, and say a tone, by its own clock.
func talk(ctx context.Context, l *Leg, hz float64, heard *recording) {
	tone := audio.NewTone(hz, 0.3)
	pcm := make([]float32, audio.FrameSize)
	tick := time.NewTicker(audio.FrameDuration)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			_ = l.Close()
			_ = l.Close()
			return
		}
		_, _ = tone.Read(pcm)
		_ = l.WritePCM(pcm)
		_, _ = l.Read(pcm)
		_ = heard.WritePCM(pcm)
	}
}

func TestMix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &recording{}
		m := New(audio.NewTone(440, 0.3), sink)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx) }()
		tones := []float64{700, 1000, 1300}
		var heard [3]recording
		legsCtx, hangUp := context.WithCancel(t.Context())
		first, firstUp := context.WithCancel(legsCtx)
		for i, hz := range tones {
			c := legsCtx
			if i == 0 {
				c = first
			}
			time.Sleep(7 * time.Millisecond) // no two clocks are in step
			go talk(c, m.Leg(), hz, &heard[i])
		}
		time.Sleep(2 * time.Second)
		firstUp()
		time.Sleep(2 * time.Second)
		hangUp()
		time.Sleep(time.Second)
		stop()
		if err := <-ended; err != nil || sink.closed != 1 {
			t.Errorf("ended: %v, closed %d times", err, sink.closed)
		}
		all, rest := sink.pcm[audio.SampleRate/2:audio.SampleRate*3/2], sink.pcm[audio.SampleRate*5/2:audio.SampleRate*7/2]
		for i, hz := range tones {
			if s := audio.Share(all, audio.SampleRate, hz); s < 0.3 || s > 0.36 {
				t.Errorf("%.0f Hz is %.2f of what is heard of three", hz, s)
			}
			want := 0.5
			if i == 0 {
				want = 0
			}
			if s := audio.Share(rest, audio.SampleRate, hz); s < want-0.05 || s > want+0.05 {
				t.Errorf("%.0f Hz is %.2f of what is heard of two", hz, s)
			}
			if s := audio.Share(heard[i].pcm[audio.SampleRate/2:], audio.SampleRate, 440); s < 0.95 {
				t.Errorf("we are %.2f of what %d hears", s, i)
			}
		}
		if l := audio.Level(sink.pcm[len(sink.pcm)-audio.SampleRate/2:]); l > -60 {
			t.Errorf("there is sound of %v after the end", l)
		}
	})
}

func TestLoud(t *testing.T) {
	for _, s := range []float32{0, 0.5, -0.75, 3, -6} {
		got := soft(s)
		if got > 1 || got < -1 || s > -0.75 && s < 0.75 && got != s || s*got < 0 {
			t.Errorf("%v becomes %v", s, got)
		}
	}
}

// TestFaults has a sink that fails, and nothing to say.
func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &recording{err: errors.New("disk full")}
		m := New(nil, sink)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx) }()
		l := m.Leg()
		time.Sleep(time.Second)
		for range 100 {
			_ = l.WritePCM(make([]float32, audio.FrameSize))
		}
		m.mu.Lock()
		if len(l.in.pcm) > most {
			t.Errorf("%d samples are held", len(l.in.pcm))
		}
		m.mu.Unlock()
		stop()
		if err := <-ended; !errors.Is(err, sink.err) || sink.closed != 1 {
			t.Errorf("%v, closed %d times", err, sink.closed)
		}
	})
}
