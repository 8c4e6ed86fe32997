package bridge

import (
	"fmt"
	"net"
	"slices"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/webrtc/v4"

	"github.com/jingled/jingled/internal/pionlog"
)

// newPeerConnection makes one that only answers: as an ICE lite agent (RFC 8445 section 2.5) it sends to nobody who has not
// proved to be the client, whatever candidates an offer names, and a browser's mDNS names need not be resolved. It speaks
// with this machine's addresses alone.
//
// It is on the loopback. Sources and players find it also at those addresses of this machine where they say that they are:
// libnice, and so GStreamer, binds its sockets to an interface, and cannot send to the loopback from others.
func (c *Client) newPeerConnection() (*webrtc.PeerConnection, error) {
	var m webrtc.MediaEngine
	for kind, types := range map[webrtc.RTPCodecType][]webrtc.RTPCodecParameters{
		webrtc.RTPCodecTypeAudio: c.line.soundTypes(), webrtc.RTPCodecTypeVideo: c.line.pictureTypes(),
	} {
		for _, t := range types {
			if err := m.RegisterCodec(t, kind); err != nil {
				return nil, fmt.Errorf("bridge: %w", err)
			}
		}
	}
	r, err := interceptors()
	if err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	own, err := ownAddresses()
	if err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	s := webrtc.SettingEngine{LoggerFactory: pionlog.Factory(c.line.log)}
	s.SetLite(true)
	s.SetIncludeLoopbackCandidate(true)
	s.SetIPFilter(func(ip net.IP) bool {
		return ip.IsLoopback() || c.role != Phone && slices.ContainsFunc(c.media.hosts, ip.Equal)
	})
	s.SetRemoteIPFilter(func(ip net.IP) bool { return ip.IsLoopback() || slices.ContainsFunc(own, ip.Equal) })
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetICETimeouts(disconnectedAfter, failedAfter, keepAlive)
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(&m), webrtc.WithInterceptorRegistry(r), webrtc.WithSettingEngine(s)).
		NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	return pc, nil
}

// interceptors mend losses and make reports.
func interceptors() (*interceptor.Registry, error) {
	var r interceptor.Registry
	generator, err := nack.NewGeneratorInterceptor()
	if err != nil {
		return nil, err
	}
	responder, err := nack.NewResponderInterceptor()
	if err != nil {
		return nil, err
	}
	receiver, err := report.NewReceiverInterceptor()
	if err != nil {
		return nil, err
	}
	sender, err := report.NewSenderInterceptor()
	if err != nil {
		return nil, err
	}
	for _, f := range []interceptor.Factory{generator, responder, receiver, sender} {
		r.Add(f)
	}
	return &r, nil
}

func ownAddresses() ([]net.IP, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var ips []net.IP
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			ips = append(ips, n.IP)
		}
	}
	return ips, nil
}
