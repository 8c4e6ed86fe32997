package sdptest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/jingle/sdp"
	"github.com/jingled/jingled/xmltree"
)

// patience is how long a session over loopback may take to come about.
const patience = 20 * time.Second

func peer(t testing.TB) *webrtc.PeerConnection {
	t.Helper()
	var e webrtc.SettingEngine
	e.SetIncludeLoopbackCandidate(true)
	e.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() })
	e.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	m := &webrtc.MediaEngine{}
	if err := m.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(e), webrtc.WithMediaEngine(m)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pc.Close(); err != nil {
			t.Error(err)
		}
	})
	return pc
}

// local sets a description of pc's own and returns it with all candidates.
func local(t testing.TB, pc *webrtc.PeerConnection, create func() (webrtc.SessionDescription, error)) string {
	t.Helper()
	d, err := create()
	if err != nil {
		t.Fatal(err)
	}
	done := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(d); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("candidates are not gathered")
	}
	return pc.LocalDescription().SDP
}

func offer(pc *webrtc.PeerConnection) func() (webrtc.SessionDescription, error) {
	return func() (webrtc.SessionDescription, error) { return pc.CreateOffer(nil) }
}

func answer(pc *webrtc.PeerConnection) func() (webrtc.SessionDescription, error) {
	return func() (webrtc.SessionDescription, error) { return pc.CreateAnswer(nil) }
}

func registry() *jingle.Registry {
	var r jingle.Registry
	rtp.Register(&r)
	ice.Register(&r)
	return &r
}

// toMessage makes of an SDP the Jingle that its author sends, read from its XML as the peer does.
func toMessage(t testing.TB, text string, from jingle.Role, o sdp.Options) *jingle.Message {
	t.Helper()
	s, err := sdp.Parse(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	m := jingle.Message{Action: jingle.SessionInitiate, SID: "s"}
	if m.Contents, m.Groups, err = sdp.ToJingle(s, from, o); err != nil {
		t.Fatalf("%v for\n%s", err, text)
	}
	e, err := xmltree.Parse([]byte(m.Element().String()), xmltree.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	read, err := jingle.ParseMessage(e, registry())
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// travel sends an SDP as Jingle.
func travel(t testing.TB, text string, from jingle.Role, o sdp.Options) string {
	t.Helper()
	m := toMessage(t, text, from, o)
	return toSDP(t, m, from)
}

func toSDP(t testing.TB, m *jingle.Message, from jingle.Role) string {
	t.Helper()
	s, err := sdp.FromJingle(m.Contents, m.Groups, from)
	if err != nil {
		t.Fatalf("%v for\n%s", err, m.Element())
	}
	return s.String()
}

func set(t testing.TB, pc *webrtc.PeerConnection, typ webrtc.SDPType, text string) {
	t.Helper()
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: typ, SDP: text}); err != nil {
		t.Fatalf("%s: %v for\n%s", typ, err, text)
	}
}

func wait(t testing.TB, what string, c <-chan string) string {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: nothing came", what)
		return ""
	}
}

// TestPionCall sets up audio, video and a data channel between two stacks, once for each form that Jingle has.
func TestPionCall(t *testing.T) {
	for name, o := range map[string]sdp.Options{
		"ice-udp":          {},
		"ice":              {Transport: ice.NSICE},
		"ice-udp, sctpmap": {Channel: ice.NSSCTP},
	} {
		t.Run(name, func(t *testing.T) {
			caller, callee := peer(t), peer(t)
			opus := addTrack(t, caller, webrtc.MimeTypeOpus)
			addTrack(t, caller, webrtc.MimeTypeVP8)
			channel, err := caller.CreateDataChannel("test", nil)
			if err != nil {
				t.Fatal(err)
			}
			channel.OnOpen(func() {
				if err := channel.SendText("hello"); err != nil {
					t.Error(err)
				}
			})
			texts, codecs := make(chan string, 1), make(chan string, 2)
			callee.OnDataChannel(func(d *webrtc.DataChannel) {
				d.OnMessage(func(m webrtc.DataChannelMessage) { texts <- string(m.Data) })
			})
			callee.OnTrack(func(r *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
				if _, _, err := r.ReadRTP(); err == nil {
					codecs <- r.Codec().MimeType + " " + r.StreamID()
				}
			})
			set(t, callee, webrtc.SDPTypeOffer, travel(t, local(t, caller, offer(caller)), jingle.Initiator, o))
			set(t, caller, webrtc.SDPTypeAnswer, travel(t, local(t, callee, answer(callee)), jingle.Responder, o))
			stop := make(chan struct{})
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-stop:
						return
					case <-tick.C:
						_ = opus.WriteSample(media.Sample{Data: []byte{0xf8, 0xff, 0xfe}, Duration: 20 * time.Millisecond})
					}
				}
			}()
			defer func() { close(stop); <-sent }()
			if got := wait(t, "data channel", texts); got != "hello" {
				t.Errorf("text %q", got)
			}
			if got := wait(t, "audio", codecs); got != webrtc.MimeTypeOpus+" stream" {
				t.Errorf("track %q", got)
			}
		})
	}
}

