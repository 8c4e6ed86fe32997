//go:build unix

package media

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/media/dtlssrtp"
)

// groups connects two groups and returns them with what ends them; arrived gets each packet at the one that it came to.
func groups(tb testing.TB, certs [2]*dtlssrtp.Certificate, arrived func(end int, h *rtp.Header, payload []byte)) (a, b *Group, stop func()) {
	tb.Helper()
	var gs [2]*Group
	var mu sync.Mutex
	early := [2][]ice.Transport{}
	for i := range gs {
		cfg := GroupConfig{
			ICE: agent.Config{LoopbackOnly: true}, Certificate: certs[i], Controlling: i == 0,
			RTP: func(h *rtp.Header, b []byte, _ time.Time) { arrived(i, h, b) },
			Candidate: func(c ice.Transport) {
				mu.Lock()
				defer mu.Unlock()
				if other := gs[1-i]; other != nil {
					_, _ = other.Add(c)
				} else {
					early[1-i] = append(early[1-i], c)
				}
			},
		}
		g, err := NewGroup(cfg)
		if err != nil {
			tb.Fatal(err)
		}
		mu.Lock()
		gs[i] = g
		for _, c := range early[i] {
			_, _ = g.Add(c)
		}
		mu.Unlock()
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, g := range gs {
		wg.Go(func() { _ = g.Run(ctx) })
	}
	answer, err := gs[1].Answer(gs[0].Offer())
	if err == nil {
		err = gs[0].Accepted(answer)
	}
	if err != nil {
		tb.Fatal(err)
	}
	<-gs[0].Ready()
	<-gs[1].Ready()
	return gs[0], gs[1], func() {
		cancel()
		wg.Wait()
	}
}

func bareAPI() *webrtc.API {
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() })
	var engine webrtc.MediaEngine
	_ = engine.RegisterDefaultCodecs()
	return webrtc.NewAPI(webrtc.WithSettingEngine(settings), webrtc.WithMediaEngine(&engine),
		webrtc.WithInterceptorRegistry(&interceptor.Registry{})) // none, which is its fastest
}

// connections is groups by bare PeerConnections.
func connections(tb testing.TB, api *webrtc.API, certs [2]webrtc.Certificate, heard func()) (send *webrtc.TrackLocalStaticRTP, stop func()) {
	tb.Helper()
	var pcs [2]*webrtc.PeerConnection
	connected := make(chan struct{}, 2)
	for i := range pcs {
		pc, err := api.NewPeerConnection(webrtc.Configuration{Certificates: []webrtc.Certificate{certs[i]}})
		if err != nil {
			tb.Fatal(err)
		}
		pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
			if s == webrtc.PeerConnectionStateConnected {
				connected <- struct{}{}
			}
		})
		pcs[i] = pc
	}
	var mu sync.Mutex
	described := false
	var early [2][]webrtc.ICECandidateInit
	for i, pc := range pcs {
		pc.OnICECandidate(func(c *webrtc.ICECandidate) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case c == nil:
			case described:
				_ = pcs[1-i].AddICECandidate(c.ToJSON())
			default:
				early[1-i] = append(early[1-i], c.ToJSON())
			}
		})
	}
	track, _ := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "a", "b")
	if _, err := pcs[0].AddTrack(track); err != nil {
		tb.Fatal(err)
	}
	pcs[1].OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		buf := make([]byte, 1500)
		for {
			if _, _, err := t.Read(buf); err != nil {
				return
			}
			heard()
		}
	})
	var err error
	step := func(e error) {
		if err == nil {
			err = e
		}
	}
	offer, e := pcs[0].CreateOffer(nil)
	step(e)
	step(pcs[0].SetLocalDescription(offer))
	step(pcs[1].SetRemoteDescription(offer))
	answer, e := pcs[1].CreateAnswer(nil)
	step(e)
	step(pcs[1].SetLocalDescription(answer))
	step(pcs[0].SetRemoteDescription(answer))
	if err != nil {
		tb.Fatal(err)
	}
	mu.Lock()
	described = true
	for i, cs := range early {
		for _, c := range cs {
			_ = pcs[i].AddICECandidate(c)
		}
	}
	mu.Unlock()
	<-connected
	<-connected
	return track, func() {
		for _, pc := range pcs {
			_ = pc.GracefulClose()
		}
	}
}

func median(ds []time.Duration) time.Duration {
	slices.Sort(ds)
	return ds[len(ds)/2]
}

