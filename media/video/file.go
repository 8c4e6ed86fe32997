package video

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
)

const (
	// maxFrame bounds one frame of a file.
	maxFrame = 16 << 20
	// payloadSize leaves room for RTP, SRTP, UDP, IPv6 and a relay in the 1280 bytes that every path takes.
	payloadSize = 1150
	// h264Rate is for files in Annex B form, which have no times.
	h264Rate = 30
	// replayEvery is how often a file goes back to its last key frame.
	replayEvery = time.Second
	// maxReplay bounds what is kept for that.
	maxReplay = 32 << 20
)

// frame is one picture of a file, and when it is shown.
type frame struct {
	data []byte
	at   time.Duration
}

type frameReader interface {
	next() (frame, error)
}

// File is a [Source] that plays a file once, in time. Asked for a key frame, it goes back to the last one.
type File struct {
	codec *Codec
	f     *os.File
	r     frameReader
	out   rtp.Payloader

	wantKey atomic.Bool
	closing sync.Once
	closed  chan struct{}

	origin   time.Time
	shift    time.Duration // what replays have added
	last     time.Duration
	replayed time.Time
	kept     []frame // since the last key frame
	size     int
	again    []frame
	packets  []Packet
}

// OpenFile opens an IVF file, or one that ends in .h264, .264 or .avc.
func OpenFile(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("video: %w", err)
	}
	v := &File{f: f, closed: make(chan struct{})}
	in := bufio.NewReaderSize(f, 64<<10)
	switch strings.ToLower(filepath.Ext(path)) {
	case ".ivf":
		v.codec, v.r, err = newIVF(in)
	case ".h264", ".264", ".avc":
		v.codec, v.r = known[1], &annexB{in: in}
		if err = isAnnexB(in); err == nil {
			if err = inOrder(in); err == nil {
				_, err = f.Seek(0, io.SeekStart)
				in.Reset(f)
			}
		}
	default:
		err = errors.New("the name ends in none of .ivf, .h264 and .264")
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("video: %s: %w", path, err)
	}
	v.out = v.codec.packets()
	return v, nil
}

// Codec implements [Source].
func (v *File) Codec() *Codec { return v.codec }

// KeyFrame implements [Source].
func (v *File) KeyFrame() { v.wantKey.Store(true) }

// Bitrate implements [Source]: a file has the one it has.
func (v *File) Bitrate(int) {}

// Close implements [Source].
func (v *File) Close() (err error) {
	v.closing.Do(func() {
		close(v.closed)
		err = v.f.Close()
	})
	return err
}

// Read implements [Source].
func (v *File) Read(ctx context.Context) (Packet, error) {
	for len(v.packets) == 0 {
		fr, err := v.nextFrame()
		if err != nil {
			return Packet{}, err
		}
		if v.origin.IsZero() {
			v.origin = time.Now()
		}
		at := fr.at + v.shift
		wait := time.NewTimer(time.Until(v.origin.Add(at)))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return Packet{}, context.Cause(ctx)
		case <-v.closed:
			wait.Stop()
			return Packet{}, os.ErrClosed
		}
		payloads := v.out.Payload(payloadSize, fr.data)
		for i, p := range payloads {
			v.packets = append(v.packets, Packet{
				Payload: p, Timestamp: uint32(int64(at) * ClockRate / int64(time.Second)), Marker: i == len(payloads)-1,
			})
		}
	}
	p := v.packets[0]
	v.packets = v.packets[1:]
	return p, nil
}

// nextFrame is from the file or, if a key frame is wanted, from what was shown since the last one.
func (v *File) nextFrame() (frame, error) {
	if v.wantKey.Swap(false) && len(v.again) == 0 && len(v.kept) > 0 && time.Since(v.replayed) >= replayEvery {
		v.again, v.replayed = append([]frame(nil), v.kept...), time.Now()
		v.shift += v.last - v.again[0].at + time.Second/h264Rate
	}
	if len(v.again) > 0 {
		fr := v.again[0]
		v.again = v.again[1:]
		return fr, nil
	}
	fr, err := v.r.next()
	if err != nil {
		return fr, err
	}
	v.last = fr.at
	switch {
	case v.codec.IsKeyFrame(fr.data):
		v.kept, v.size = v.kept[:0], 0
		fallthrough
	case len(v.kept) > 0:
		v.kept, v.size = append(v.kept, fr), v.size+len(fr.data)
	}
	if v.size > maxReplay {
		v.kept, v.size = nil, 0
	}
	return fr, nil
}

// ivf reads the file format of the VP8 tools: a header of 32 bytes, and 12 before each frame.
type ivf struct {
	in       io.Reader
	num, den uint64 // a unit of time is num/den seconds
	first    uint64
	begun    bool
}

