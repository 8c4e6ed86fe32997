// Package mix joins the sound of several calls, as the participants of a group call have it who are all connected with
// each other: what we say goes to everybody, and what they say is heard together.
//
//	source -> [Mixer] -> leg -> call        each [Leg] is source and sink of one call
//	sink   <- [Mixer] <- leg <- call
package mix

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/jingled/jingled/media/audio"
)

const (
	// prefill is how much a leg has before it is used, as the clocks of calls and mixer are not in step; most bounds what it
	// holds.
	prefill = 2 * audio.FrameSize
	most    = 12 * audio.FrameSize
	// maxLate is how much time may be made up for; what is older is skipped.
	maxLate = 10 * audio.FrameDuration
)

// Mixer is made by [New] and driven by [Mixer.Run].
type Mixer struct {
	mu     sync.Mutex // guards the rest
	source audio.Source
	sink   audio.Sink
	legs   []*Leg
	err    error
}

// New returns a mixer without legs. Source and sink may be nil, for silence and for nothing; Run closes them.
func New(source audio.Source, sink audio.Sink) *Mixer { return &Mixer{source: source, sink: sink} }

// Leg is the end of one call: what it reads is what we say, and what is written to it is heard. Closing it takes it out of the mix, and
// may be done twice, as a call does with what is both its source and its sink. It implements [audio.Source] and
// [audio.Sink].
type Leg struct {
	m       *Mixer
	out, in queue
}

// Leg adds one.
func (m *Mixer) Leg() *Leg {
	l := &Leg{m: m}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.legs = append(m.legs, l)
	return l
}

// Read implements [audio.Source]. Where there is nothing yet it gives silence.
func (l *Leg) Read(pcm []float32) (int, error) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if !l.out.take(pcm) {
		clear(pcm)
	}
	return len(pcm), nil
}

// WritePCM implements [audio.Sink].
func (l *Leg) WritePCM(pcm []float32) error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.in.put(pcm)
	return nil
}

// Close takes the leg out of the mix.
func (l *Leg) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.m.legs = slices.DeleteFunc(l.m.legs, func(o *Leg) bool { return o == l })
	return nil
}

// queue holds samples between two clocks.
type queue struct {
	pcm    []float32
	primed bool
}

func (q *queue) put(pcm []float32) {
	q.pcm = append(q.pcm, pcm...)
	if over := len(q.pcm) - most; over > 0 {
		q.pcm = slices.Delete(q.pcm, 0, over)
	}
}

// take fills pcm, and reports false if there is too little.
func (q *queue) take(pcm []float32) bool {
	if !q.primed && len(q.pcm) < prefill {
		return false
	}
	if q.primed = len(q.pcm) >= len(pcm); !q.primed {
		return false
	}
	copy(pcm, q.pcm)
	q.pcm = slices.Delete(q.pcm, 0, len(pcm))
	return true
}

// Run mixes until ctx ends, and then closes source and sink. Its error is what kept the source from being played or the
// sink from taking all.
func (m *Mixer) Run(ctx context.Context) error {
	next := time.NewTimer(0)
	defer next.Stop()
	at := time.Now()
	said, heard, one := make([]float32, audio.FrameSize), make([]float32, audio.FrameSize), make([]float32, audio.FrameSize)
	for {
		select {
		case <-next.C:
		case <-ctx.Done():
			return m.close()
		}
		if late := time.Since(at); late > maxLate {
			at = at.Add(late - maxLate)
		}
		at = at.Add(audio.FrameDuration)
		next.Reset(time.Until(at))
		m.frame(said, heard, one)
	}
}

func (m *Mixer) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closeSource(nil)
	m.closeSink(nil)
	return m.err
}

func (m *Mixer) frame(said, heard, one []float32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	if m.source != nil {
		var err error
		if n, err = m.source.Read(said); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			m.closeSource(err)
		}
	}
	clear(said[n:])
	clear(heard)
	for _, l := range m.legs {
		l.out.put(said)
		if l.in.take(one) {
			for i, s := range one {
				heard[i] += s
			}
		}
	}
	if m.sink == nil {
		return
	}
	for i, s := range heard {
		heard[i] = soft(s)
	}
	if err := m.sink.WritePCM(heard); err != nil {
		m.closeSink(err)
	}
}

// closeSource and closeSink keep the first error; m.mu is held.
func (m *Mixer) closeSource(err error) {
	if m.source != nil {
		err = errors.Join(err, m.source.Close())
		m.source = nil
	}
	m.err = errors.Join(m.err, err)
}

func (m *Mixer) closeSink(err error) {
	if m.sink != nil {
		err = errors.Join(err, m.sink.Close())
		m.sink = nil
	}
	m.err = errors.Join(m.err, err)
}

// soft bends what is too loud, as several voices together can be, in place of cutting it off.
func soft(s float32) float32 {
	const knee = 0.75
	a := float32(math.Abs(float64(s)))
	if a <= knee {
		return s
	}
	bent := knee + (1-knee)*float32(math.Tanh(float64((a-knee)/(1-knee))))
	return float32(math.Copysign(float64(bent), float64(s)))
}
