package media

import (
	"slices"
	"testing"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media/dtlssrtp"
)

// TestVideoIsTakenIn is about calls with video, which go on with sound: what was offered is in the answer, but we send
// none of it.
func TestVideoIsTakenIn(t *testing.T) {
	cert, err := dtlssrtp.NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := cert.Fingerprint(ice.SetupActpass)
	transport := func(ufrag string) ice.Transport {
		return ice.Transport{Ufrag: ufrag, Pwd: "abcdefghijklmnopqrstuv", Fingerprints: []ice.Fingerprint{fingerprint}}
	}
	content := func(name, kind, ufrag string, senders jingle.Senders, p rtp.PayloadType) jingle.Content {
		return jingle.Content{Creator: jingle.Initiator, Name: name, Senders: senders, Transport: transport(ufrag),
			Description: rtp.Description{Media: kind, RTCPMux: true, PayloadTypes: []rtp.PayloadType{p}}}
	}
	opus := rtp.PayloadType{ID: 111, Name: "opus", Clockrate: 48000, Channels: 2}
	vp8 := rtp.PayloadType{ID: 120, Name: "VP8", Clockrate: 90000}
	theora := rtp.PayloadType{ID: 121, Name: "theora", Clockrate: 90000}
	both := []jingle.Group{{Semantics: "BUNDLE", Contents: []string{"0", "1"}}}
	for _, c := range []struct {
		name    string
		video   jingle.Content
		groups  []jingle.Group
		want    []string
		senders jingle.Senders
		shared  bool
	}{
		{"bundled", content("1", "video", "aaaa", "", vp8), both, []string{"0", "1"}, jingle.SendersInitiator, true},
		{"a transport of its own", content("1", "video", "bbbb", jingle.SendersBoth, vp8), nil, []string{"0", "1"}, jingle.SendersInitiator, false},
		{"only we would send", content("1", "video", "aaaa", jingle.SendersResponder, vp8), both, []string{"0", "1"}, jingle.SendersNone, true},
		{"no codec", content("1", "video", "aaaa", "", theora), both, []string{"0"}, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			call, err := New(Config{Role: jingle.Responder, Certificate: cert, ICE: agent.Config{LoopbackOnly: true}, Notify: func(Event) {}})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := call.Close(); err != nil {
					t.Error(err)
				}
			}()
			offer := []jingle.Content{content("0", "audio", "aaaa", "", opus), c.video}
			if err := call.Adopt(offer, c.groups); err != nil {
				t.Fatal(err)
			}
			answer, groups, err := call.Answer(offer, c.groups)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, a := range answer {
				names = append(names, a.Name)
			}
			if !slices.Equal(names, c.want) {
				t.Fatalf("answered %v", names)
			}
			if (len(groups) > 0) != (c.groups != nil) || len(groups) > 0 && !slices.Equal(groups[0].Contents, c.want) {
				t.Errorf("groups %v", groups)
			}
			if len(answer) == 1 {
				return
			}
			audio, video := answer[0].Transport.(ice.Transport), answer[1].Transport.(ice.Transport)
			if answer[1].Senders != c.senders || (audio.Ufrag == video.Ufrag) != c.shared {
				t.Errorf("video: %s", answer[1].Transport.Element())
			}
			if got := answer[1].Description.(rtp.Description); len(got.PayloadTypes) != 1 || got.PayloadTypes[0].ID != 120 || !got.RTCPMux {
				t.Errorf("video: %s", got.Element())
			}
		})
	}
}
