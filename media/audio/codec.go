package audio

import (
	"strings"
	"time"
)

// Encoder turns frames of PCM into payloads.
type Encoder interface {
	// Encode appends the payload of one frame of [FrameSize] samples to dst.
	Encode(dst []byte, pcm []float32) ([]byte, error)
}

// Decoder turns payloads into PCM. Payloads come from the peer: a bad one is an error and changes nothing else.
type Decoder interface {
	// Decode appends the samples of a payload, at [SampleRate], to dst.
	Decode(dst []float32, payload []byte) ([]float32, error)
	// Conceal appends so many samples in place of lost ones. Next is the payload that follows the loss, which may
	// have a copy of what was lost (forward error correction), or nil.
	Conceal(dst []float32, samples int, next []byte) ([]float32, error)
}

// EncoderConfig is what the peer's description asks of an encoder. The zero value asks for nothing.
type EncoderConfig struct {
	// MaxBitrate is in bits a second (RFC 7587 maxaveragebitrate); 0 is the codec's default.
	MaxBitrate int
	// FEC asks for forward error correction (RFC 7587 useinbandfec).
	FEC bool
}

// Codec is a way to put audio into RTP.
type Codec struct {
	// Name is the encoding name of SDP, to be compared without regard to case, e.g. "opus".
	Name string
	// ClockRate is that of the RTP timestamp, in Hz.
	ClockRate int
	// Channels is the number that SDP has to say; "opus" always says 2 (RFC 7587 section 7).
	Channels int
	// PayloadType is the static one (RFC 3551 section 6), or else the dynamic one that we propose.
	PayloadType uint8
	// Parameters are the format parameters of our offer.
	Parameters map[string]string

	NewEncoder func(EncoderConfig) (Encoder, error)
	NewDecoder func() (Decoder, error)
	// Duration returns the length of a payload, 0 if it is none of this codec.
	Duration func(payload []byte) time.Duration
	// Quality has the codec's figures for an estimate by the E-model of ITU-T G.107.
	Quality Quality
}

// Quality is how a codec stands in the E-model: ITU-T G.113 Appendix I for G.711, and for Opus an estimate, as no
// recommendation has it.
type Quality struct {
	// Ie is the impairment without loss, Bpl the robustness against loss.
	Ie, Bpl float64
	// Delay is what encoding and decoding add beside the frame itself.
	Delay time.Duration
}

// Is reports whether the codec has this name and clock rate; channels of 0 or 1 are the same.
func (c *Codec) Is(name string, clockRate, channels int) bool {
	return strings.EqualFold(c.Name, name) && (clockRate == 0 || c.ClockRate == clockRate) &&
		(max(channels, 1) == c.Channels || channels == 0)
}

// Codecs returns all codecs of this package, the best first.
func Codecs() []*Codec { return []*Codec{Opus(), G722(), PCMU(), PCMA()} }
