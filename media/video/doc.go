// Package video moves encoded pictures between a call and files or other programs. Nothing is encoded or decoded: what
// one side has goes to the other as it is, so both must have the codec.
//
// A [Source] gives RTP payloads in time, a [Sink] takes them in order: IVF files (VP8, VP9, AV1), H264 in Annex B form, and
// RTP over UDP, by which ffmpeg and GStreamer are joined.
package video

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
)

// ClockRate is that of all video (RFC 7741 section 6.3, RFC 6184 section 8.2.1 and others).
const ClockRate = 90000

// Codec is a way to encode pictures. It is immutable.
type Codec struct {
	// Name is the MIME subtype.
	Name string
	// PayloadType is what it is offered under.
	PayloadType uint8
	// Parameters are told to the peer, pairs of name and value.
	Parameters [][2]string
	fourcc     string // in IVF
	packets    func() rtp.Payloader
	frames     func() rtp.Depacketizer
	key        func(frame []byte) bool
}

var known = []*Codec{
	{
		Name: "VP8", PayloadType: 96, fourcc: "VP80", key: isKeyVP8,
		// Without PictureID, which the payloader leaves out of some frames only: browsers then wait for what is not missing.
		packets: func() rtp.Payloader { return &codecs.VP8Payloader{} },
		frames:  func() rtp.Depacketizer { return &vp8Packet{} },
	},
	{
		// RFC 6184 section 8.1: constrained baseline, level 3.1, fragments allowed; what browsers have.
		Name: "H264", PayloadType: 102, key: isKeyH264,
		Parameters: [][2]string{{"level-asymmetry-allowed", "1"}, {"packetization-mode", "1"}, {"profile-level-id", "42e01f"}},
		packets:    func() rtp.Payloader { return &codecs.H264Payloader{} },
		frames:     func() rtp.Depacketizer { return &codecs.H264Packet{} },
	},
	{
		Name: "VP9", PayloadType: 98, fourcc: "VP90", key: isKeyVP9, Parameters: [][2]string{{"profile-id", "0"}},
		packets: func() rtp.Payloader { return &codecs.VP9Payloader{} },
		frames:  func() rtp.Depacketizer { return &codecs.VP9Packet{} },
	},
	{
		Name: "AV1", PayloadType: 45, fourcc: "AV01", key: isKeyAV1,
		packets: func() rtp.Payloader { return &codecs.AV1Payloader{} },
		frames:  func() rtp.Depacketizer { return &codecs.AV1Depacketizer{} },
	},
}

// Codecs returns all, VP8 first, which every client has.
func Codecs() []*Codec { return slices.Clone(known) }

// ByName returns the codec of this name, whose case does not count.
func ByName(name string) (*Codec, error) {
	i := slices.IndexFunc(known, func(c *Codec) bool { return strings.EqualFold(c.Name, name) })
	if i < 0 {
		return nil, fmt.Errorf("video: the codec %q is none of VP8, H264, VP9 and AV1", name)
	}
	return known[i], nil
}

// IsKeyFrame reports whether a whole frame can be decoded without others.
func (c *Codec) IsKeyFrame(frame []byte) bool { return len(frame) > 0 && c.key(frame) }

// KeyFrames returns what finds key frames in the packets of one stream, which it gets in the order in which they come. It
// reports whether a packet begins one, or ends one where that shows only there (RFC 6184 section 5.8).
func (c *Codec) KeyFrames() func(payload []byte) bool {
	frames, began := c.frames(), false
	return func(payload []byte) bool {
		began = began || frames.IsPartitionHead(payload)
		data, err := frames.Unmarshal(payload)
		if err != nil || len(data) == 0 {
			return false
		}
		key := began && c.key(data)
		began = false
		return key
	}
}

// Packet is one RTP packet without what belongs to the session.
type Packet struct {
	Payload []byte
	// Timestamp counts in units of [ClockRate], from anywhere.
	Timestamp uint32
	// Marker is set in the last packet of a frame.
	Marker bool
	// Lost is how many packets are missing before this one.
	Lost uint16
	// Codec is set by a [Relay], and nil otherwise.
	Codec *Codec
	// Source is set for a [Sink], and tells one stream of the peer's packets from another.
	Source uint32
}

// Source is where pictures come from.
type Source interface {
	// Codec tells how they are encoded.
	Codec() *Codec
	// Read waits for the next packet. The error is io.EOF at the end, and ctx's once that has ended.
	Read(ctx context.Context) (Packet, error)
	// KeyFrame says that the other side cannot go on without a key frame. It does not block.
	KeyFrame()
	// Bitrate tells how many bits a second the other side can take. It does not block.
	Bitrate(bps int)
	// Close ends a Read, too.
	Close() error
}

// Sink is where pictures go.
type Sink interface {
	// Write takes a packet of this codec; seq and those of Packet are the sender's. It may come late or not at all. Browsers
	// fill the path with packets that have no payload, whose numbers count.
	Write(c *Codec, seq uint16, p Packet) error
	// Close finishes what was written.
	Close() error
}

// vp8Packet knows the first packet of a frame from the first of a further partition (RFC 7741 section 4.2: S and PID).
type vp8Packet struct{ codecs.VP8Packet }

// IsPartitionHead implements [rtp.Depacketizer].
func (*vp8Packet) IsPartitionHead(payload []byte) bool {
	return len(payload) > 0 && payload[0]&0x17 == 0x10
}

func isKeyVP8(f []byte) bool { return f[0]&1 == 0 } // RFC 6386 section 9.1

// isKeyVP9 reads the uncompressed header of profiles 0 to 2: show_existing_frame and frame_type.
func isKeyVP9(f []byte) bool { return f[0]>>6 == 2 && f[0]&0x0c == 0 }

// isKeyAV1 looks for a sequence header (AV1 specification section 5.3.2), which comes with each key frame.
func isKeyAV1(f []byte) bool {
	for len(f) > 0 {
		if f[0]>>3&15 == 1 {
			return true
		}
		n := 1
		if f[0]&4 != 0 { // extension
			n++
		}
		if f[0]&2 == 0 { // no size: it is the last
			return false
		}
		size, shift := 0, 0
		for {
			if n >= len(f) || shift > 28 {
				return false
			}
			b := f[n]
			n++
			size |= int(b&0x7f) << shift
			shift += 7
			if b&0x80 == 0 {
				break
			}
		}
		if size > len(f)-n {
			return false
		}
		f = f[n+size:]
	}
	return false
}

// isKeyH264 looks for an IDR slice in Annex B form.
func isKeyH264(f []byte) bool {
	for i := 0; i+3 < len(f); i++ {
		if f[i] == 0 && f[i+1] == 0 && f[i+2] == 1 && f[i+3]&0x1f == 5 {
			return true
		}
	}
	return false
}