func certificates(tb testing.TB) (ours [2]*dtlssrtp.Certificate, bare [2]webrtc.Certificate) {
	tb.Helper()
	for i := range ours {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			tb.Fatal(err)
		}
		c, err := webrtc.GenerateCertificate(key)
		if err != nil {
			tb.Fatal(err)
		}
		bare[i] = *c
		if ours[i], err = dtlssrtp.NewCertificate(); err != nil {
			tb.Fatal(err)
		}
	}
	return ours, bare
}

func ignore()                                {}
func ignorePackets(int, *rtp.Header, []byte) {}

// BenchmarkSetup takes the time from nothing to keys on both sides of a pair, beside that of a pair of PeerConnections.
func BenchmarkSetup(b *testing.B) {
	ours, bare := certificates(b)
	api := bareAPI()
	var a, p []time.Duration
	for b.Loop() {
		start := time.Now()
		_, _, stop := groups(b, ours, ignorePackets)
		a = append(a, time.Since(start))
		stop()
		start = time.Now()
		_, stop = connections(b, api, bare, ignore)
		p = append(p, time.Since(start))
		stop()
	}
	us, them := median(a), median(p)
	b.ReportMetric(float64(us.Microseconds())/1000, "ms/group")
	b.ReportMetric(float64(them.Microseconds())/1000, "ms/bare")
	b.ReportMetric(float64(us)/float64(them), "ratio")
}

func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// BenchmarkIdle takes memory and goroutines of one side of an idle pair, beside those of a PeerConnection.
func BenchmarkIdle(b *testing.B) {
	const n = 20
	ours, bare := certificates(b)
	api := bareAPI()
	measure := func(one func() func()) (kib, goroutines float64) {
		before, routines := memory(), runtime.NumGoroutine()
		var stops []func()
		for range n {
			stops = append(stops, one())
		}
		kib = float64(memory()-before) / 1024 / n / 2
		goroutines = float64(runtime.NumGoroutine()-routines) / n / 2
		for _, stop := range stops {
			stop()
		}
		return kib, goroutines
	}
	for b.Loop() {
		us, ourG := measure(func() func() { _, _, stop := groups(b, ours, ignorePackets); return stop })
		them, theirG := measure(func() func() { _, stop := connections(b, api, bare, ignore); return stop })
		b.ReportMetric(us, "KiB/group")
		b.ReportMetric(them, "KiB/bare")
		b.ReportMetric(us/them, "ratio")
		b.ReportMetric(ourG, "goroutines/group")
		b.ReportMetric(theirG, "goroutines/bare")
	}
}

func cpu() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkPackets takes the CPU of both sides for a packet of 120 bytes at 2000 packets a second, which is forty calls
// one way, beside that of PeerConnections.
func BenchmarkPackets(b *testing.B) {
	ours, bare := certificates(b)
	payload := make([]byte, 120)
	const packets = 10000
	measure := func(write func(h *rtp.Header) error, heard *atomic.Int64) (perPacket time.Duration) {
		start := cpu()
		// In bursts, as many calls on one machine make them: waking up is not what is to be measured.
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for i := range packets {
			if i%10 == 0 {
				<-tick.C
			}
			_ = write(&rtp.Header{Version: 2, PayloadType: 111, SequenceNumber: uint16(i), Timestamp: uint32(i * 960), SSRC: 7})
		}
		time.Sleep(20 * time.Millisecond)
		if n := heard.Load(); n < packets*95/100 {
			b.Errorf("%d of %d packets came through", n, packets)
		}
		return (cpu() - start) / packets
	}
	for b.Loop() {
		var n, m atomic.Int64
		a, _, stop := groups(b, ours, func(int, *rtp.Header, []byte) { n.Add(1) })
		us := measure(func(h *rtp.Header) error { return a.WriteRTP(h, payload) }, &n)
		stop()
		track, stop := connections(b, bareAPI(), bare, func() { m.Add(1) })
		them := measure(func(h *rtp.Header) error {
			return track.WriteRTP(&rtp.Packet{Header: *h, Payload: payload})
		}, &m)
		stop()
		b.ReportMetric(float64(us.Nanoseconds())/1000, "us/group")
		b.ReportMetric(float64(them.Nanoseconds())/1000, "us/bare")
		b.ReportMetric(float64(us)/float64(them), "ratio")
	}
}
