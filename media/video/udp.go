package video

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/jingled/jingled/media/rtpstat"
)

// PayloadType is what RTP over UDP has on the way out; on the way in any will do.
const PayloadType = 96

// RTPSource is a [Source] of RTP packets that another program sends to a UDP port.
type RTPSource struct {
	codec *Codec
	conn  *net.UDPConn
	buf   [2048]byte
	begun bool
	run   uint32 // of the program: it may begin again, with numbers of its own
	seq   uint16 // its highest
	leap  uint16 // what would follow a packet whose number was far from that
	to    rtpstat.Splice
	out   uint16 // the last number of to
	since time.Time

	mu   sync.Mutex // guards what follows
	ssrc uint32
	from netip.AddrPort // of the program that sends, once it has
}

// parseRTP reads PORT, HOST:PORT, and a codec after a slash. The host must be an address, and is the loopback by default.
func parseRTP(spec string) (netip.AddrPort, *Codec, error) {
	addr, name, has := strings.Cut(strings.TrimPrefix(spec, "rtp:"), "/")
	if !has {
		name = "VP8"
	}
	c, err := ByName(name)
	if err != nil {
		return netip.AddrPort{}, nil, err
	}
	if port, err := strconv.ParseUint(addr, 10, 16); err == nil {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port)), c, nil
	}
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return ap, nil, fmt.Errorf("video: %q is neither rtp:PORT nor rtp:ADDRESS:PORT, with /CODEC or without", spec)
	}
	return ap, c, nil
}

// CheckRTP reports whether [ListenRTP] and [DialRTP] understand spec, which begins with "rtp:", without opening anything. A port
// has to be named.
func CheckRTP(spec string) error {
	ap, _, err := parseRTP(spec)
	if err == nil && ap.Port() == 0 {
		err = fmt.Errorf("video: %q names no port", spec)
	}
	return err
}

// ListenRTP makes a source of "rtp:PORT", "rtp:PORT/H264" or "rtp:ADDRESS:PORT/CODEC". The codec is VP8 by default.
func ListenRTP(spec string) (*RTPSource, error) {
	ap, c, err := parseRTP(spec)
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(ap))
	if err != nil {
		return nil, fmt.Errorf("video: %w", err)
	}
	_ = conn.SetReadBuffer(1 << 20) // a key frame comes at once
	return &RTPSource{codec: c, conn: conn}, nil
}

// Addr is where packets are taken.
func (s *RTPSource) Addr() net.Addr { return s.conn.LocalAddr() }

// Codec implements [Source].
func (s *RTPSource) Codec() *Codec { return s.codec }

// KeyFrame implements [Source]: it sends a PLI (RFC 4585 section 6.3.1) to where the packets come from. Most programs do not
// read it, so their encoder should make key frames every second or two.
func (s *RTPSource) KeyFrame() {
	s.tell(func(ssrc uint32) rtcp.Packet { return &rtcp.PictureLossIndication{MediaSSRC: ssrc} })
}

// Bitrate implements [Source]: it sends a REMB to where the packets come from, as KeyFrame does.
func (s *RTPSource) Bitrate(bps int) {
	s.tell(func(ssrc uint32) rtcp.Packet {
		return &rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: float32(bps), SSRCs: []uint32{ssrc}}
	})
}

// tell sends feedback to the program, on the ports of RTP (RFC 5761).
func (s *RTPSource) tell(what func(ssrc uint32) rtcp.Packet) {
	s.mu.Lock()
	ssrc, to := s.ssrc, s.from
	s.mu.Unlock()
	if !to.IsValid() {
		return
	}
	// RFC 3550 section 6.1: a report comes first.
	if b, err := rtcp.Marshal([]rtcp.Packet{&rtcp.ReceiverReport{}, what(ssrc)}); err == nil {
		_, _ = s.conn.WriteToUDPAddrPort(b, to)
	}
}

