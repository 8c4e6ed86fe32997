package pulse

import "github.com/jingled/jingled/media/audio"

const (
	// cushion is what is waited for before sound flows. Each time that it runs dry a frame more is, up to softest.
	cushion = 2 * audio.FrameSize
	softest = 6 * audio.FrameSize
	// most is what is kept before the oldest goes: the clock of the sound card is not ours.
	most = 12 * audio.FrameSize
)

// ring holds samples between two clocks. Where there are none, silence is played until there is a cushion again; where there
// are too many, the oldest go.
type ring struct {
	samples [most]float32
	start   int
	n       int
	flowing bool
	want    int // beyond cushion
}

func (r *ring) push(v float32) {
	if r.n == most {
		drop := most - cushion - r.want
		r.start = (r.start + drop) % most
		r.n -= drop
	}
	r.samples[(r.start+r.n)%most] = v
	r.n++
}

func (r *ring) pull(out []float32) {
	if r.n >= cushion+r.want {
		r.flowing = true
	}
	if !r.flowing {
		clear(out)
		return
	}
	for i := range out {
		if r.n == 0 {
			clear(out[i:])
			r.flowing, r.want = false, min(r.want+audio.FrameSize, softest-cushion)
			return
		}
		out[i] = r.samples[r.start]
		r.start = (r.start + 1) % most
		r.n--
	}
}
