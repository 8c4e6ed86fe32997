package bridge

import (
	"maps"
	"slices"
	"strings"

	"github.com/pion/webrtc/v4"

	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/video"
)

// feedback is what is spoken with clients about pictures.
var feedback = []webrtc.RTCPFeedback{
	{Type: "goog-remb"}, {Type: "ccm", Parameter: "fir"}, {Type: "nack"}, {Type: "nack", Parameter: "pli"},
}

// soundTypes are the codecs of sound, that of the peer first if it is known.
func (l *Line) soundTypes() []webrtc.RTPCodecParameters {
	l.mu.Lock()
	heard := l.heard
	l.mu.Unlock()
	codecs := slices.Clone(l.codecs)
	slices.SortStableFunc(codecs, func(a, b *audio.Codec) int {
		switch is := func(c *audio.Codec) bool { return heard != nil && strings.EqualFold(c.Name, heard.Name) }; {
		case is(a) && !is(b):
			return -1
		case is(b) && !is(a):
			return 1
		}
		return 0
	})
	var out []webrtc.RTPCodecParameters
	for _, c := range codecs {
		var lines []string
		for _, k := range slices.Sorted(maps.Keys(c.Parameters)) {
			lines = append(lines, k+"="+c.Parameters[k])
		}
		channels := uint16(0)
		if c.Channels > 1 {
			channels = uint16(c.Channels)
		}
		out = append(out, webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: "audio/" + c.Name, ClockRate: uint32(c.ClockRate), Channels: channels, SDPFmtpLine: strings.Join(lines, ";"),
			},
			PayloadType: webrtc.PayloadType(c.PayloadType),
		})
	}
	for pt, clock := range map[webrtc.PayloadType]uint32{110: 48000, 126: 8000} {
		out = append(out, webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "audio/" + telephoneEvent, ClockRate: clock}, PayloadType: pt,
		})
	}
	return out
}

// pictureTypes are the codecs that the peer takes, or all while that is not known.
func (l *Line) pictureTypes() []webrtc.RTPCodecParameters {
	l.mu.Lock()
	codecs := l.takes
	l.mu.Unlock()
	if codecs == nil {
		codecs = video.Codecs()
	}
	var out []webrtc.RTPCodecParameters
	for _, c := range codecs {
		var lines []string
		for _, kv := range c.Parameters {
			lines = append(lines, kv[0]+"="+kv[1])
		}
		out = append(out, webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: "video/" + c.Name, ClockRate: video.ClockRate, SDPFmtpLine: strings.Join(lines, ";"), RTCPFeedback: feedback,
			},
			PayloadType: webrtc.PayloadType(c.PayloadType),
		})
	}
	return out
}
