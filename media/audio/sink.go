package audio

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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
const PartSuffix = ".part"

// Recorder writes a recording of mono sound to a file. The file has its name only once it is whole: until
// [Recorder.Close] it ends in [PartSuffix].
type Recorder struct {
	path   string
	f      *os.File
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
	if fi, err := os.Stat(path); err == nil && !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("audio: %s: not a regular file", path)
	}
	part := path + PartSuffix
	// What another run left is ours to replace; whatever else stands there is not followed or written to.
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("audio: %w", err)
	}
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audio: %w", err)
	}
	r := &Recorder{path: path, f: f, buf: bufio.NewWriterSize(f, 16<<10)}
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
		r.err = fmt.Errorf("audio: recording to %s: %w", r.path, err)
	}
	return r.err
}

// Path is the name that the recording has once it is closed.
func (r *Recorder) Path() string { return r.path }

// Close finishes the recording and gives it its name. After an error what there is keeps the name with [PartSuffix].
func (r *Recorder) Close() error {
	_ = r.keep(r.buf.Flush())
	_ = r.keep(r.format.close())
	_ = r.keep(r.buf.Flush())
	_ = r.keep(r.f.Sync())
	_ = r.keep(r.f.Close())
	if r.err != nil {
		return r.err
	}
	return r.keep(os.Rename(r.path+PartSuffix, r.path))
}

// Discard ends the recording and removes it.
func (r *Recorder) Discard() error {
	return errors.Join(r.f.Close(), os.Remove(r.path+PartSuffix))
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