func addTrack(t testing.TB, pc *webrtc.PeerConnection, mime string) *webrtc.TrackLocalStaticSample {
	t.Helper()
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: mime}, "track-"+mime[:5], "stream")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pc.AddTrack(track); err != nil {
		t.Fatal(err)
	}
	return track
}

// TestPionTrickle lets the candidates travel one by one, as transport-info does.
func TestPionTrickle(t *testing.T) {
	caller, callee := peer(t), peer(t)
	channel, err := caller.CreateDataChannel("test", nil)
	if err != nil {
		t.Fatal(err)
	}
	open := make(chan string, 1)
	channel.OnOpen(func() { open <- "open" })
	queues := map[*webrtc.PeerConnection]chan string{caller: make(chan string, 64), callee: make(chan string, 64)}
	for pc, q := range queues {
		pc.OnICECandidate(func(c *webrtc.ICECandidate) {
			if c != nil {
				q <- c.ToJSON().Candidate
			}
		})
	}
	start := func(pc *webrtc.PeerConnection, create func() (webrtc.SessionDescription, error)) string {
		d, err := create()
		if err != nil {
			t.Fatal(err)
		}
		if err := pc.SetLocalDescription(d); err != nil {
			t.Fatal(err)
		}
		return d.SDP
	}
	set(t, callee, webrtc.SDPTypeOffer, travel(t, start(caller, offer(caller)), jingle.Initiator, sdp.Options{}))
	set(t, caller, webrtc.SDPTypeAnswer, travel(t, start(callee, answer(callee)), jingle.Responder, sdp.Options{}))
	add := func(to *webrtc.PeerConnection, line string) {
		c, err := sdp.ParseCandidate(line)
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		tr := ice.Transport{Ufrag: "u", Pwd: "p", Candidates: []ice.Candidate{c}}
		read, err := ice.ParseTransport(tr.Element())
		if err != nil {
			t.Fatal(err)
		}
		if err := to.AddICECandidate(webrtc.ICECandidateInit{Candidate: sdp.CandidateLine(read.Candidates[0])}); err != nil {
			t.Fatal(err)
		}
	}
	late := time.After(patience)
	for {
		select {
		case l := <-queues[caller]:
			add(callee, l)
		case l := <-queues[callee]:
			add(caller, l)
		case <-open:
			return
		case <-late:
			t.Fatal("the data channel does not open")
		}
	}
}

// TestPionNegotiated answers by package rtp instead of pion's own offer/answer: what it says pion must take.
func TestPionNegotiated(t *testing.T) {
	caller := peer(t)
	addTrack(t, caller, webrtc.MimeTypeOpus)
	addTrack(t, caller, webrtc.MimeTypeVP8)
	m := toMessage(t, local(t, caller, offer(caller)), jingle.Initiator, sdp.Options{})
	caps := map[string]rtp.Capabilities{
		"audio": {Media: "audio", RTCPMux: true, DTLS: true, PayloadTypes: []rtp.PayloadType{{ID: 9, Name: "opus", Clockrate: 48000, Channels: 2}}},
		"video": {Media: "video", RTCPMux: true, DTLS: true, PayloadTypes: []rtp.PayloadType{
			{ID: 96, Name: "VP8", Clockrate: 90000, Feedback: rtp.Feedback{Messages: []rtp.FeedbackMessage{{Type: "nack", Subtype: "pli"}}}}}},
	}
	for i := range m.Contents {
		d := m.Contents[i].Description.(rtp.Description)
		a, err := rtp.Answer(d, caps[d.Media])
		if err != nil {
			t.Fatal(err)
		}
		m.Contents[i].Description = a
		tr := m.Contents[i].Transport.(ice.Transport)
		tr.Fingerprints[0].Setup = ice.SetupActive
		m.Contents[i].Transport = tr
	}
	set(t, caller, webrtc.SDPTypeAnswer, toSDP(t, m, jingle.Responder))
	params := caller.GetSenders()[0].GetParameters()
	if len(params.Codecs) != 1 || params.Codecs[0].MimeType != webrtc.MimeTypeOpus {
		t.Errorf("pion sends %+v", params.Codecs)
	}
}

