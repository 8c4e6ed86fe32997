package audio

import (
	"math"
	"testing"
)

// What Opus sends twice is whole again (RFC 6716 section 2.1.7). It does so for what seems to be speech, hence the rhythm.
func TestOpusFECRecoversFrames(t *testing.T) {
	off := func(fec bool) (dB float64) {
		enc, err := newOpusEncoder(EncoderConfig{FEC: true})
		if err != nil {
			t.Fatal(err)
		}
		dec, err := newOpusDecoder()
		if err != nil {
			t.Fatal(err)
		}
		tone := NewTone(440, 0.25)
		var packets [][]byte
		loud := func(i int) bool { return i%30 < 20 }
		for i := range 1000 {
			pcm := make([]float32, FrameSize)
			_, _ = tone.Read(pcm)
			if !loud(i) {
				for k := range pcm {
					pcm[k] /= 300
				}
			}
			p, err := enc.Encode(nil, pcm)
			if err != nil {
				t.Fatal(err)
			}
			packets = append(packets, p)
		}
		n := 0.0
		for i, p := range packets {
			var out []float32
			if lost := i > 50 && i%7 == 3 && i+1 < len(packets); !lost {
				if _, err := dec.Decode(nil, p); err != nil {
					t.Fatal(err)
				}
				continue
			}
			next := packets[i+1]
			if !fec {
				next = nil
			}
			if out, err = dec.Conceal(nil, FrameSize, next); err != nil {
				t.Fatal(err)
			}
			if loud(i) {
				dB += math.Abs(Level(out) + 15)
				n++
			}
		}
		return dB / n
	}
	with, without := off(true), off(false)
	t.Logf("the level of lost frames is off by %.1f dB with FEC, and by %.1f dB without", with, without)
	if with > 2 || without < 3*with {
		t.Errorf("the level of lost frames is off by %.1f dB with FEC, and by %.1f dB without", with, without)
	}
}
