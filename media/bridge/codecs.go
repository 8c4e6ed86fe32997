package bridge

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/webrtc/v4"

	"github.com/jingled/jingled/internal/pionlog"
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

// newPeerConnection makes one that is to be found on the loopback only, and that only answers: as an ICE lite agent (RFC
// 8445 section 2.5) it sends to nobody who has not proved to be the client, whatever candidates an offer names. So a
// browser's mDNS names need not be resolved.
func (l *Line) newPeerConnection() (*webrtc.PeerConnection, error) {
	var m webrtc.MediaEngine
	for kind, types := range map[webrtc.RTPCodecType][]webrtc.RTPCodecParameters{
		webrtc.RTPCodecTypeAudio: l.soundTypes(), webrtc.RTPCodecTypeVideo: l.pictureTypes(),
	} {
		for _, t := range types {
			if err := m.RegisterCodec(t, kind); err != nil {
				return nil, fmt.Errorf("bridge: %w", err)
			}
		}
	}
	var r interceptor.Registry
	generator, err := nack.NewGeneratorInterceptor()
	if err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	responder, err := nack.NewResponderInterceptor()
	if err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	receiver, err := report.NewReceiverInterceptor()
	if err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	sender, err := report.NewSenderInterceptor()
	if err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	for _, f := range []interceptor.Factory{generator, responder, receiver, sender} {
		r.Add(f)
	}
	s := webrtc.SettingEngine{LoggerFactory: pionlog.Factory(l.log)}
	s.SetLite(true)
	s.SetIncludeLoopbackCandidate(true)
	s.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() })
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetICETimeouts(disconnectedAfter, failedAfter, keepAlive)
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(&m), webrtc.WithInterceptorRegistry(&r), webrtc.WithSettingEngine(s)).
		NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	return pc, nil
}
