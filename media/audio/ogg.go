package audio

import (
	"errors"
	"fmt"
	"io"

	"github.com/thesyncim/gopus/container/ogg"
)

// opusReader decodes an Ogg/Opus file (RFC 7845). Damaged packets are concealed.
type opusReader struct {
	r    *ogg.Reader
	dec  Decoder
	skip int
	pcm  []float32
}

func newOpusReader(r io.Reader) (*opusReader, error) {
	or, err := ogg.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("%w: an Ogg file, but not Opus: %w", ErrFormat, err)
	}
	if or.Header.MappingFamily != 0 {
		return nil, fmt.Errorf("%w: Opus with %d channels; mono and stereo work", ErrFormat, or.Channels())
	}
	dec, err := newOpusDecoder()
	if err != nil {
		return nil, err
	}
	// RFC 7845 section 4.2: pre-skip is in samples at 48 kHz, to be thrown away.
	return &opusReader{r: or, dec: dec, skip: int(or.PreSkip())}, nil
}

func (o *opusReader) rate() int { return SampleRate }

func (o *opusReader) next() ([]float32, error) {
	p, _, err := o.r.ReadPacket()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, io.EOF
	}
	if err != nil {
		return nil, fmt.Errorf("audio: %w", err)
	}
	if o.pcm, err = o.dec.Decode(o.pcm[:0], p); err != nil {
		o.pcm, _ = o.dec.Conceal(o.pcm[:0], FrameSize, nil)
	}
	drop := min(o.skip, len(o.pcm))
	o.skip -= drop
	return o.pcm[drop:], nil
}

// oggSink writes Ogg/Opus: packets of the call as they came, PCM through an encoder of its own.
type oggSink struct {
	w   *ogg.Writer
	enc Encoder
	toc byte // of the last packet, for what was lost
	buf []byte
}

func newOggSink(w io.Writer) (*oggSink, error) {
	ow, err := ogg.NewWriterWithConfig(w, ogg.WriterConfig{
		SampleRate: SampleRate, Channels: 1, PreSkip: ogg.DefaultPreSkip, MappingFamily: ogg.MappingFamilyRTP,
	})
	if err != nil {
		return nil, fmt.Errorf("audio: %w", err)
	}
	return &oggSink{w: ow, toc: opusSilk20}, nil
}

// opusSilk20 is the first byte of a packet with one mono frame of 20 ms (RFC 6716 section 3.1: configuration 1).
const opusSilk20 = 1 << 3

func (o *oggSink) writePCM(pcm []float32) error {
	if o.enc == nil {
		var err error
		if o.enc, err = newOpusEncoder(EncoderConfig{}); err != nil {
			return err
		}
	}
	var err error
	if o.buf, err = o.enc.Encode(o.buf[:0], pcm); err != nil {
		return err
	}
	return o.w.WritePacket(o.buf, len(pcm))
}

func (o *oggSink) writeOpus(packet []byte, samples int) error {
	if n := opusSamples(packet); n > 0 {
		o.toc = packet[0]
		return o.w.WritePacket(packet, n)
	}
	// RFC 7845 section 4.1: a loss is filled with packets of a first byte and nothing more, so that time goes on and
	// the player conceals it.
	toc := o.toc &^ 3
	for span := opusSamples([]byte{toc}); span > 0 && samples >= span; samples -= span {
		if err := o.w.WritePacket([]byte{toc}, span); err != nil {
			return err
		}
	}
	return nil
}

func (o *oggSink) close() error { return o.w.Close() }
