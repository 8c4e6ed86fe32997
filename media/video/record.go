package video

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/jingled/jingled/media/partfile"
)

// PartSuffix ends the name of a file while it is being written.
const PartSuffix = partfile.Suffix

// Recorder is a [Sink] that writes a file: IVF for VP8, VP9 and AV1, Annex B for H264. Its name is given when it is closed.
type Recorder struct {
	f      *partfile.File
	w      *bufio.Writer
	codec  *Codec
	build  *assembler
	frames uint32
	began  bool
	first  uint32 // the timestamp that stands for the beginning
	next   uint32 // where the next frame stands if its source is another
	source uint32
	seq    uint16
	err    error
}

// Create starts a recording; the name ends in .ivf or .h264. Which codec comes is known later, and if it does not fit, the
// first Write says so. The file can be read by its owner only.
func Create(path string) (*Recorder, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".ivf", ".h264", ".264":
	default:
		return nil, fmt.Errorf("video: %s: a recording is named .ivf or .h264", path)
	}
	f, err := partfile.Create(path)
	if err != nil {
		return nil, fmt.Errorf("video: %w", err)
	}
	return &Recorder{f: f, w: bufio.NewWriterSize(f, 64<<10)}, nil
}

// Write implements [Sink].
func (r *Recorder) Write(c *Codec, seq uint16, p Packet) error {
	if r.err != nil {
		return r.err
	}
	if r.codec == nil {
		if isIVF := strings.EqualFold(filepath.Ext(r.f.Path()), ".ivf"); isIVF == (c.fourcc == "") {
			return r.keep(fmt.Errorf("%s does not go into this kind of file", c.Name))
		}
		r.codec, r.source, r.seq = c, p.Source, seq
		r.begin()
		if c.fourcc != "" {
			_, _ = r.w.Write(ivfHeader(c.fourcc, 0))
		}
	}
	if c != r.codec {
		return nil // a change of codec does not fit into one file
	}
	// Another source has numbers of its own, and after a jump of them nothing is waited for.
	if jump := seq - r.seq; p.Source != r.source || jump > maxLate && jump < -maxLate&0xffff {
		r.build.flush(r.take)
		r.began = false
		r.begin()
	}
	r.source, r.seq = p.Source, seq
	r.build.push(seq, p, r.take)
	return r.err
}

func (r *Recorder) begin() { r.build = newAssembler(r.codec) }

// take writes a frame.
func (r *Recorder) take(frame []byte, timestamp uint32) {
	if r.err != nil || !r.began && !r.codec.IsKeyFrame(frame) {
		return // nothing can be seen before
	}
	if !r.began {
		r.began, r.first = true, timestamp-r.next
	}
	r.next = timestamp - r.first + ClockRate/30
	r.frames++
	if r.codec.fourcc != "" {
		var h [12]byte
		binary.LittleEndian.PutUint32(h[:], uint32(len(frame)))
		binary.LittleEndian.PutUint64(h[4:], uint64(timestamp-r.first))
		_, _ = r.w.Write(h[:]) // an error stays
	}
	_, err := r.w.Write(frame)
	_ = r.keep(err)
}

func (r *Recorder) keep(err error) error {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("video: recording to %s: %w", r.f.Path(), err)
	}
	return r.err
}

// Close implements [Sink]. After an error what there is keeps the name with [PartSuffix].
func (r *Recorder) Close() error {
	if r.build != nil {
		r.build.flush(r.take)
	}
	_ = r.keep(r.w.Flush())
	if r.codec != nil && r.codec.fourcc != "" {
		_, err := r.f.WriteAt(ivfHeader(r.codec.fourcc, r.frames), 0)
		_ = r.keep(err)
	}
	if r.err != nil {
		return errors.Join(r.err, r.f.Close())
	}
	return r.keep(r.f.Commit())
}

// ivfHeader leaves the size of the pictures open, which players read from the frames.
func ivfHeader(fourcc string, frames uint32) []byte {
	h := append([]byte("DKIF\x00\x00\x20\x00"), fourcc...)
	h = binary.LittleEndian.AppendUint16(h, 0)
	h = binary.LittleEndian.AppendUint16(h, 0)
	h = binary.LittleEndian.AppendUint32(h, ClockRate)
	h = binary.LittleEndian.AppendUint32(h, 1)
	h = binary.LittleEndian.AppendUint32(h, frames)
	return append(h, 0, 0, 0, 0)
}
