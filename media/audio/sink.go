package audio

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/jingled/jingled/media/partfile"
)

// Sink is where the sound of the peer goes.
type Sink interface {
	// WritePCM takes the next frame.
	WritePCM(pcm []float32) error
	// Close finishes what has been written.
	Close() error
}

// OpusSink is a [Sink] that takes Opus packets as they are, so that nothing is decoded and encoded again.
type OpusSink interface {
	Sink
	// WriteOpus takes the next packet, of so many samples; a nil one stands for samples that were lost.
	WriteOpus(packet []byte, samples int) error
}

// PartSuffix ends the name of a file while it is being written.
const PartSuffix = partfile.Suffix

// Recorder writes a recording of mono sound to a file. The file has its name only once it is whole: until
// [Recorder.Close] it ends in [PartSuffix].
type Recorder struct {
	f      *partfile.File
	buf    *bufio.Writer
	format recorderFormat
	err    error // the first one
}

// recorderFormat writes one kind of file to the buffer.
type recorderFormat interface {
	writePCM(pcm []float32) error
	close() error
}

// Create starts a recording. The end of the name tells the format: .wav is PCM with 16 bits at 48 kHz, .ogg, .oga and
// .opus are Ogg/Opus; a [Recorder] of those is an [OpusSink]. The file can be read by its owner only, and an older one
// of this name is replaced at the end.
func Create(path string) (Sink, error) {
	ext := strings.ToLower(filepath.Ext(path))
	switch ext {
	case ".wav", ".ogg", ".oga", ".opus":
	default:
		return nil, fmt.Errorf("audio: %s: a recording is named .wav, .ogg or .opus", path)
	}
	f, err := partfile.Create(path)
	if err != nil {
		return nil, fmt.Errorf("audio: %w", err)
	}
	r := &Recorder{f: f, buf: bufio.NewWriterSize(f, 16<<10)}
	if ext == ".wav" {
		r.format = &wavSink{r: r}
		_, err = r.buf.Write(wavHeader(0))
	} else {
		r.format, err = newOggSink(r.buf)
	}
	if err != nil {
		return nil, errors.Join(err, r.Discard())
	}
	if ext == ".wav" {
		return r, nil
	}
	return &OpusRecorder{r}, nil
}

// WritePCM implements [Sink].
func (r *Recorder) WritePCM(pcm []float32) error {
	return r.keep(r.format.writePCM(pcm))
}

func (r *Recorder) keep(err error) error {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("audio: recording to %s: %w", r.f.Path(), err)
	}
	return r.err
}

// Path is the name that the recording has once it is closed.
func (r *Recorder) Path() string { return r.f.Path() }

// Close finishes the recording and gives it its name. After an error what there is keeps the name with [PartSuffix].
func (r *Recorder) Close() error {
	_ = r.keep(r.buf.Flush())
	_ = r.keep(r.format.close())
	_ = r.keep(r.buf.Flush())
	if r.err != nil {
		return errors.Join(r.err, r.f.Close())
	}
	return r.keep(r.f.Commit())
}

// Discard ends the recording and removes it.
func (r *Recorder) Discard() error {
	return r.f.Discard()
}

// OpusRecorder is a [Recorder] of Ogg/Opus.
type OpusRecorder struct{ *Recorder }

// WriteOpus implements [OpusSink].
func (r *OpusRecorder) WriteOpus(packet []byte, samples int) error {
	return r.keep(r.format.(*oggSink).writeOpus(packet, samples))
}

type wavSink struct {
	r       *Recorder
	samples int64
	buf     []byte
}

func (w *wavSink) writePCM(pcm []float32) error {
	w.buf = w.buf[:0]
	for _, s := range pcm {
		w.buf = binary.LittleEndian.AppendUint16(w.buf, uint16(ToInt16(s)))
	}
	w.samples += int64(len(pcm))
	_, err := w.r.buf.Write(w.buf)
	return err
}

func (w *wavSink) close() error {
	_, err := w.r.f.WriteAt(wavHeader(w.samples), 0)
	return err
}
