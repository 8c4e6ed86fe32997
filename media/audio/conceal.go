package audio

// concealer hides losses of codecs that have nothing of their own for it.
type concealer struct {
	res  *Resampler // to [SampleRate]
	last []float32  // the end of what was decoded, to conceal with
	gain float32
	back bool
}

// decoded appends what was decoded, at the codec's own rate.
func (c *concealer) decoded(dst, pcm []float32) []float32 {
	n := len(dst)
	dst = c.res.Process(dst, pcm)
	out := dst[n:]
	c.last = append(c.last[:0], out[max(0, len(out)-FrameSize):]...)
	c.gain, c.back = 1, false
	return dst
}

// Conceal plays the last frame backwards and forwards again, so that the wave has no step, and fades it out in 60 ms.
func (c *concealer) Conceal(dst []float32, samples int, _ []byte) ([]float32, error) {
	const fade = 1 / (0.06 * SampleRate)
	for samples > 0 {
		n := min(samples, len(c.last))
		if n == 0 {
			return append(dst, make([]float32, samples)...), nil
		}
		c.back = !c.back
		for i := range n {
			at := i
			if c.back {
				at = len(c.last) - 1 - i
			}
			dst = append(dst, c.last[at]*c.gain)
			c.gain = max(0, c.gain-fade)
		}
		samples -= n
	}
	return dst, nil
}
