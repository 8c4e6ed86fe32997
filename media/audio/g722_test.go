package audio

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"testing"
)

// twoTones is half a second of a tone in each band, and then noise besides, at 16 kHz.
func twoTones() []int16 {
	var out []int16
	seed := uint32(1)
	for i := range 16000 {
		seed = seed*1664525 + 1013904223
		at := 2 * math.Pi * float64(i) / 16000
		v := 8000*math.Sin(440*at) + 3000*math.Sin(5000*at)
		if i > 8000 {
			v += float64(int32(seed) >> 17)
		}
		out = append(out, int16(math.Round(math.Max(-32768, math.Min(32767, v)))))
	}
	return out
}

// The codes and what they decode to are those of another implementation (gotranspile/g722), bit by bit.
func TestG722IsTheStandard(t *testing.T) {
	const (
		wantCodes = "45de5f7122a26bfacae5d2849b2320fa5930f074f2ec6ff1d58353e7af5a457d"
		wantPCM   = "b95ba1e90d96717880e1220016ded14d8a1e3a5254b955a9ecaf60b71dbbbdad"
	)
	pcm := twoTones()
	e, d := &g722Encoder{bands: newBands()}, &g722Decoder{bands: newBands()}
	codes, back := sha256.New(), sha256.New()
	for i := 0; i < len(pcm); i += 2 {
		c := e.encode(int32(pcm[i]), int32(pcm[i+1]))
		codes.Write([]byte{c})
		for _, s := range func() [2]int16 { a, b := d.decode(c); return [2]int16{a, b} }() {
			back.Write([]byte{byte(s), byte(s >> 8)})
		}
	}
	if got := hex.EncodeToString(codes.Sum(nil)); got != wantCodes {
		t.Errorf("codes: %s", got)
	}
	if got := hex.EncodeToString(back.Sum(nil)); got != wantPCM {
		t.Errorf("samples: %s", got)
	}
}

// A tone comes back with little noise: G.722 has 47 dB for it in others' hands.
func TestG722SNR(t *testing.T) {
	pcm := twoTones()[:8000]
	e, d := &g722Encoder{bands: newBands()}, &g722Decoder{bands: newBands()}
	var out []float64
	for i := 0; i < len(pcm); i += 2 {
		a, b := d.decode(e.encode(int32(pcm[i]), int32(pcm[i+1])))
		out = append(out, float64(a), float64(b))
	}
	best := math.Inf(-1)
	for delay := range 40 { // that of the mirror filters
		var signal, noise float64
		for i := 1000; i+delay < len(out); i++ {
			s := float64(pcm[i])
			signal += s * s
			noise += (out[i+delay] - s) * (out[i+delay] - s)
		}
		best = max(best, 10*math.Log10(signal/noise))
	}
	t.Logf("%.1f dB", best)
	if best < 25 {
		t.Errorf("a signal to noise ratio of %.1f dB", best)
	}
}

func FuzzG722(f *testing.F) {
	f.Add([]byte{0, 255, 1, 128})
	f.Fuzz(func(t *testing.T, codes []byte) {
		d, err := G722().NewDecoder()
		if err != nil {
			t.Fatal(err)
		}
		pcm, err := d.Decode(nil, codes)
		if err != nil || len(pcm) != 6*len(codes) {
			t.Fatalf("%d samples of %d codes: %v", len(pcm), len(codes), err)
		}
		for _, s := range pcm {
			if s != s || s < -2 || s > 2 {
				t.Fatalf("a sample of %v", s)
			}
		}
	})
}
