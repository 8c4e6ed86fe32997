// Package audio is the sound of a call: PCM frames, the codecs that turn them into RTP payloads and back, where sound
// comes from (files, tones, silence) and where it goes (WAV and Ogg/Opus files). The codecs are Opus, PCMU and PCMA, what
// XEP-0266 section 5 asks for.
//
// Inside there is one format: mono, 48 kHz, 20 ms a frame, samples as float32 from -1 to 1. What has another rate
// (files, G.711) is converted at the edge by a [Resampler].
//
// Nothing here has a goroutine or a clock, and nothing is safe for concurrent use: one owner drives each value.
package audio

import "time"

// The one format of PCM in this package: mono, float32 from -1 to 1.
const (
	// SampleRate is in samples a second.
	SampleRate = 48000
	// FrameDuration is the length of one frame.
	FrameDuration = 20 * time.Millisecond
	// FrameSize is the number of samples in one frame.
	FrameSize = SampleRate / 50
)

// ToInt16 converts a sample, clipping what is out of range.
func ToInt16(s float32) int16 {
	switch v := s * 32768; {
	case v >= 32767:
		return 32767
	case v <= -32768:
		return -32768
	case v != v: // not a number
		return 0
	default:
		return int16(v)
	}
}

// FromInt16 converts a sample.
func FromInt16(s int16) float32 { return float32(s) / 32768 }
