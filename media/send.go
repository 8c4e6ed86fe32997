package media

import (
	"errors"
	"math/rand/v2"

	"github.com/pion/rtp"

	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/dtlssrtp"
)

// sender makes the RTP packets of a stream. It belongs to the stream's run.
type sender struct {
	s         *stream
	enc       audio.Encoder
	encOf     *audio.Codec
	seq       uint16
	timestamp uint32
	step      uint32 // timestamp units in a frame
	marker    bool   // the next packet of audio is the first after a pause
	payload   []byte

	// DTMF has its own clock, which is that of the audio unless the peer has no such.
	eventTime  uint32
	eventStep  uint32
	eventStart uint32 // in eventTime
	eventAudio uint32 // the same in the audio's timestamp
}

func newSender(s *stream) *sender {
	return &sender{s: s, seq: uint16(rand.Uint32()), timestamp: rand.Uint32(), marker: true}
}

// frame sends what belongs to the next 20 ms.
func (w *sender) frame(pcm []float32) error {
	s := w.s
	s.mu.Lock()
	a := s.agreed
	quiet := !s.canSend || s.held || s.holding
	if !quiet {
		s.readFrame(pcm)
	}
	w.step, w.eventStep = uint32(a.send.ClockRate/50), uint32(a.eventClock/50)
	key, isKey := s.keys.Tick(w.eventTime)
	isKey = isKey && s.canSend
	s.mu.Unlock()
	defer w.skip(1)
	h := rtp.Header{Version: 2, SequenceNumber: w.seq, SSRC: s.ssrc}
	switch {
	case isKey:
		if key.Marker {
			w.eventStart, w.eventAudio = key.Timestamp, w.timestamp
		}
		h.PayloadType, h.Marker, h.Timestamp = a.eventPT, key.Marker, w.eventAudio
		w.payload = key.Event.Append(w.payload[:0])
		w.marker = true
	case quiet:
		w.marker = true
		return nil
	default:
		if w.enc == nil || w.encOf != a.send {
			enc, err := a.send.NewEncoder(a.config)
			if err != nil {
				return err
			}
			w.enc, w.encOf = enc, a.send
		}
		var err error
		if w.payload, err = w.enc.Encode(w.payload[:0], pcm); err != nil {
			return err
		}
		// RFC 3551 section 4.1: the marker is at the beginning of a talkspurt.
		h.PayloadType, h.Marker, h.Timestamp = a.sendPT, w.marker, w.timestamp
		w.marker = false
	}
	if err := s.out.WriteRTP(&h, w.payload); err != nil {
		if errors.Is(err, dtlssrtp.ErrNotReady) {
			return err
		}
		return nil // a packet lost; if the path is, ICE says so
	}
	w.seq++
	s.mu.Lock()
	s.sent.packets++
	s.sent.bytes += uint64(len(w.payload))
	s.sent.timestamp, s.sent.at = w.timestamp, s.now()
	s.mu.Unlock()
	return nil
}

// skip lets so many frames of time go by.
func (w *sender) skip(frames int) {
	w.timestamp += w.step * uint32(frames)
	w.eventTime += w.eventStep * uint32(frames)
}
