package audio

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
)

// Source is where the sound that we send comes from.
type Source interface {
	// Read fills pcm and returns how many samples it has written. At the end it returns io.EOF, alone or with the
	// last samples. It must not block for long: it is called in time with the call.
	Read(pcm []float32) (int, error)
	// Close releases what the source holds.
	Close() error
}

// Silence is a [Source] without an end.
type Silence struct{}

// Read implements [Source].
func (Silence) Read(pcm []float32) (int, error) {
	clear(pcm)
	return len(pcm), nil
}

// Close implements [Source].
func (Silence) Close() error { return nil }

// ErrFormat is wrapped by the errors about files that are not sound in a format of this package.
var ErrFormat = errors.New("not a sound file that can be read")

// DefaultToneAmplitude is the amplitude of the source tone:FREQ: -12 dB of full scale.
const DefaultToneAmplitude = 0.25

// Open returns the source that a user names: "silence", "tone:440" (Hz), or the path of a WAV or an Ogg/Opus file,
// told apart by what is in them.
func Open(spec string) (Source, error) {
	if spec == "silence" || spec == "" {
		return Silence{}, nil
	}
	if f, ok := strings.CutPrefix(spec, "tone:"); ok {
		freq, err := strconv.ParseFloat(f, 64)
		if err != nil || math.IsNaN(freq) || freq < 20 || freq > 20000 {
			return nil, fmt.Errorf("audio: %q: a tone has a frequency from 20 to 20000 Hz, as in tone:440", spec)
		}
		return NewTone(freq, DefaultToneAmplitude), nil
	}
	f, err := os.Open(spec)
	if err != nil {
		return nil, fmt.Errorf("audio: %w", err)
	}
	src, err := newFileSource(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("audio: %s: %w", spec, err)
	}
	return src, nil
}

// decoder yields the mono PCM of a file at its own rate; an empty answer without an error is no end.
type decoder interface {
	rate() int
	next() ([]float32, error)
}

type fileSource struct {
	closer io.Closer
	dec    decoder
	res    *Resampler
	out    []float32 // converted, not yet read
	pos    int
	err    error
}

func newFileSource(f io.ReadCloser) (*fileSource, error) {
	r := bufio.NewReaderSize(f, 32<<10)
	magic, err := r.Peek(4)
	if err != nil {
		return nil, fmt.Errorf("%w: it has less than four bytes", ErrFormat)
	}
	var dec decoder
	switch string(magic) {
	case "RIFF":
		dec, err = newWAVReader(r)
	case "OggS":
		dec, err = newOpusReader(r)
	default:
		err = fmt.Errorf("%w: neither WAV nor Ogg/Opus", ErrFormat)
	}
	if err != nil {
		return nil, err
	}
	res, err := NewResampler(dec.rate(), SampleRate)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return &fileSource{closer: f, dec: dec, res: res}, nil
}

func (s *fileSource) Read(pcm []float32) (int, error) {
	n := 0
	for n < len(pcm) {
		if s.pos == len(s.out) {
			if s.err != nil {
				return n, s.err
			}
			s.fill()
			continue
		}
		c := copy(pcm[n:], s.out[s.pos:])
		n += c
		s.pos += c
	}
	return n, nil
}

func (s *fileSource) fill() {
	in, err := s.dec.next()
	s.out = s.res.Process(s.out[:0], in)
	s.pos = 0
	if err != nil {
		s.err = err
		s.out = s.res.Flush(s.out)
	}
}

func (s *fileSource) Close() error { return s.closer.Close() }
