package bridge

import (
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/jingled/jingled/media/rtpstat"
)

const telephoneEvent = "telephone-event"

// packet is what an RTP packet has that is passed on.
type packet struct {
	payload   []byte
	source    uint32
	seq       uint16
	timestamp uint32
	marker    bool
}

// outlet is a track towards a client. In place of one codec it has all that were agreed, so that it can follow the peer.
type outlet struct {
	kind webrtc.RTPCodecType

	mu     sync.Mutex
	splice *rtpstat.Splice
	types  map[kindOfPacket]uint8
	ssrc   uint32
	out    webrtc.TrackLocalWriter // nil until it is bound
}

// kindOfPacket is what the payload type tells: the codec in small letters, and its clock.
type kindOfPacket struct {
	codec string
	clock int
}

func newOutlet(kind webrtc.RTPCodecType) *outlet {
	return &outlet{kind: kind, splice: rtpstat.NewSplice(uint16(rand.Uint32()), rand.Uint32())}
}

// Bind implements [webrtc.TrackLocal].
func (o *outlet) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.types = typesOf(ctx.CodecParameters())
	for _, p := range ctx.CodecParameters() {
		if k := kindOf(p); k.codec != telephoneEvent && k.codec != "rtx" {
			o.ssrc, o.out = uint32(ctx.SSRC()), ctx.WriteStream()
			return p, nil
		}
	}
	return webrtc.RTPCodecParameters{}, webrtc.ErrUnsupportedCodec
}

// typesOf returns the payload types; of several of one codec the first counts.
func typesOf(ps []webrtc.RTPCodecParameters) map[kindOfPacket]uint8 {
	types := map[kindOfPacket]uint8{}
	for _, p := range ps {
		if _, has := types[kindOf(p)]; !has {
			types[kindOf(p)] = uint8(p.PayloadType)
		}
	}
	return types
}

func kindOf(p webrtc.RTPCodecParameters) kindOfPacket {
	_, name, _ := strings.Cut(p.MimeType, "/")
	return kindOfPacket{strings.ToLower(name), int(p.ClockRate)}
}

// Unbind implements [webrtc.TrackLocal].
func (o *outlet) Unbind(webrtc.TrackLocalContext) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.out = nil
	return nil
}

// ID implements [webrtc.TrackLocal].
func (o *outlet) ID() string { return o.kind.String() }

// RID implements [webrtc.TrackLocal].
func (o *outlet) RID() string { return "" }

// StreamID implements [webrtc.TrackLocal].
func (o *outlet) StreamID() string { return "peer" }

// Kind implements [webrtc.TrackLocal].
func (o *outlet) Kind() webrtc.RTPCodecType { return o.kind }

// takes reports whether packets of a codec can be written.
func (o *outlet) takes(codec string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for k := range o.types {
		if strings.EqualFold(k.codec, codec) {
			return true
		}
	}
	return false
}

// write sends a packet, if the client takes its codec.
func (o *outlet) write(codec string, clock int, p packet, now time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	pt, ok := o.types[kindOfPacket{strings.ToLower(codec), clock}]
	if !ok || o.out == nil {
		return
	}
	h := rtp.Header{Version: 2, PayloadType: pt, Marker: p.marker, SSRC: o.ssrc}
	h.SequenceNumber, h.Timestamp = o.splice.Packet(p.source, p.seq, p.timestamp, clock, now)
	_, _ = o.out.WriteRTP(&h, p.payload) // a packet that is lost
}
