package rtpstat

import "time"

// MOS estimates the mean opinion score, from 1 (bad) to 4.5 (as good as a telephone gets), by the E-model of ITU-T
// G.107 with its defaults (R0 93.2). delay is the whole way from mouth to ear, loss the share of packets that were not
// played, from 0 to 1, taken as random. ie and bpl are the codec's equipment impairment and robustness against loss
// (G.113). It is an estimate for narrow-band listening, and says nothing of microphones or echo.
func MOS(delay time.Duration, loss, ie, bpl float64) float64 {
	ms := float64(delay) / float64(time.Millisecond)
	id := 0.024 * ms // the usual simplification of G.107 section 7.4
	if ms > 177.3 {
		id += 0.11 * (ms - 177.3)
	}
	ppl := 100 * min(max(loss, 0), 1)
	ieEff := ie
	if ppl > 0 {
		ieEff += (95 - ie) * ppl / (ppl + max(bpl, 1))
	}
	r := 93.2 - id - ieEff
	switch { // G.107 annex B
	case r <= 0:
		return 1
	case r >= 100:
		return 4.5
	}
	return max(1, 1+0.035*r+r*(r-60)*(100-r)*7e-6)
}