// Close implements [Source].
func (s *RTPSource) Close() error { return s.conn.Close() }

// Read implements [Source]. Packets that are no RTP are passed over.
func (s *RTPSource) Read(ctx context.Context) (Packet, error) {
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(s.buf[:])
		if err != nil {
			if ctx.Err() != nil {
				return Packet{}, context.Cause(ctx)
			}
			if errors.Is(err, net.ErrClosed) {
				return Packet{}, os.ErrClosed
			}
			return Packet{}, fmt.Errorf("video: %w", err)
		}
		var h rtp.Header
		used, err := h.Unmarshal(s.buf[:n])
		if err != nil || h.Version != 2 || h.PayloadType >= 64 && h.PayloadType <= 95 { // RTCP (RFC 5761 section 4)
			continue
		}
		payload := s.buf[used:n]
		if h.Padding && len(payload) > 0 {
			pad := int(payload[len(payload)-1])
			if pad > len(payload) {
				continue
			}
			payload = payload[:len(payload)-pad]
		}
		if !s.follows(h.SSRC, h.SequenceNumber) {
			continue
		}
		s.mu.Lock()
		s.ssrc, s.from = h.SSRC, from
		s.mu.Unlock()
		seq, timestamp := s.to.Packet(s.run, h.SequenceNumber, h.Timestamp, ClockRate, time.Since(s.since))
		p := Packet{Payload: payload, Timestamp: timestamp, Marker: h.Marker, Lost: seq - s.out - 1}
		s.out = seq
		return p, nil
	}
}

// follows reports whether a packet comes after those before it. A program that was started again is known by its SSRC, or, if it
// has the same, by two packets in a row whose numbers are far from the others (RFC 3550 appendix A.1).
func (s *RTPSource) follows(ssrc uint32, seq uint16) bool {
	const maxDropout, maxMisorder = 3000, 100
	switch gap := seq - s.seq - 1; {
	case !s.begun:
		s.since = time.Now()
	case ssrc != s.ssrc:
		s.run++
	case gap < maxDropout:
	case gap >= 0xffff-maxMisorder: // late or double
		return false
	case seq != s.leap:
		s.leap = seq + 1
		return false
	default:
		s.run++
	}
	s.begun, s.seq, s.leap = true, seq, seq
	return true
}

// RTPSink is a [Sink] that sends RTP packets to another program.
type RTPSink struct {
	conn *net.UDPConn
	buf  []byte
}

// DialRTP makes a sink of "rtp:PORT" or "rtp:ADDRESS:PORT".
func DialRTP(spec string) (*RTPSink, error) {
	ap, _, err := parseRTP(spec)
	if err != nil {
		return nil, err
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(ap))
	if err != nil {
		return nil, fmt.Errorf("video: %w", err)
	}
	return &RTPSink{conn: conn}, nil
}

// Write implements [Sink]. That nobody listens is no error.
func (s *RTPSink) Write(_ *Codec, seq uint16, p Packet) error {
	h := rtp.Header{
		Version: 2, PayloadType: PayloadType, SequenceNumber: seq, Timestamp: p.Timestamp, Marker: p.Marker, SSRC: 1,
	}
	var err error
	if s.buf, err = (&rtp.Packet{Header: h, Payload: p.Payload}).Marshal(); err != nil {
		return err
	}
	_, _ = s.conn.Write(s.buf)
	return nil
}

// Close implements [Sink].
func (s *RTPSink) Close() error { return s.conn.Close() }

// Open opens a file or "rtp:PORT".
func Open(spec string) (Source, error) {
	if strings.HasPrefix(spec, "rtp:") {
		return ListenRTP(spec)
	}
	return OpenFile(spec)
}

// OpenSink starts a recording, or sends to "rtp:PORT".
func OpenSink(spec string) (Sink, error) {
	if strings.HasPrefix(spec, "rtp:") {
		return DialRTP(spec)
	}
	return Create(spec)
}
