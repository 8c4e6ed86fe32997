package audio

import (
	"fmt"
	"math"
	"time"

	"github.com/thesyncim/gopus"
)

const (
	opusBitrate    = 32000 // bits a second; speech in full band
	opusComplexity = 7
	opusLoss       = 10 // per cent that FEC is laid out for
	// maxOpusPacket is the longest time in a packet, in samples (RFC 6716 section 3.2.5: 120 ms).
	maxOpusPacket = SampleRate * 120 / 1000
	// maxOpusBytes is the size that RFC 6716 section 3.2 allows a packet of one frame; a call's are far smaller.
	maxOpusBytes = 1275
)

// Opus is RFC 6716 in RTP by RFC 7587.
func Opus() *Codec {
	return &Codec{
		Name: "opus", ClockRate: SampleRate, Channels: 2, PayloadType: 111,
		Parameters: map[string]string{"minptime": "10", "useinbandfec": "1"},
		NewEncoder: newOpusEncoder,
		NewDecoder: newOpusDecoder,
		Duration: func(p []byte) time.Duration {
			return time.Duration(opusSamples(p)) * time.Second / SampleRate
		},
		Quality: Quality{Ie: 0, Bpl: 20, Delay: 6500 * time.Microsecond},
	}
}

// opusSamples returns how many samples a packet has, at [SampleRate], 0 if it is malformed.
func opusSamples(p []byte) int {
	info, err := gopus.ParsePacket(p)
	if err != nil {
		return 0
	}
	n := info.TOC.FrameSize * info.FrameCount
	if n > maxOpusPacket {
		return 0
	}
	return n
}

type opusEncoder struct {
	enc *gopus.Encoder
	buf [maxOpusBytes]byte
}

func newOpusEncoder(cfg EncoderConfig) (Encoder, error) {
	e, err := gopus.NewEncoder(gopus.EncoderConfig{
		SampleRate: SampleRate, Channels: 1, Application: gopus.ApplicationVoIP,
	})
	if err != nil {
		return nil, fmt.Errorf("audio: opus encoder: %w", err)
	}
	rate := opusBitrate
	if cfg.MaxBitrate > 0 {
		rate = max(6000, min(rate, cfg.MaxBitrate)) // RFC 7587 section 6.1
	}
	e.SetFEC(cfg.FEC)
	for _, err := range []error{
		e.SetBitrate(rate), e.SetComplexity(opusComplexity), e.SetFrameSize(FrameSize), e.SetPacketLoss(opusLoss),
	} {
		if err != nil {
			return nil, fmt.Errorf("audio: opus encoder: %w", err)
		}
	}
	return &opusEncoder{enc: e}, nil
}

func (e *opusEncoder) Encode(dst []byte, pcm []float32) ([]byte, error) {
	n, err := e.enc.Encode(pcm, e.buf[:])
	if err != nil {
		return dst, fmt.Errorf("audio: opus encoder: %w", err)
	}
	return append(dst, e.buf[:n]...), nil
}

type opusDecoder struct {
	dec *gopus.Decoder
	buf [maxOpusPacket]float32
}

func newOpusDecoder() (Decoder, error) {
	d, err := gopus.NewDecoder(gopus.DefaultDecoderConfig(SampleRate, 1))
	if err != nil {
		return nil, fmt.Errorf("audio: opus decoder: %w", err)
	}
	return &opusDecoder{dec: d}, nil
}

func (d *opusDecoder) Decode(dst []float32, payload []byte) ([]float32, error) {
	if len(payload) == 0 {
		// The library would take it for a loss.
		return dst, fmt.Errorf("audio: empty opus packet")
	}
	n, err := d.dec.Decode(payload, d.buf[:])
	if err != nil {
		return dst, fmt.Errorf("audio: opus packet: %w", err)
	}
	return appendFinite(dst, d.buf[:n]), nil
}

func (d *opusDecoder) Conceal(dst []float32, samples int, next []byte) ([]float32, error) {
	want := len(dst) + samples
	for len(dst) < want {
		left := want - len(dst)
		n, err := 0, error(nil)
		// FEC has the one frame before the packet, so only the end of a longer loss can be recovered.
		if span := opusSamples(next); span > 0 && left <= span {
			n, err = d.dec.DecodeWithFEC(next, d.buf[:left], true)
		} else {
			n, err = d.dec.Decode(nil, d.buf[:min(left, FrameSize)])
		}
		if err != nil || n == 0 {
			return append(dst, make([]float32, left)...), err
		}
		dst = appendFinite(dst, d.buf[:min(n, left)])
	}
	return dst, nil
}

// appendFinite appends samples with what is not a number set to zero: a peer's packet can make the decoder say it.
func appendFinite(dst, src []float32) []float32 {
	for _, s := range src {
		if f := float64(s); math.IsNaN(f) || math.IsInf(f, 0) {
			s = 0
		}
		dst = append(dst, s)
	}
	return dst
}
