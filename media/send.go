package media

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtp"

	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/dtlssrtp"
	"github.com/jingled/jingled/media/rtpstat"
)

// sender makes the RTP packets of a stream, by the clock of the stream's run or, in pass, of those that a source has.
type sender struct {
	s *stream

	mu        sync.Mutex // guards the rest; is taken before that of s
	splice    *rtpstat.Splice
	passed    time.Duration // when a packet was passed on, or -passPause
	key       bool          // is being sent
	enc       audio.Encoder
	encOf     *audio.Codec
	encFor    audio.EncoderConfig
	seq       uint16
	timestamp uint32
	step      uint32 // timestamp units in a frame
	marker    bool   // the next packet of audio is the first after a pause
	payload   []byte

	// DTMF has its own clock, which is that of the audio unless the peer has no such.
	eventTime  uint32
	eventStep  uint32
	eventAudio uint32 // the audio's timestamp when the key went down
}

// ours is the source of the packets that are not passed on.
const ours = 0

// passPause is how long a source of packets may give none before silence is sent.
const passPause = 500 * time.Millisecond

func newSender(s *stream) *sender {
	seq, timestamp := uint16(rand.Uint32()), rand.Uint32()
	return &sender{s: s, splice: rtpstat.NewSplice(seq, timestamp), passed: -passPause, seq: seq, timestamp: timestamp, marker: true}
}

// connect has a source of packets bring them, until the returned function is called.
func (w *sender) connect() (disconnect func()) {
	w.s.mu.Lock()
	ps, ok := w.s.source.(audio.PacketSource)
	w.s.mu.Unlock()
	if !ok {
		return func() {}
	}
	ps.Connect(w.pass)
	return func() { ps.Connect(nil) }
}

// pass sends a packet of the source as it is, and reports whether its codec is the one that is sent.
func (w *sender) pass(c *audio.Codec, p audio.Packet) bool {
	s := w.s
	w.mu.Lock()
	defer w.mu.Unlock()
	s.mu.Lock()
	a, now := s.agreed, s.now()
	fits := a.send != nil && strings.EqualFold(a.send.Name, c.Name)
	quiet := !s.canSend || s.held || s.holding || s.muted
	s.mu.Unlock()
	if !fits || quiet || w.key {
		return fits
	}
	h := rtp.Header{Version: 2, PayloadType: a.sendPT, Marker: p.Marker, SSRC: s.ssrc}
	h.SequenceNumber, h.Timestamp = w.splice.Packet(p.Source, p.Seq, p.Timestamp, a.send.ClockRate, now)
	w.passed, w.marker = now, true
	if s.out.WriteRTP(&h, p.Payload) == nil {
		w.count(&h, len(p.Payload))
	}
	return true
}

// count keeps what was sent. The timestamp of a key is that of its beginning, and not counted.
func (w *sender) count(h *rtp.Header, size int) {
	s := w.s
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent.packets++
	s.sent.bytes += uint64(size)
	if !w.key {
		s.sent.timestamp, s.sent.at = h.Timestamp, s.now()
	}
}

// frame sends what belongs to the next 20 ms.
func (w *sender) frame(pcm []float32) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.s
	s.mu.Lock()
	a := s.agreed
	now := s.now()
	quiet := !s.canSend || s.held || s.holding
	passing := !s.muted && !s.tones.Busy() && now-w.passed < passPause
	if !quiet && !passing {
		s.readFrame(pcm)
		s.tones.Frame(pcm)
	}
	w.step, w.eventStep = uint32(a.send.ClockRate/50), uint32(a.eventClock/50)
	key, isKey := s.keys.Tick(w.eventTime)
	isKey = isKey && s.canSend
	s.mu.Unlock()
	defer w.skipped(1)
	w.key = isKey
	h := rtp.Header{Version: 2, SSRC: s.ssrc}
	switch {
	case isKey:
		if key.Marker {
			w.eventAudio = w.timestamp
		}
		h.PayloadType, h.Marker, h.Timestamp = a.eventPT, key.Marker, w.eventAudio
		w.payload = key.Event.Append(w.payload[:0])
		w.marker = true
	case quiet:
		w.marker = true
		return nil
	case passing:
		return nil
	default:
		if w.enc == nil || w.encOf != a.send || w.encFor != a.config {
			enc, err := a.send.NewEncoder(a.config)
			if err != nil {
				return err
			}
			w.enc, w.encOf, w.encFor = enc, a.send, a.config
		}
		var err error
		if w.payload, err = w.enc.Encode(w.payload[:0], pcm); err != nil {
			return err
		}
		// RFC 3551 section 4.1: the marker is at the beginning of a talkspurt.
		h.PayloadType, h.Marker, h.Timestamp = a.sendPT, w.marker, w.timestamp
		w.marker = false
	}
	h.SequenceNumber, h.Timestamp = w.splice.Packet(ours, w.seq, h.Timestamp, a.send.ClockRate, now)
	if err := s.out.WriteRTP(&h, w.payload); err != nil {
		if errors.Is(err, dtlssrtp.ErrNotReady) {
			return err
		}
		return nil // a packet lost; if the path is, ICE says so
	}
	w.seq++
	w.count(&h, len(w.payload))
	return nil
}

// skip lets so many frames of time go by.
func (w *sender) skip(frames int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.skipped(frames)
}

func (w *sender) skipped(frames int) {
	w.timestamp += w.step * uint32(frames)
	w.eventTime += w.eventStep * uint32(frames)
}
