// Package dtmf is the keys of a telephone in RTP: events by RFC 4733 out and in, and the tones themselves.
//
// [Sender] and [Receiver] are pure: they have no clock, goroutine or I/O and are driven packet by packet.
package dtmf

import (
	"fmt"
	"strings"
	"time"
)

// Digits are the sixteen keys, at the place of their event code (RFC 4733 section 3.2).
const Digits = "0123456789*#ABCD"

// Pause is a character in the digits to send that stands for [PauseDuration] without a key.
const Pause = ','

// The times of keys. The limits keep a key recognisable for telephone equipment (Q.24 has 40 ms) and its duration in
// 16 bits at 48 kHz (RFC 4733 section 2.3.5).
const (
	DefaultDuration = 100 * time.Millisecond
	MinDuration     = 40 * time.Millisecond
	MaxDuration     = 1300 * time.Millisecond
	DefaultGap      = 70 * time.Millisecond
	MinGap          = 30 * time.Millisecond
	PauseDuration   = 500 * time.Millisecond
)

// MaxDigits bounds how many digits can wait to be sent.
const MaxDigits = 256

// Key is one key that is pressed.
type Key struct {
	// Digit is one of [Digits] or, to be sent only, [Pause].
	Digit byte
	// Duration is how long the key is down.
	Duration time.Duration
	// Volume is the level below 1 mW, in dB from 0 to 63: the larger the softer (RFC 4733 section 2.3.3).
	Volume uint8
}

// DefaultVolume is -10 dBm0, what browsers send.
const DefaultVolume = 10

// Parse reads what a user types: digits, letters of either case, and commas for pauses. Spaces and hyphens are passed
// over. A duration of zero is [DefaultDuration].
func Parse(s string, duration time.Duration) ([]Key, error) {
	if duration == 0 {
		duration = DefaultDuration
	}
	if duration < MinDuration || duration > MaxDuration {
		return nil, fmt.Errorf("dtmf: a key is down for %v to %v, not %v", MinDuration, MaxDuration, duration)
	}
	var keys []Key
	for _, r := range strings.ToUpper(s) {
		switch {
		case r == ' ' || r == '-':
			continue
		case r == Pause:
			keys = append(keys, Key{Digit: Pause, Duration: PauseDuration})
		case strings.ContainsRune(Digits, r):
			keys = append(keys, Key{Digit: byte(r), Duration: duration, Volume: DefaultVolume})
		default:
			return nil, fmt.Errorf("dtmf: %q is no key; there are 0 to 9, *, #, A to D, and a comma for a pause", r)
		}
		if len(keys) > MaxDigits {
			return nil, fmt.Errorf("dtmf: more than %d keys", MaxDigits)
		}
	}
	return keys, nil
}
