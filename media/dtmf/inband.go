package dtmf

import (
	"math"
	"time"

	"github.com/jingled/jingled/media/audio"
)

// Keys can also be in the sound itself: as the two tones of ITU-T Q.23, as gateways to old telephones have them. Telephone
// events are the better way where both sides have them.

// The times of detection, in samples. Windows overlap by half, so a key of 40 ms, which ITU-T Q.24 wants to be heard, has
// four whole windows, and one of 23 ms, which it does not, has two.
const (
	window = audio.SampleRate / 75 // 13.3 ms: wide enough for tones that are off by 1.5 %
	hop    = window / 2
	// confirm is how many windows make a key, release how many without it are its end: gaps of 10 ms do not count.
	confirm = 4
	release = 4
	// pure is the share of the energy that the two tones must have. Speech has less but for moments.
	pure = 0.62
	// faintest is the level in dB of full scale below which nothing is listened to.
	faintest = -40
	// twist is how much louder one tone may be than the other, in dB (Q.24 has 4 to 8, by the country).
	twist = 8
)

// Detector finds keys in sound, each once. It is fed with the sound as it comes, mono at [audio.SampleRate].
type Detector struct {
	pcm     []float32
	last    byte // of the newest window, 0 for none
	run     int  // windows with it
	down    byte
	windows int // that the key is down
	missing int // windows without it
}

// Push takes sound and returns what happened in it, the keys with their changes in order. The time of a key is known when
// it is [Up].
func (d *Detector) Push(pcm []float32) []Heard {
	var out []Heard
	d.pcm = append(d.pcm, pcm...)
	at := 0
	for ; at+window <= len(d.pcm); at += hop {
		if h, ok := d.step(tones(d.pcm[at : at+window])); ok {
			out = append(out, h)
		}
	}
	d.pcm = append(d.pcm[:0], d.pcm[at:]...)
	return out
}

// Heard is what a [Detector] tells.
type Heard struct {
	Key    Key
	Change Change // [Down] or [Up]
}

func (d *Detector) step(digit byte) (Heard, bool) {
	if digit == d.last {
		d.run++
	} else {
		d.last, d.run = digit, 1
	}
	if d.down != 0 {
		d.windows++
		if digit == d.down {
			d.missing = 0
			return Heard{}, false
		}
		if d.missing++; d.missing < release {
			return Heard{}, false
		}
		h := Heard{Key{Digit: d.down, Duration: time.Duration(d.windows-d.missing) * hop * time.Second / audio.SampleRate}, Up}
		d.down = 0
		return h, true
	}
	if digit != 0 && d.run >= confirm {
		d.down, d.windows, d.missing = digit, d.run, 0
		return Heard{Key{Digit: digit}, Down}, true
	}
	return Heard{}, false
}

// tones returns the key in one window, or 0.
func tones(pcm []float32) byte {
	if audio.Level(pcm) < faintest {
		return 0
	}
	row, low := loudest(pcm, rows)
	col, high := loudest(pcm, columns)
	if low == 0 || high == 0 || low+high < pure || math.Abs(10*math.Log10(low/high)) > twist {
		return 0
	}
	return keypad[row*4+col]
}

// Tones puts keys into sound.
type Tones struct {
	s     *Sender
	at    uint32
	phase [2]float64
	gain  float64 // as far as it is faded in
}

// NewTones returns what puts the keys that are queued into sound. A gap of zero is [DefaultGap].
func NewTones(gap time.Duration) *Tones { return &Tones{s: NewSender(audio.SampleRate, gap)} }

// Queue adds keys behind those that wait, as [Sender.Queue] does.
func (t *Tones) Queue(keys ...Key) error { return t.s.Queue(keys...) }

// Busy reports whether keys are being sent or wait.
func (t *Tones) Busy() bool { return t.s.Busy() }

// fade is how fast tones come and go, so that they do not click: 2 ms.
const fade = 1 / (0.002 * audio.SampleRate)

// Frame takes one frame of sound before it is sent. While a key is down its tones take the place of the sound.
func (t *Tones) Frame(pcm []float32) {
	if !t.s.Busy() {
		return
	}
	ending := t.s.state == ending
	p, ok := t.s.Tick(t.at)
	start := t.at
	t.at += uint32(len(pcm))
	if !ok || ending { // the repetitions of the end are for packets that get lost
		return
	}
	low, high := Frequencies(Digits[p.Event.Code])
	// A level in dBm0 is 3.14 dB more below full scale (ITU-T G.711), for each of the tones.
	level := math.Pow(10, -(float64(p.Event.Volume)+3.14)/20)
	if p.Marker {
		t.phase, t.gain = [2]float64{}, 0
	}
	left := int(t.s.length) - int(start-p.Timestamp)
	for i := range pcm {
		if i >= left {
			pcm[i] = 0
			continue
		}
		t.gain = min(1, t.gain+fade, float64(left-i)*fade)
		pcm[i] = float32(level * t.gain * (math.Sin(t.phase[0]) + math.Sin(t.phase[1])))
		t.phase[0] += 2 * math.Pi * low / audio.SampleRate
		t.phase[1] += 2 * math.Pi * high / audio.SampleRate
	}
}
