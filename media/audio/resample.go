package audio

import (
	"fmt"
	"math"
)

// The limits of a sample rate, in Hz.
const (
	MinRate = 4000
	MaxRate = 384000
)

// Resampler changes the sample rate of one stream of PCM. It is a windowed sinc in polyphase form: the Kaiser window
// below keeps what would alias at least 60 dB down.
type Resampler struct {
	up, down int // output rate : input rate, reduced
	half     int // taps to each side
	phases   [][]float32
	buf      []float32 // input that is still needed
	// The next output stands at input position index + phase/up, counted in buf.
	index, phase int
}

const (
	zeroCrossings = 24   // of the sinc, to each side, at the lower rate
	kaiserBeta    = 6.5  // about 65 dB
	passBand      = 0.92 // of the lower rate's half; the rest is the filter's slope
	maxPhases     = 1024
)

// NewResampler returns a converter between rates of [MinRate] to [MaxRate] Hz.
func NewResampler(from, to int) (*Resampler, error) {
	for _, r := range []int{from, to} {
		if r < MinRate || r > MaxRate {
			return nil, fmt.Errorf("audio: sample rate %d Hz is not between %d and %d", r, MinRate, MaxRate)
		}
	}
	g := gcd(from, to)
	r := &Resampler{up: to / g, down: from / g}
	cut := passBand * math.Min(1, float64(to)/float64(from))
	r.half = int(math.Ceil(zeroCrossings / cut))
	n := min(r.up, maxPhases)
	r.phases = make([][]float32, n)
	for p := range r.phases {
		r.phases[p] = sincTaps(r.half, cut, float64(p)/float64(n))
	}
	// Output 0 is at input 0, so the filter looks back on silence.
	r.buf = make([]float32, r.half-1)
	r.index = r.half - 1
	return r, nil
}

// sincTaps returns the 2*half weights of the inputs around a point that lies frac after the half-th of them.
func sincTaps(half int, cut, frac float64) []float32 {
	taps := make([]float32, 2*half)
	sum := 0.0
	w := make([]float64, 2*half)
	for k := range w {
		x := float64(k-half+1) - frac
		s := cut
		if x != 0 {
			s = math.Sin(math.Pi*cut*x) / (math.Pi * x)
		}
		t := x / float64(half)
		if t*t < 1 {
			w[k] = s * bessel0(kaiserBeta*math.Sqrt(1-t*t)) / bessel0(kaiserBeta)
		}
		sum += w[k]
	}
	for k := range w {
		taps[k] = float32(w[k] / sum) // the same gain in every phase
	}
	return taps
}

// bessel0 is the modified Bessel function of the first kind and order zero.
func bessel0(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1; k < 32; k++ {
		term *= (x / 2 / float64(k)) * (x / 2 / float64(k))
		sum += term
	}
	return sum
}

// Delay is how many input samples the converter holds back.
func (r *Resampler) Delay() int { return r.half }

// Process takes input and appends to dst what output it makes, in all len(src)*to/from once [Resampler.Delay] samples
// have gone in.
func (r *Resampler) Process(dst, src []float32) []float32 {
	if r.up == r.down {
		return append(dst, src...)
	}
	r.buf = append(r.buf, src...)
	for r.index+r.half < len(r.buf) {
		in := r.buf[r.index-r.half+1 : r.index+r.half+1]
		taps := r.phases[r.phase*len(r.phases)/r.up]
		var sum float32
		for k, t := range taps {
			sum += t * in[k]
		}
		dst = append(dst, sum)
		r.phase += r.down
		r.index += r.phase / r.up
		r.phase %= r.up
	}
	if used := min(r.index-r.half+1, len(r.buf)); used > 0 {
		r.buf = r.buf[:copy(r.buf, r.buf[used:])]
		r.index -= used
	}
	return dst
}

// Flush appends the output that still depends on input to come, taken as silence.
func (r *Resampler) Flush(dst []float32) []float32 {
	if r.up == r.down {
		return dst
	}
	return r.Process(dst, make([]float32, r.half))
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
