package playout

import (
	"math"
	"slices"
	"time"

	"github.com/jingled/jingled/media/audio"
)

// Decoder is what a [Player] decodes with; an [audio.Decoder] is one.
type Decoder = audio.Decoder

// Player plays one stream: packets in as they come, frames of [audio.FrameSize] samples out in time.
type Player struct {
	buf  *Buffer
	dec  Decoder
	fifo []float32
	// Taken is told of each step before it is decoded, if set; for what records the packets themselves.
	Taken func(Step)
}

// NewPlayer returns a player of the codec that dec is for. If dec is nil nothing is decoded and all is silence: the steps
// still go to Taken in time.
func NewPlayer(cfg Config, dec Decoder) *Player { return &Player{buf: NewBuffer(cfg), dec: dec} }

// Buffer is the player's buffer, to be asked for its figures.
func (p *Player) Buffer() *Buffer { return p.buf }

// Push is [Buffer.Push].
func (p *Player) Push(pkt Packet, now time.Duration) bool { return p.buf.Push(pkt, now) }

// Delay is how long after the fastest packets' arrival sound is heard, at the time now.
func (p *Player) Delay(now time.Duration) time.Duration { return p.buf.Delay(p.heard(now)) }

// heard is when what is decoded next will be heard.
func (p *Player) heard(now time.Duration) time.Duration {
	return now + time.Duration(len(p.fifo))*time.Second/audio.SampleRate
}

// Frame fills pcm with what is to be heard from the time now on. It never fails: what cannot be decoded is concealed.
func (p *Player) Frame(pcm []float32, now time.Duration) {
	for len(p.fifo) < len(pcm) {
		p.step(p.buf.Pull(p.heard(now)))
	}
	n := copy(pcm, p.fifo)
	p.fifo = p.fifo[:copy(p.fifo, p.fifo[n:])]
}

func (p *Player) step(s Step) {
	if p.Taken != nil {
		p.Taken(s)
	}
	samples := int(s.Duration * audio.SampleRate / time.Second)
	if p.dec == nil {
		p.fifo = append(p.fifo, make([]float32, max(samples, 1))...)
		p.fifo = p.stretch(s.Kind, len(p.fifo)-samples)
		return
	}
	start := len(p.fifo)
	var err error
	switch s.Kind {
	case Silence:
		p.fifo = append(p.fifo, make([]float32, max(samples, 1))...)
		return
	case Lost, Late:
		p.conceal(samples, s.Next)
		return
	}
	if p.fifo, err = p.dec.Decode(p.fifo, s.Packet.Payload); err != nil || len(p.fifo) == start {
		p.fifo = p.fifo[:start]
		p.conceal(samples, nil)
		return
	}
	p.fifo = p.stretch(s.Kind, start)
}

// stretch makes what stands from start on as long as the kind of step wants.
func (p *Player) stretch(k Kind, start int) []float32 {
	switch k {
	case PlayLonger:
		return longer(p.fifo, start)
	case PlayShorter:
		return shorter(p.fifo, start)
	}
	return p.fifo
}

func (p *Player) conceal(samples int, next []byte) {
	start := len(p.fifo)
	var err error
	if p.fifo, err = p.dec.Conceal(p.fifo, max(samples, 1), next); err != nil || len(p.fifo) == start {
		p.fifo = append(p.fifo[:start], make([]float32, max(samples, 1))...)
	}
}

// shorter takes one period, about half of what stands from start on, out of it: the two ends of the cut are as alike as
// can be and are faded into each other.
func shorter(pcm []float32, start int) []float32 {
	x := pcm[start:]
	lag := period(x)
	if lag == 0 {
		return pcm
	}
	n := len(x) - lag
	for i := range n {
		w := float32(i) / float32(n)
		x[i] = x[i]*(1-w) + x[i+lag]*w
	}
	return pcm[:start+n]
}

// longer repeats one period, about half of what stands from start on.
func longer(pcm []float32, start int) []float32 {
	n := len(pcm) - start
	lag := period(pcm[start:])
	if lag == 0 {
		return pcm
	}
	pcm = append(pcm, make([]float32, lag)...)
	x := pcm[start:]
	// The second half of x is x again, a lag later: from its front each sample is faded from what would follow to what
	// came a lag before.
	copy(x[n:], x[n-lag:n])
	overlap := n - lag
	old := slices.Clone(x[:n])
	for i := range overlap {
		w := float32(i) / float32(overlap)
		x[lag+i] = old[lag+i]*(1-w) + old[i]*w
	}
	return pcm
}

// period returns the lag, from a quarter to a half of x, at which x is most like itself; 0 if x is too short.
func period(x []float32) int {
	lo, hi := len(x)/4, len(x)/2
	if lo < 8 {
		return 0
	}
	best, bestScore := hi, math.Inf(-1)
	for lag := lo; lag <= hi; lag++ {
		var dot, energy float64
		for i := 0; i+lag < len(x); i += 4 {
			dot += float64(x[i]) * float64(x[i+lag])
			energy += float64(x[i+lag]) * float64(x[i+lag])
		}
		if score := dot / math.Sqrt(energy+1e-9); score > bestScore {
			best, bestScore = lag, score
		}
	}
	return best
}
