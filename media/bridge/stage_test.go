package bridge

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/dtmf"
	"github.com/jingled/jingled/media/video"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// peer stands for the call of a line: it has what the line sends, and what it was asked for.
type peer struct {
	t    *testing.T
	line *Line
	src  audio.PacketSource
	sink audio.PacketSink

	codec string // that is sent to the peer
	mu    sync.Mutex
	sound []audio.Packet
	keys  []dtmf.Key
	news  chan struct{}
}

func newPeer(t *testing.T, codec string) *peer {
	p := &peer{t: t, codec: codec, news: make(chan struct{}, 1)}
	p.line = NewLine(Config{Keys: func(k dtmf.Key) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.keys = append(p.keys, k)
		p.tell()
	}, Changed: p.tell})
	t.Cleanup(func() {
		if err := p.line.Close(); err != nil {
			t.Error(err)
		}
	})
	p.src, p.sink = p.line.Sound()
	p.src.Connect(func(c *audio.Codec, pkt audio.Packet) bool {
		if c.Name != p.codec {
			return false
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		pkt.Payload = append([]byte(nil), pkt.Payload...)
		p.sound = append(p.sound, pkt)
		p.tell()
		return true
	})
	return p
}

func (p *peer) tell() {
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// await waits until is, which is asked with the peer's lock, after each of the line's news.
func (p *peer) await(what string, is func() bool) {
	p.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		p.mu.Lock()
		ok := is()
		p.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-p.news:
		case <-tick.C:
		case <-deadline:
			p.t.Fatalf("waiting for %s", what)
		}
	}
}

// stranger is a client: a plain PeerConnection with pion's defaults.
type stranger struct {
	t     *testing.T
	pc    *webrtc.PeerConnection
	audio *track
	video *track

	mu    sync.Mutex
	got   map[string][]*rtp.Packet // by kind
	wants []rtcp.Packet
	news  chan struct{}
}

// newStranger makes a client that sends and plays audio, and video if that codec is given.
func newStranger(t *testing.T, audioCodec, videoCodec string, d webrtc.RTPTransceiverDirection) *stranger {
	t.Helper()
	var m webrtc.MediaEngine
	if err := m.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	for pt, clock := range map[webrtc.PayloadType]uint32{117: 48000, 118: 8000} {
		if err := m.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: "audio/telephone-event", ClockRate: clock,
		}, PayloadType: pt}, webrtc.RTPCodecTypeAudio); err != nil {
			t.Fatal(err)
		}
	}
	var r interceptor.Registry
	if err := webrtc.RegisterDefaultInterceptors(&m, &r); err != nil {
		t.Fatal(err)
	}
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(&m), webrtc.WithInterceptorRegistry(&r), webrtc.WithSettingEngine(s)).
		NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	x := &stranger{t: t, pc: pc, got: map[string][]*rtp.Packet{}, news: make(chan struct{}, 1)}
	t.Cleanup(func() {
		if err := pc.GracefulClose(); err != nil {
			t.Error(err)
		}
	})
	x.audio = x.track("audio/"+audioCodec, d)
	if videoCodec != "" {
		x.video = x.track("video/"+videoCodec, d)
	}
	pc.OnTrack(func(tr *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := tr.ReadRTP()
			if err != nil {
				return
			}
			x.mu.Lock()
			x.got[tr.Kind().String()] = append(x.got[tr.Kind().String()], p)
			x.mu.Unlock()
			x.tell()
		}
	})
	return x
}

func (x *stranger) tell() {
	select {
	case x.news <- struct{}{}:
	default:
	}
}

// track is a pion track that can also send telephone events.
type track struct {
	*webrtc.TrackLocalStaticRTP
	mu    sync.Mutex
	out   webrtc.TrackLocalWriter
	ssrc  uint32
	event uint8 // a payload type
}

func (tr *track) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.out, tr.ssrc = ctx.WriteStream(), uint32(ctx.SSRC())
	for _, p := range ctx.CodecParameters() {
		if p.MimeType == "audio/telephone-event" && p.ClockRate == 48000 {
			tr.event = uint8(p.PayloadType)
		}
	}
	return tr.TrackLocalStaticRTP.Bind(ctx)
}

func (x *stranger) track(mime string, d webrtc.RTPTransceiverDirection) *track {
	x.t.Helper()
	static, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, mime, "stranger")
	if err != nil {
		x.t.Fatal(err)
	}
	tr := &track{TrackLocalStaticRTP: static}
	var tv *webrtc.RTPTransceiver
	if d == webrtc.RTPTransceiverDirectionRecvonly {
		tv, err = x.pc.AddTransceiverFromKind(tr.Kind(), webrtc.RTPTransceiverInit{Direction: d})
	} else {
		tv, err = x.pc.AddTransceiverFromTrack(tr, webrtc.RTPTransceiverInit{Direction: d})
	}
	if err != nil {
		x.t.Fatal(err)
	}
	if sender := tv.Sender(); sender != nil {
		go func() {
			for {
				ps, _, err := sender.ReadRTCP()
				if err != nil {
					return
				}
				x.mu.Lock()
				x.wants = append(x.wants, ps...)
				x.mu.Unlock()
				x.tell()
			}
		}()
	}
	return tr
}

func (x *stranger) offer() string {
	x.t.Helper()
	o, err := x.pc.CreateOffer(nil)
	if err != nil {
		x.t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(x.pc)
	if err := x.pc.SetLocalDescription(o); err != nil {
		x.t.Fatal(err)
	}
	<-gathered
	return x.pc.LocalDescription().SDP
}

// attach joins the stranger to the line.
func (x *stranger) attach(l *Line, role Role) *Client {
	x.t.Helper()
	c, answer, err := l.Attach(x.t.Context(), role, x.offer())
	if err != nil {
		x.t.Fatal(err)
	}
	if err := x.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		x.t.Fatalf("%v\n%s", err, answer)
	}
	return c
}

func (x *stranger) await(what string, is func() bool) {
	x.t.Helper()
	deadline := time.After(patience)
	for {
		x.mu.Lock()
		ok := is()
		x.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-x.news:
		case <-deadline:
			x.t.Fatalf("waiting for %s", what)
		}
	}
}

// every calls f every 20 ms until the returned function is called.
func every(f func(i int)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-tick.C:
				f(i)
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// talk sends packets of sound with these payloads, one after another.
func (x *stranger) talk(payload func(i int) []byte) (stop func()) {
	return every(func(i int) {
		err := x.audio.WriteRTP(&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(i), Timestamp: uint32(i) * 960}, Payload: payload(i)})
		if err != nil && !errors.Is(err, io.ErrClosedPipe) {
			x.t.Error(err)
		}
	})
}

func (x *stranger) film(first uint32) (stop func()) {
	return every(func(i int) {
		err := x.video.WriteRTP(&rtp.Packet{Header: rtp.Header{
			Version: 2, SequenceNumber: uint16(i), Timestamp: first + uint32(i)*1800, Marker: true,
		}, Payload: []byte{0x10, 0, 0, byte(i)}})
		if err != nil && !errors.Is(err, io.ErrClosedPipe) {
			x.t.Error(err)
		}
	})
}

// viewer takes what comes out of a source of pictures.
type viewer struct {
	mu      sync.Mutex
	packets []video.Packet
}

func watch(t *testing.T, s video.Source) *viewer {
	v := &viewer{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			p, err := s.Read(ctx)
			if err != nil {
				return
			}
			v.mu.Lock()
			v.packets = append(v.packets, p)
			v.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return v
}

func (v *viewer) seen() []video.Packet {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]video.Packet(nil), v.packets...)
}
