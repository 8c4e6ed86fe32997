package dtmf_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/dtmf"
)

// dual is two tones for a while, each off by a factor.
func dual(digit byte, d time.Duration, off, lowLevel, highLevel float64) []float32 {
	low, high := dtmf.Frequencies(digit)
	out := make([]float32, int(d*audio.SampleRate/time.Second))
	for i := range out {
		at := 2 * math.Pi * float64(i) / audio.SampleRate * off
		out[i] = float32(lowLevel*math.Sin(low*at) + highLevel*math.Sin(high*at))
	}
	return out
}

func quiet(d time.Duration) []float32 { return make([]float32, int(d*audio.SampleRate/time.Second)) }

// detect feeds a detector with frames, and returns the keys that went down and up.
func detect(pcm []float32) (down string, up []dtmf.Key) {
	var d dtmf.Detector
	for len(pcm) > 0 {
		n := min(audio.FrameSize, len(pcm))
		for _, h := range d.Push(pcm[:n]) {
			if h.Change == dtmf.Down {
				down += string(h.Key.Digit)
			} else {
				up = append(up, h.Key)
			}
		}
		pcm = pcm[n:]
	}
	return down, up
}

// Every key that is sent as tones is found once, with its duration, whatever codec is between.
func TestTonesAreFound(t *testing.T) {
	for _, codec := range append(audio.Codecs(), nil) {
		name := "no codec"
		if codec != nil {
			name = codec.Name
		}
		keys, err := dtmf.Parse(dtmf.Digits+"11,5", 80*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		s := dtmf.NewTones(0)
		if err := s.Queue(keys...); err != nil {
			t.Fatal(err)
		}
		var all []float32
		frame := make([]float32, audio.FrameSize)
		for s.Busy() {
			clear(frame)
			s.Frame(frame)
			all = append(all, frame...)
		}
		all = append(all, quiet(100*time.Millisecond)...)
		if codec != nil {
			all = through(t, codec, all)
		}
		down, up := detect(all)
		if want := dtmf.Digits + "115"; down != want {
			t.Errorf("%s: %q", name, down)
		}
		for _, k := range up {
			if k.Duration < 60*time.Millisecond || k.Duration > 105*time.Millisecond {
				t.Errorf("%s: %c is down for %v", name, k.Digit, k.Duration)
			}
		}
	}
}

func through(t *testing.T, c *audio.Codec, pcm []float32) (out []float32) {
	t.Helper()
	enc, err := c.NewEncoder(audio.EncoderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	dec, err := c.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	for ; len(pcm) >= audio.FrameSize; pcm = pcm[audio.FrameSize:] {
		b, err := enc.Encode(nil, pcm[:audio.FrameSize])
		if err != nil {
			t.Fatal(err)
		}
		if out, err = dec.Decode(out, b); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// ITU-T Q.24: what a receiver must hear and what it must not.
func TestDetectorLimits(t *testing.T) {
	for _, c := range []struct {
		name string
		pcm  []float32
		want string
	}{
		{"40 ms", dual('5', 40*time.Millisecond, 1, .2, .2), "5"},
		{"20 ms", dual('5', 20*time.Millisecond, 1, .2, .2), ""},
		{"1.5 % too high", dual('D', 80*time.Millisecond, 1.015, .2, .2), "D"},
		{"1.5 % too low", dual('#', 80*time.Millisecond, 0.985, .2, .2), "#"},
		{"twist of 6 dB", dual('9', 80*time.Millisecond, 1, .2, .1), "9"},
		{"twist of 6 dB, the other way", dual('9', 80*time.Millisecond, 1, .1, .2), "9"},
		{"one tone alone", dual('9', 80*time.Millisecond, 1, .2, 0), ""},
		{"too soft", dual('9', 80*time.Millisecond, 1, .002, .002), ""},
		{"interrupted for 8 ms", join(dual('1', 60*time.Millisecond, 1, .2, .2), quiet(8*time.Millisecond), dual('1', 60*time.Millisecond, 1, .2, .2)), "1"},
		{"twice, 45 ms between", join(dual('1', 60*time.Millisecond, 1, .2, .2), quiet(45*time.Millisecond), dual('1', 60*time.Millisecond, 1, .2, .2)), "11"},
		{"key after key", join(dual('1', 60*time.Millisecond, 1, .2, .2), quiet(45*time.Millisecond), dual('2', 60*time.Millisecond, 1, .2, .2)), "12"},
		{"with noise 20 dB below", noisy(dual('7', 100*time.Millisecond, 1, .2, .2), .02), "7"},
	} {
		if down, _ := detect(join(quiet(30*time.Millisecond), c.pcm, quiet(100*time.Millisecond))); down != c.want {
			t.Errorf("%s: %q in place of %q", c.name, down, c.want)
		}
	}
}

func join(parts ...[]float32) (out []float32) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func noisy(pcm []float32, level float64) []float32 {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range pcm {
		pcm[i] += float32(level * (2*r.Float64() - 1))
	}
	return pcm
}

// Some seconds of something like a voice, with harmonics that wander through the tones of the keys, presses none.
func TestVoicesPressNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var phase, pitch float64 = 0, 140
	out := make([]float32, 15*audio.SampleRate)
	formant := [3]float64{600, 1300, 2500}
	for i := range out {
		if i%480 == 0 {
			pitch = min(max(pitch+4*(2*r.Float64()-1), 80), 300)
			for f := range formant {
				formant[f] = min(max(formant[f]+30*(2*r.Float64()-1), 250+300*float64(f)), 1000+900*float64(f))
			}
		}
		phase += 2 * math.Pi * pitch / audio.SampleRate
		var v float64
		for h := 1; float64(h)*pitch < 3400; h++ {
			at, gain := float64(h)*pitch, 0.0
			for _, f := range formant {
				gain += 1 / (1 + (at-f)*(at-f)/(120*120))
			}
			v += gain / float64(h) * math.Sin(float64(h)*phase)
		}
		out[i] = float32(0.2 * v)
	}
	if down, _ := detect(out); down != "" {
		t.Errorf("pressed: %q", down)
	}
}
