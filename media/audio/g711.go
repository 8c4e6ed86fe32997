package audio

import (
	"math/bits"
	"time"
)

// PCMU is G.711 with the mu-law (RFC 3551 section 4.5.14), payload type 0.
func PCMU() *Codec { return g711("PCMU", 0, encodeMu, decodeMu) }

// PCMA is G.711 with the A-law (RFC 3551 section 4.5.14), payload type 8.
func PCMA() *Codec { return g711("PCMA", 8, encodeA, decodeA) }

const g711Rate = 8000

func g711(name string, pt uint8, enc func(int16) byte, dec func(byte) int16) *Codec {
	return &Codec{
		Name: name, ClockRate: g711Rate, Channels: 1, PayloadType: pt,
		NewEncoder: func(EncoderConfig) (Encoder, error) {
			return &g711Encoder{enc: enc, res: primed(SampleRate, g711Rate)}, nil
		},
		NewDecoder: func() (Decoder, error) {
			d := &g711Decoder{concealer: concealer{res: primed(g711Rate, SampleRate)}}
			for i := range d.table {
				d.table[i] = FromInt16(dec(byte(i)))
			}
			return d, nil
		},
		Duration: func(p []byte) time.Duration { return time.Duration(len(p)) * time.Second / g711Rate },
		Quality:  Quality{Ie: 0, Bpl: 25.1}, // G.113: with concealment
	}
}

// primed returns a resampler that has its delay inside already, so that each frame in is a frame out.
func primed(from, to int) *Resampler {
	r, err := NewResampler(from, to)
	if err != nil {
		panic(err) // the rates are constants
	}
	r.Process(nil, make([]float32, r.Delay()))
	return r
}

type g711Encoder struct {
	enc func(int16) byte
	res *Resampler
	pcm []float32
}

func (e *g711Encoder) Encode(dst []byte, pcm []float32) ([]byte, error) {
	e.pcm = e.res.Process(e.pcm[:0], pcm)
	for _, s := range e.pcm {
		dst = append(dst, e.enc(ToInt16(s)))
	}
	return dst, nil
}

type g711Decoder struct {
	table [256]float32
	concealer
	pcm []float32
}

func (d *g711Decoder) Decode(dst []float32, payload []byte) ([]float32, error) {
	d.pcm = d.pcm[:0]
	for _, b := range payload {
		d.pcm = append(d.pcm, d.table[b])
	}
	return d.decoded(dst, d.pcm), nil
}

// The mu-law of ITU-T G.711 table 2, over samples of 16 bits.
func encodeMu(s int16) byte {
	const bias, clip = 0x84, 32635
	v, sign := int(s), byte(0)
	if v < 0 {
		v, sign = -v, 0x80
	}
	v = min(v, clip) + bias
	exp := bits.Len(uint(v)) - 8
	return ^(sign | byte(exp<<4) | byte(v>>(exp+3))&0x0f)
}

func decodeMu(b byte) int16 {
	b = ^b
	v := (int16(b&0x0f)<<3+0x84)<<(b>>4&7) - 0x84
	if b&0x80 != 0 {
		return -v
	}
	return v
}

// The A-law of ITU-T G.711 table 1, over samples of 16 bits, with its even bits inverted.
func encodeA(s int16) byte {
	v, sign := int(s), byte(0x80)
	if v < 0 {
		v, sign = -v-1, 0
	}
	exp := max(bits.Len(uint(v))-8, 0)
	mantissa := byte(v>>(max(exp, 1)+3)) & 0x0f
	return (sign | byte(exp<<4) | mantissa) ^ 0x55
}

func decodeA(b byte) int16 {
	b ^= 0x55
	exp := b >> 4 & 7
	v := int16(b&0x0f)<<4 + 8
	if exp > 0 {
		v = (v + 0x100) << (exp - 1)
	}
	if b&0x80 == 0 {
		return -v
	}
	return v
}