// TestPionAnswerInAnyOrder takes one content out of an answer and turns the others around, as Jingle allows.
func TestPionAnswerInAnyOrder(t *testing.T) {
	caller, callee := peer(t), peer(t)
	addTrack(t, caller, webrtc.MimeTypeOpus)
	addTrack(t, caller, webrtc.MimeTypeVP8)
	channel, err := caller.CreateDataChannel("x", nil)
	if err != nil {
		t.Fatal(err)
	}
	open := make(chan string, 1)
	channel.OnOpen(func() { open <- "open" })
	text := local(t, caller, offer(caller))
	set(t, callee, webrtc.SDPTypeOffer, travel(t, text, jingle.Initiator, sdp.Options{}))
	m := toMessage(t, local(t, callee, answer(callee)), jingle.Responder, sdp.Options{})
	m.Contents = []jingle.Content{m.Contents[2], m.Contents[0]}
	s, err := sdp.FromJingle(m.Contents, m.Groups, jingle.Responder)
	if err != nil {
		t.Fatal(err)
	}
	offered, err := sdp.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	set(t, caller, webrtc.SDPTypeAnswer, s.Align(offered).String())
	wait(t, "data channel", open)
}

var stanzaLine = regexp.MustCompile(`(?m)^\S+ [<>] (<.*>)$`)

// clientOffers returns the offers of calls that real clients sent, if there are captures of them.
func clientOffers(t testing.TB) map[string]*jingle.Message {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "shared", "transcripts", "*.xml"))
	if err != nil {
		t.Fatal(err)
	}
	offers := map[string]*jingle.Message{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for i, match := range stanzaLine.FindAllSubmatch(b, -1) {
			e, err := xmltree.Parse(match[1], xmltree.Limits{})
			if err != nil {
				continue
			}
			j := e.Child(jingle.NS, "jingle")
			if j == nil || j.Attr("action") != string(jingle.SessionInitiate) {
				continue
			}
			m, err := jingle.ParseMessage(j, registry())
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := m.Contents[0].Description.(rtp.Description); ok {
				offers[fmt.Sprintf("%s, stanza %d", filepath.Base(f), i)] = m
			}
		}
	}
	return offers
}

// TestPionTakesClients gives pion the offers that real clients sent. One that has no bundle gets a connection for each
// content.
func TestPionTakesClients(t *testing.T) {
	offers := clientOffers(t)
	if len(offers) == 0 {
		t.Skip("no transcripts of clients here")
	}
	for name, m := range offers {
		parts := [][]jingle.Content{m.Contents}
		if len(m.Groups) == 0 {
			parts = slices.Collect(slices.Chunk(m.Contents, 1))
		}
		for _, cs := range parts {
			part := *m
			part.Contents = cs
			if len(m.Groups) == 0 {
				// pion rejects what is in no bundle, so the only content of a connection gets one of its own.
				part.Groups = []jingle.Group{{Semantics: "BUNDLE", Contents: []string{cs[0].Name}}}
			}
			pc := peer(t)
			text := toSDP(t, &part, jingle.Initiator)
			set(t, pc, webrtc.SDPTypeOffer, text)
			a := local(t, pc, answer(pc))
			reply := toMessage(t, a, jingle.Responder, sdp.Options{})
			if len(reply.Contents) != len(cs) || reply.Contents[0].Name != cs[0].Name {
				t.Errorf("%s: answered with\n%s\nto\n%s", name, a, text)
			}
		}
	}
}
