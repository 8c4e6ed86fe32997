package media

import (
	"github.com/pion/rtp"

	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/dtmf"
)

// listener finds keys in the sound of one source of the peer's, where that is wanted ([Config.InBandDTMF]). It takes packets as
// they come, apart from what is played, as nothing may be played at all.
type listener struct {
	codec    *audio.Codec
	decoder  audio.Decoder
	detector dtmf.Detector
	last     uint16
	begun    bool
	pcm      []float32
}

// longestLoss is how much lost sound is replaced, so that a key goes on over it.
const longestLoss = 3

// listen looks for keys in a packet of sound; s.mu is held. Who sends telephone events is not listened to: gateways leave the
// tones in the sound besides, and a key is told once.
func (s *stream) listen(in *incoming, codec *audio.Codec, h *rtp.Header, payload []byte) {
	if !s.inBand || len(in.keys) > 0 {
		return
	}
	l := &in.listener
	if l.codec != codec {
		d, err := codec.NewDecoder()
		if err != nil {
			return
		}
		*l = listener{codec: codec, decoder: d}
	}
	gap := int16(h.SequenceNumber - l.last)
	if l.begun && gap <= 0 {
		return // late
	}
	l.pcm = l.pcm[:0]
	var err error
	if l.begun && gap > 1 {
		lost := min(int(gap)-1, longestLoss) * audio.FrameSize
		if l.pcm, err = l.decoder.Conceal(l.pcm, lost, payload); err != nil {
			return
		}
	}
	l.last, l.begun = h.SequenceNumber, true
	if l.pcm, err = l.decoder.Decode(l.pcm, payload); err != nil {
		return
	}
	for _, heard := range l.detector.Push(l.pcm) {
		if heard.Change == dtmf.Down {
			s.pending = append(s.pending, KeyDown{heard.Key})
		} else {
			s.pending = append(s.pending, KeyUp{heard.Key})
		}
	}
}