func newIVF(in io.Reader) (*Codec, *ivf, error) {
	var h [32]byte
	if _, err := io.ReadFull(in, h[:]); err != nil || string(h[:4]) != "DKIF" {
		return nil, nil, errors.New("this is no IVF file")
	}
	r := &ivf{
		in: in, den: uint64(binary.LittleEndian.Uint32(h[16:])), num: uint64(binary.LittleEndian.Uint32(h[20:])),
	}
	if skip := int64(binary.LittleEndian.Uint16(h[6:])) - 32; skip > 0 {
		if _, err := io.CopyN(io.Discard, in, skip); err != nil {
			return nil, nil, errors.New("the IVF header is cut off")
		}
	}
	if r.den == 0 || r.num == 0 {
		return nil, nil, errors.New("the IVF header has no rate")
	}
	for _, c := range known {
		if c.fourcc != "" && c.fourcc == string(h[8:12]) {
			return c, r, nil
		}
	}
	return nil, nil, fmt.Errorf("the codec %q is none of VP80, VP90 and AV01", h[8:12])
}

func (r *ivf) next() (frame, error) {
	var h [12]byte
	if _, err := io.ReadFull(r.in, h[:]); err != nil {
		return frame{}, io.EOF // also where a writer was stopped
	}
	n := binary.LittleEndian.Uint32(h[:])
	if n > maxFrame {
		return frame{}, fmt.Errorf("video: a frame of %d bytes", n)
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(r.in, data); err != nil {
		return frame{}, io.EOF
	}
	pts := binary.LittleEndian.Uint64(h[4:])
	if !r.begun || pts < r.first {
		r.first, r.begun = pts, true
	}
	seconds := float64(pts-r.first) * float64(r.num) / float64(r.den)
	if seconds > 1e6 {
		return frame{}, errors.New("video: the times of the frames make no sense")
	}
	return frame{data, time.Duration(seconds * float64(time.Second))}, nil
}

// annexB reads H264 as NAL units after start codes (H.264 annex B), and puts those of one picture together.
type annexB struct {
	in    *bufio.Reader
	n     int
	units []byte // what has been read of the next picture
	over  bool
}

var startCode = []byte{0, 0, 1}

// isAnnexB looks at how a file begins: with a start code, before which there may be zeros (H.264 annex B.1).
func isAnnexB(in *bufio.Reader) error {
	b, _ := in.Peek(64)
	if rest := bytes.TrimLeft(b, "\x00"); len(b)-len(rest) < 2 || !bytes.HasPrefix(rest, startCode[2:]) {
		return errors.New("this is no H264 in Annex B form")
	}
	return nil
}

// inOrder looks at the first second for B slices, which come in another order than they are shown in. The profile that is offered has
// none (H.264 annex A.2.1), and not every decoder of calls can order them.
func inOrder(in *bufio.Reader) error {
	r := &annexB{in: in}
	for range h264Rate {
		fr, err := r.next()
		if err != nil {
			return nil // which playing it finds, too
		}
		if hasB(fr.data) {
			return errors.New("it has B-frames, which a call is agreed without: encode it anew, with -bf 0 or -profile:v baseline of ffmpeg")
		}
	}
	return nil
}

// hasB looks at the first slice of a picture: after first_mb_in_slice, which is 0 in one bit, stands slice_type (H.264 section 7.3.3),
// of which 1 and 6 are B.
func hasB(picture []byte) bool {
	for u := range bytes.SplitSeq(picture, startCode) {
		if len(u) > 1 && u[0]&0x1f >= 1 && u[0]&0x1f <= 5 && u[1]&0x80 != 0 {
			return u[1]&0x70 == 0x20 || u[1]&0x7c == 0x1c
		}
	}
	return false
}

func (r *annexB) next() (frame, error) {
	pictures := r.units
	r.units = nil
	slices := hasSlice(pictures)
	for {
		u, err := r.unit()
		if err != nil {
			if len(pictures) == 0 || !slices {
				return frame{}, err
			}
			break
		}
		if len(u) < 2 {
			continue
		}
		t := u[0] & 0x1f
		isSlice := t >= 1 && t <= 5
		// H.264 section 7.4.1.2.3: a new picture begins with its first macroblock, or with what precedes a picture.
		if slices && (isSlice && u[1]&0x80 != 0 || t >= 6 && t <= 9) {
			r.units = append(append([]byte{0}, startCode...), u...)
			break
		}
		slices = slices || isSlice
		pictures = append(append(append(pictures, 0), startCode...), u...)
		if len(pictures) > maxFrame {
			return frame{}, errors.New("video: a picture has no end")
		}
	}
	r.n++
	return frame{pictures, time.Duration(r.n-1) * time.Second / h264Rate}, nil
}

func hasSlice(units []byte) bool { return len(units) > 4 && units[4]&0x1f >= 1 && units[4]&0x1f <= 5 }

// unit reads one NAL unit.
func (r *annexB) unit() ([]byte, error) {
	if r.over {
		return nil, io.EOF
	}
	var u []byte
	for {
		b, err := r.in.ReadByte()
		if err != nil {
			r.over = true
			if len(u) == 0 {
				return nil, io.EOF
			}
			return u, nil
		}
		u = append(u, b)
		if b == 1 && bytes.HasSuffix(u, startCode) {
			u = bytes.TrimRight(u[:len(u)-3], "\x00")
			if len(u) > 0 {
				return u, nil
			}
			u = u[:0]
		}
		if len(u) > maxFrame {
			return nil, errors.New("video: this is no H264 in Annex B form")
		}
	}
}
