package media

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	pionice "github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
	pionmedia "github.com/pion/webrtc/v4/pkg/media"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/dtmf"
)

// webrtcPeer is a PeerConnection of pion's with its own settings, which speaks SDP: a stranger to this package that does
// what browsers do. It sends a tone and decodes what it gets.
type webrtcPeer struct {
	pc    *webrtc.PeerConnection
	heard chan float64 // shares of 440 Hz, over some frames
	keys  chan byte
}

func newWebRTCPeer(t *testing.T, w *wide) *webrtcPeer {
	t.Helper()
	var settings webrtc.SettingEngine
	settings.SetNet(w.host(""))
	settings.SetICEMulticastDNSMode(pionice.MulticastDNSModeDisabled)
	var engine webrtc.MediaEngine
	if err := engine.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	if err := engine.RegisterCodec(webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "audio/telephone-event", ClockRate: 48000}, PayloadType: 110,
	}, webrtc.RTPCodecTypeAudio); err != nil {
		t.Fatal(err)
	}
	var registry interceptor.Registry
	if err := webrtc.RegisterDefaultInterceptors(&engine, &registry); err != nil {
		t.Fatal(err)
	}
	api := webrtc.NewAPI(webrtc.WithSettingEngine(settings), webrtc.WithMediaEngine(&engine), webrtc.WithInterceptorRegistry(&registry))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	p := &webrtcPeer{pc: pc, heard: make(chan float64, 1000), keys: make(chan byte, 100)}
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "audio", "pion")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pc.AddTrack(track); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		enc, _ := audio.Opus().NewEncoder(audio.EncoderConfig{})
		tone := audio.NewTone(1000, 0.3)
		pcm := make([]float32, audio.FrameSize)
		tick := time.NewTicker(audio.FrameDuration)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-stop:
				return
			}
			_, _ = tone.Read(pcm)
			b, _ := enc.Encode(nil, pcm)
			_ = track.WriteSample(pionmedia.Sample{Data: b, Duration: audio.FrameDuration})
		}
	}()
	pc.OnTrack(func(tr *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		dec, _ := audio.Opus().NewDecoder()
		keys := dtmf.NewReceiver(48000)
		var pcm []float32
		for {
			pkt, _, err := tr.ReadRTP()
			if err != nil {
				return
			}
			if pkt.PayloadType == 110 {
				if k, c := keys.Receive(pkt.Timestamp, pkt.Payload); c == dtmf.Down {
					p.keys <- k.Digit
				}
				continue
			}
			if pcm, err = dec.Decode(pcm, pkt.Payload); err == nil && len(pcm) >= 9600 {
				p.heard <- audio.Share(pcm, audio.SampleRate, 440)
				pcm = pcm[:0]
			}
		}
	})
	t.Cleanup(func() {
		close(stop)
		<-done
		if err := pc.GracefulClose(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// describe turns a content into SDP, no more than a PeerConnection needs.
func describe(c jingle.Content) string {
	d, tr := c.Description.(rtp.Description), c.Transport.(ice.Transport)
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("v=0")
	line("o=- 1 1 IN IP4 0.0.0.0")
	line("s=-")
	line("t=0 0")
	line("a=group:BUNDLE %s", c.Name)
	var ids []string
	for _, p := range d.PayloadTypes {
		ids = append(ids, strconv.Itoa(int(p.ID)))
	}
	line("m=audio 9 UDP/TLS/RTP/SAVPF %s", strings.Join(ids, " "))
	line("c=IN IP4 0.0.0.0")
	line("a=mid:%s", c.Name)
	line("a=ice-ufrag:%s", tr.Ufrag)
	line("a=ice-pwd:%s", tr.Pwd)
	line("a=fingerprint:%s %s", tr.Fingerprints[0].Hash, tr.Fingerprints[0].Value)
	line("a=setup:%s", tr.Fingerprints[0].Setup)
	line("a=sendrecv")
	line("a=rtcp-mux")
	for _, p := range d.PayloadTypes {
		line("a=rtpmap:%d %s/%d/%d", p.ID, p.Name, p.Clockrate, max(p.Channels, 1))
	}
	for _, src := range d.Sources {
		cname, _ := src.Parameters.Get("cname")
		line("a=ssrc:%d cname:%s", src.SSRC, cname)
	}
	return b.String()
}

// content reads what of SDP is needed here.
func content(t *testing.T, text, name string) jingle.Content {
	t.Helper()
	var s sdp.SessionDescription
	if err := s.UnmarshalString(text); err != nil {
		t.Fatal(err)
	}
	m := s.MediaDescriptions[0]
	attr := func(key string) string {
		if v, ok := m.Attribute(key); ok {
			return v
		}
		v, _ := s.Attribute(key)
		return v
	}
	hash, value, _ := strings.Cut(attr("fingerprint"), " ")
	tr := ice.Transport{
		Ufrag: attr("ice-ufrag"), Pwd: attr("ice-pwd"),
		Fingerprints: []ice.Fingerprint{{Hash: hash, Value: value, Setup: ice.Setup(attr("setup"))}},
	}
	d := rtp.Description{Media: "audio", RTCPMux: true}
	for _, a := range m.Attributes {
		switch a.Key {
		case "rtpmap":
			var p rtp.PayloadType
			id, rest, _ := strings.Cut(a.Value, " ")
			n, _ := strconv.Atoi(id)
			parts := strings.Split(rest, "/")
			rate, _ := strconv.Atoi(parts[1])
			p.ID, p.Name, p.Clockrate = uint8(n), parts[0], uint32(rate)
			if len(parts) > 2 {
				ch, _ := strconv.Atoi(parts[2])
				p.Channels = uint8(ch)
			}
			d.PayloadTypes = append(d.PayloadTypes, p)
		case "candidate":
			f := strings.Fields(a.Value)
			port, _ := strconv.Atoi(f[5])
			prio, _ := strconv.ParseUint(f[3], 10, 32)
			comp, _ := strconv.Atoi(f[1])
			tr.Candidates = append(tr.Candidates, ice.Candidate{
				Foundation: f[0], Component: uint16(comp), Protocol: f[2], Priority: uint32(prio), IP: f[4],
				Port: uint16(port), Type: ice.CandidateType(f[7]),
			})
		}
	}
	return jingle.Content{Creator: jingle.Initiator, Name: name, Senders: jingle.SendersBoth, Description: d, Transport: tr}
}

func TestWithAPeerConnection(t *testing.T) {
	for _, weCall := range []bool{true, false} {
		t.Run(fmt.Sprintf("we call: %v", weCall), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, w *wide) {
				p := newWebRTCPeer(t, w)
				role := jingle.Responder
				if weCall {
					role = jingle.Initiator
				}
				us := newParty(t, w, role, nil)
				file := t.TempDir() + "/us.wav"
				us.SetAudio(open(t, "tone:440"), create(t, file))
				us.run()
				await[Gathered](t, us, "candidates", nil)
				gathered := webrtc.GatheringCompletePromise(p.pc)
				ours := func(cs []jingle.Content) string {
					s := describe(cs[0])
					for _, e := range us.events {
						if c, ok := e.(Candidate); ok {
							x := c.Transport.Candidates[0]
							s += fmt.Sprintf("a=candidate:%s %d udp %d %s %d typ %s\r\n", x.Foundation, x.Component, x.Priority, x.IP, x.Port, x.Type)
						}
					}
					return s
				}
				remote := func(typ webrtc.SDPType, s string) {
					t.Helper()
					if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: typ, SDP: s}); err != nil {
						t.Fatal(err)
					}
				}
				if weCall {
					offer, _ := us.Offer()
					remote(webrtc.SDPTypeOffer, ours(offer))
					answer, err := p.pc.CreateAnswer(nil)
					if err != nil {
						t.Fatal(err)
					}
					if err := p.pc.SetLocalDescription(answer); err != nil {
						t.Fatal(err)
					}
					<-gathered
					if err := us.accepted([]jingle.Content{content(t, p.pc.LocalDescription().SDP, ContentName)}, nil); err != nil {
						t.Fatal(err)
					}
				} else {
					offer, err := p.pc.CreateOffer(nil)
					if err != nil {
						t.Fatal(err)
					}
					if err := p.pc.SetLocalDescription(offer); err != nil {
						t.Fatal(err)
					}
					<-gathered
					answer, _, err := us.answer([]jingle.Content{content(t, p.pc.LocalDescription().SDP, "0")}, nil)
					if err != nil {
						t.Fatal(err)
					}
					remote(webrtc.SDPTypeAnswer, ours(answer))
				}
				await[Heard](t, us, "sound", nil)
				keys, err := dtmf.Parse("7#", 0)
				if err != nil {
					t.Fatal(err)
				}
				if err := us.SendKeys(keys...); err != nil {
					t.Fatal(err)
				}
				for _, want := range []byte("7#") {
					select {
					case k := <-p.keys:
						if k != want {
							t.Errorf("it heard the key %c, not %c", k, want)
						}
					case <-time.After(5 * time.Second):
						t.Fatalf("it did not hear the key %c", want)
					}
				}
				best := 0.0
				for range 5 {
					select {
					case s := <-p.heard:
						best = max(best, s)
					case <-time.After(5 * time.Second):
						t.Fatal("it heard nothing")
					}
				}
				if best < 0.95 {
					t.Errorf("it heard the tone with the share %.3f", best)
				}
				us.cancel(errHangUp)
				<-us.ended
				if share, _ := toneIn(t, file, 1000); share < 0.95 {
					t.Errorf("we heard its tone with the share %.3f", share)
				}
			})
		})
	}
}
