package pulse

// ring holds samples between two clocks. Where there are none, silence is played until there is a cushion again; where there
// are too many, the oldest go.
type ring struct {
	samples [most]float32
	start   int
	n       int
	flowing bool
}

func (r *ring) push(v float32) {
	if r.n == most {
		r.start = (r.start + cushion) % most
		r.n -= cushion
	}
	r.samples[(r.start+r.n)%most] = v
	r.n++
}

func (r *ring) pull(out []float32) {
	if r.n >= cushion {
		r.flowing = true
	}
	for i := range out {
		if !r.flowing || r.n == 0 {
			clear(out[i:])
			r.flowing = false
			return
		}
		out[i] = r.samples[r.start]
		r.start = (r.start + 1) % most
		r.n--
	}
}
