package audio

import "math"

// Tone is an endless sine as a [Source].
type Tone struct {
	freq, amplitude float64
	phase           float64
}

// NewTone returns a tone of freq Hz with an amplitude from 0 to 1.
func NewTone(freq, amplitude float64) *Tone { return &Tone{freq: freq, amplitude: amplitude} }

// Read implements [Source].
func (t *Tone) Read(pcm []float32) (int, error) {
	step := 2 * math.Pi * t.freq / SampleRate
	for i := range pcm {
		pcm[i] = float32(t.amplitude * math.Sin(t.phase))
		if t.phase += step; t.phase > 2*math.Pi {
			t.phase -= 2 * math.Pi
		}
	}
	return len(pcm), nil
}

// Close implements [Source].
func (t *Tone) Close() error { return nil }

// Share is the share of the energy of pcm, sampled at rate Hz, that lies at freq, from 0 to 1, by Goertzel's
// algorithm. Silence has the share 0. It is sharp to about rate/len(pcm) Hz.
func Share(pcm []float32, rate int, freq float64) float64 {
	var energy float64
	coeff := 2 * math.Cos(2*math.Pi*freq/float64(rate))
	var s1, s2 float64
	for _, x := range pcm {
		energy += float64(x) * float64(x)
		s1, s2 = float64(x)+coeff*s1-s2, s1
	}
	if energy < 1e-9 {
		return 0
	}
	power := s1*s1 + s2*s2 - coeff*s1*s2
	// A pure tone of amplitude A has the energy N*A^2/2 and the power (N*A/2)^2.
	return min(1, 2*power/(float64(len(pcm))*energy))
}

// Level is the loudness of pcm in dB of full scale: 0 for a square wave at full scale, -3 for a sine, -127 for silence.
func Level(pcm []float32) float64 {
	var energy float64
	for _, x := range pcm {
		energy += float64(x) * float64(x)
	}
	if energy == 0 {
		return -127
	}
	return max(-127, 10*math.Log10(energy/float64(len(pcm))))
}
