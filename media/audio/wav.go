package audio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// The sample formats of a WAV file's fmt chunk.
const (
	wavPCM        = 1
	wavFloat      = 3
	wavExtensible = 0xfffe
)

type wavReader struct {
	r              io.Reader
	sampleRate     int
	channels, bits int
	float          bool
	left           int64 // bytes of data
	raw            []byte
	pcm            []float32
}

func newWAVReader(r io.Reader) (*wavReader, error) {
	var head [12]byte
	if _, err := io.ReadFull(r, head[:]); err != nil || string(head[8:]) != "WAVE" {
		return nil, fmt.Errorf("%w: a RIFF file, but not of the kind WAVE", ErrFormat)
	}
	w := &wavReader{r: r}
	for {
		var chunk [8]byte
		if _, err := io.ReadFull(r, chunk[:]); err != nil {
			return nil, fmt.Errorf("%w: it ends before its sound", ErrFormat)
		}
		size := int64(binary.LittleEndian.Uint32(chunk[4:]))
		switch string(chunk[:4]) {
		case "fmt ":
			if err := w.readFormat(size); err != nil {
				return nil, err
			}
		case "data":
			if w.channels == 0 {
				return nil, fmt.Errorf("%w: its sound comes before the format of it", ErrFormat)
			}
			// A program that writes to a pipe cannot know the size, and writes none or the largest.
			if w.left = size; size == 0 || size >= 0xffffff00 {
				w.left = math.MaxInt64
			}
			w.raw = make([]byte, w.channels*w.bits/8*1024)
			return w, nil
		default:
			if _, err := io.CopyN(io.Discard, r, size+size&1); err != nil {
				return nil, fmt.Errorf("%w: it ends within a chunk", ErrFormat)
			}
		}
	}
}

func (w *wavReader) readFormat(size int64) error {
	if size < 16 || size > 1024 {
		return fmt.Errorf("%w: its format has %d bytes", ErrFormat, size)
	}
	b := make([]byte, size+size&1)
	if _, err := io.ReadFull(w.r, b); err != nil {
		return fmt.Errorf("%w: it ends within its format", ErrFormat)
	}
	kind := binary.LittleEndian.Uint16(b)
	w.channels = int(binary.LittleEndian.Uint16(b[2:]))
	rate := binary.LittleEndian.Uint32(b[4:])
	w.bits = int(binary.LittleEndian.Uint16(b[14:]))
	if kind == wavExtensible && size >= 26 {
		kind = binary.LittleEndian.Uint16(b[24:])
	}
	w.float = kind == wavFloat
	switch {
	case kind == wavPCM && (w.bits == 8 || w.bits == 16 || w.bits == 24 || w.bits == 32):
	case kind == wavFloat && w.bits == 32:
	default:
		return fmt.Errorf("%w: WAV of kind %d with %d bits; what works is PCM with 8 to 32 bits, or float with 32",
			ErrFormat, kind, w.bits)
	}
	if w.channels < 1 || w.channels > 8 {
		return fmt.Errorf("%w: %d channels; 1 to 8 work", ErrFormat, w.channels)
	}
	if rate < MinRate || rate > MaxRate {
		return fmt.Errorf("%w: %d samples a second", ErrFormat, rate)
	}
	w.sampleRate = int(rate)
	return nil
}

func (w *wavReader) rate() int { return w.sampleRate }

func (w *wavReader) next() ([]float32, error) {
	n, err := io.ReadFull(w.r, w.raw[:min(int64(len(w.raw)), w.left)])
	w.left -= int64(n)
	if errors.Is(err, io.ErrUnexpectedEOF) || err == nil && w.left == 0 {
		err = io.EOF
	}
	width := w.bits / 8
	w.pcm = w.pcm[:0]
	for b := w.raw[:n]; len(b) >= width*w.channels; b = b[width*w.channels:] {
		var sum float32
		for c := range w.channels {
			sum += w.sample(b[c*width:])
		}
		w.pcm = append(w.pcm, sum/float32(w.channels))
	}
	return w.pcm, err
}

func (w *wavReader) sample(b []byte) float32 {
	switch {
	case w.float:
		f := math.Float32frombits(binary.LittleEndian.Uint32(b))
		if f != f {
			return 0
		}
		return max(-1, min(1, f))
	case w.bits == 8: // the only unsigned one
		return (float32(b[0]) - 128) / 128
	case w.bits == 16:
		return FromInt16(int16(binary.LittleEndian.Uint16(b)))
	case w.bits == 24:
		return float32(int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24)) / (1 << 31)
	}
	return float32(int32(binary.LittleEndian.Uint32(b))) / (1 << 31)
}

// wavHeader is the head of a file of mono PCM with 16 bits at [SampleRate] with so many samples.
func wavHeader(samples int64) []byte {
	size := uint32(min(samples*2, math.MaxUint32-36))
	b := make([]byte, 0, 44)
	b = append(b, "RIFF"...)
	b = binary.LittleEndian.AppendUint32(b, size+36)
	b = append(b, "WAVEfmt "...)
	b = binary.LittleEndian.AppendUint32(b, 16)
	b = binary.LittleEndian.AppendUint16(b, wavPCM)
	b = binary.LittleEndian.AppendUint16(b, 1)
	b = binary.LittleEndian.AppendUint32(b, SampleRate)
	b = binary.LittleEndian.AppendUint32(b, SampleRate*2)
	b = binary.LittleEndian.AppendUint16(b, 2)
	b = binary.LittleEndian.AppendUint16(b, 16)
	b = append(b, "data"...)
	return binary.LittleEndian.AppendUint32(b, size)
}
