package dtmf

import (
	"math"
	"strings"

	"github.com/jingled/jingled/media/audio"
)

// The frequencies of rows and columns of the keys (ITU-T Q.23), in Hz.
var (
	rows    = [4]float64{697, 770, 852, 941}
	columns = [4]float64{1209, 1336, 1477, 1633}
)

// keypad has the keys by row and column.
const keypad = "123A" + "456B" + "789C" + "*0#D"

// Frequencies returns the two tones of a key, and zeros if it is none.
func Frequencies(digit byte) (low, high float64) {
	i := strings.IndexByte(keypad, digit)
	if i < 0 {
		return 0, 0
	}
	return rows[i/4], columns[i%4]
}

// Detect tells the key whose tones are in pcm, mono at [audio.SampleRate], and false if there is none. It wants 40 ms
// at least, most of the energy in the two tones, and neither much louder than the other (ITU-T Q.24: 4 to 8 dB).
func Detect(pcm []float32) (digit byte, ok bool) {
	if audio.Level(pcm) < -45 {
		return 0, false
	}
	row, low := loudest(pcm, rows)
	col, high := loudest(pcm, columns)
	twist := 10 * math.Log10(low/high)
	if low+high < 0.8 || math.IsNaN(twist) || math.Abs(twist) > 8 {
		return 0, false
	}
	return keypad[row*4+col], true
}

func loudest(pcm []float32, freqs [4]float64) (index int, share float64) {
	for i, f := range freqs {
		if s := audio.Share(pcm, audio.SampleRate, f); s > share {
			index, share = i, s
		}
	}
	return index, share
}
