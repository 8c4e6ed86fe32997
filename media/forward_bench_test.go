//go:build linux

package media

import (
	"bytes"
	"os"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/jingled/jingled/media/dtlssrtp"
)

// leg is one end of a path that packets go over.
type leg interface {
	write(h *rtp.Header, payload []byte)
}

// joined is both ends of a path, and what ends it. arrived gets each packet at the end that it came to.
type joined func(tb testing.TB, arrived func(end int, h *rtp.Header, payload []byte)) (ends [2]leg, stop func())

type groupLeg struct{ *Group }

func (g groupLeg) write(h *rtp.Header, payload []byte) { _ = g.WriteRTP(h, payload) }

func joinGroups(certs [2]*dtlssrtp.Certificate) joined {
	return func(tb testing.TB, arrived func(int, *rtp.Header, []byte)) (ends [2]leg, stop func()) {
		tb.Helper()
		x, y, stop := groups(tb, certs, arrived)
		return [2]leg{groupLeg{x}, groupLeg{y}}, stop
	}
}

type trackLeg struct{ *webrtc.TrackLocalStaticRTP }

func (t trackLeg) write(h *rtp.Header, payload []byte) {
	_ = t.WriteRTP(&rtp.Packet{Header: *h, Payload: payload})
}

func joinConnections(api *webrtc.API, certs [2]webrtc.Certificate) joined {
	return func(tb testing.TB, arrived func(int, *rtp.Header, []byte)) (ends [2]leg, stop func()) {
		tb.Helper()
		var pcs [2]*webrtc.PeerConnection
		connected := make(chan struct{}, 2)
		for i := range pcs {
			pc, err := api.NewPeerConnection(webrtc.Configuration{Certificates: []webrtc.Certificate{certs[i]}})
			if err != nil {
				tb.Fatal(err)
			}
			pcs[i] = pc
			pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
				if s == webrtc.PeerConnectionStateConnected {
					connected <- struct{}{}
				}
			})
			track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "a", "b")
			if err == nil {
				_, err = pc.AddTrack(track)
			}
			if err != nil {
				tb.Fatal(err)
			}
			ends[i] = trackLeg{track}
			pc.OnTrack(func(t *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
				buf := make([]byte, 1500)
				for {
					n, _, err := t.Read(buf)
					if err != nil {
						return
					}
					var p rtp.Packet
					if p.Unmarshal(buf[:n]) == nil {
						arrived(i, &p.Header, p.Payload)
					}
				}
			})
		}
		negotiate(tb, pcs)
		<-connected
		<-connected
		return ends, func() {
			for _, pc := range pcs {
				_ = pc.GracefulClose()
			}
		}
	}
}

// negotiate offers and answers with all candidates in the descriptions.
func negotiate(tb testing.TB, pcs [2]*webrtc.PeerConnection) {
	tb.Helper()
	must := func(err error) {
		if err != nil {
			tb.Helper()
			tb.Fatal(err)
		}
	}
	gathered := webrtc.GatheringCompletePromise(pcs[0])
	offer, err := pcs[0].CreateOffer(nil)
	must(err)
	must(pcs[0].SetLocalDescription(offer))
	<-gathered
	must(pcs[1].SetRemoteDescription(*pcs[0].LocalDescription()))
	gathered = webrtc.GatheringCompletePromise(pcs[1])
	answer, err := pcs[1].CreateAnswer(nil)
	must(err)
	must(pcs[1].SetLocalDescription(answer))
	<-gathered
	must(pcs[0].SetRemoteDescription(*pcs[1].LocalDescription()))
}

// forwarded is what calls cost that are forwarded from one path to another: caller, two legs of ours, callee. Both clients
// live in this process and are made like the legs, so half of it is ours.
type forwarded struct {
	core       float64 // of a core, a call
	kib        float64 // resident, a call
	sent, lost int64
}

// forward runs calls of 50 packets of 120 bytes a second each way.
func forward(b *testing.B, calls int, frames int, join joined) forwarded {
	b.Helper()
	debug.FreeOSMemory()
	before := resident(b)
	var arrived, sent atomic.Int64
	clients := make([][2]leg, calls)
	stops := make([]func(), 0, 2*calls)
	for i := range calls {
		var legs [2]leg
		for side := range 2 {
			ends, stop := join(b, func(end int, h *rtp.Header, payload []byte) {
				if end == 0 {
					arrived.Add(1) // at a client
				} else if to := legs[1-side]; to != nil {
					to.write(h, payload)
				}
			})
			clients[i][side], legs[side] = ends[0], ends[1]
			stops = append(stops, stop)
		}
	}
	payload := bytes.Repeat([]byte{0x55}, 120)
	used, start := cpu(), time.Now()
	// Every 5 ms a quarter of the calls has a frame to send, as many machines that know nothing of each other do.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for f := range frames * 4 {
		<-tick.C
		for i := f % 4; i < calls; i += 4 {
			for side, c := range clients[i] {
				c.write(&rtp.Header{
					Version: 2, PayloadType: 111, SequenceNumber: uint16(f / 4), Timestamp: uint32(f / 4 * 960), SSRC: uint32(2*i + side + 1),
				}, payload)
				sent.Add(1)
			}
		}
	}
	for end := time.Now().Add(2 * time.Second); arrived.Load() < sent.Load() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	core := (cpu() - used).Seconds() / time.Since(start).Seconds()
	out := forwarded{core: core / float64(2*calls), sent: sent.Load(), lost: sent.Load() - arrived.Load()}
	debug.FreeOSMemory()
	out.kib = float64(resident(b)-before) / 1024 / float64(2*calls)
	for _, stop := range stops {
		stop()
	}
	return out
}

func resident(tb testing.TB) int64 {
	tb.Helper()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		tb.Skip(err)
	}
	pages, err := strconv.ParseInt(string(bytes.Fields(data)[1]), 10, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// BenchmarkForward takes what one of 200 simultaneous Opus calls costs a daemon that forwards them, beside
// PeerConnections without interceptors, which is their cheapest.
func BenchmarkForward(b *testing.B) {
	const calls, frames = 200, 150
	ours, bare := certificates(b)
	for b.Loop() {
		us := forward(b, calls, frames, joinGroups(ours))
		them := forward(b, calls, frames, joinConnections(bareAPI(), bare))
		b.ReportMetric(us.core*100, "%core/call")
		b.ReportMetric(them.core*100, "%core/bare")
		b.ReportMetric(us.core/them.core, "ratio")
		b.ReportMetric(us.kib, "KiB/call")
		b.ReportMetric(them.kib, "KiB/bare")
		b.ReportMetric(float64(us.lost)/float64(us.sent)*100, "%lost")
		b.ReportMetric(float64(them.lost)/float64(them.sent)*100, "%lost/bare")
	}
	b.ReportMetric(0, "ns/op")
}
