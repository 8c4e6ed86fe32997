package daemon

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/media/audio"
)

// host is a program with a WebRTC stack of its own, pion's, for one call of a daemon.
type host struct {
	t   *testing.T
	d   *actor
	sid string
	pc  *webrtc.PeerConnection

	mu    sync.Mutex // of signalling
	kinds map[string]int
	got   map[string][]*rtp.Packet

	told     int           // candidates; to be read when gathered is closed
	gathered chan struct{} // there are no more
}

func newHost(a *actor, sid string) *host {
	a.t.Helper()
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	var m webrtc.MediaEngine
	if err := m.RegisterDefaultCodecs(); err != nil {
		a.t.Fatal(err)
	}
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(s), webrtc.WithMediaEngine(&m)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		a.t.Fatal(err)
	}
	h := &host{t: a.t, d: a, sid: sid, pc: pc, kinds: map[string]int{}, got: map[string][]*rtp.Packet{}, gathered: make(chan struct{})}
	var once sync.Once // it gathers again when ICE is restarted
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c == nil {
			once.Do(func() { close(h.gathered) })
			return
		}
		init := c.ToJSON()
		h.told++
		_, _ = a.AddCandidates(context.Background(), &jingledv1.AddCandidatesRequest{Sid: sid, Mid: *init.SDPMid, Candidates: []string{init.Candidate}})
	})
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			_, _ = a.SetConnected(context.Background(), &jingledv1.SetConnectedRequest{Sid: sid})
		}
	})
	pc.OnTrack(func(tr *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := tr.ReadRTP()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.got[tr.Kind().String()] = append(h.got[tr.Kind().String()], p)
			h.mu.Unlock()
		}
	})
	sub, err := a.Subscribe(1) // all from the beginning
	if err != nil {
		a.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			e, err := sub.Next(ctx)
			if err != nil {
				return
			}
			if e.GetSid() == sid {
				h.event(e)
			}
		}
	}()
	a.t.Cleanup(func() {
		stop()
		<-done
		sub.Close()
		if err := pc.GracefulClose(); err != nil {
			a.t.Error(err)
		}
	})
	return h
}

func (h *host) event(e *jingledv1.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d := e.GetCallDescription(); d != nil {
		h.kinds[d.GetType()]++
		t := webrtc.SDPTypeAnswer
		if d.GetType() == "offer" {
			t = webrtc.SDPTypeOffer
		}
		if err := h.pc.SetRemoteDescription(webrtc.SessionDescription{Type: t, SDP: d.GetSdp()}); err != nil {
			h.t.Errorf("%s: %v\n%s", d.GetType(), err, d.GetSdp())
			return
		}
		if t == webrtc.SDPTypeOffer {
			a, err := h.pc.CreateAnswer(nil)
			if err != nil {
				h.t.Error(err)
				return
			}
			h.describe("answer", a)
		}
	}
	if c := e.GetCallCandidates(); c != nil {
		for _, line := range c.GetCandidates() {
			mid := c.GetMid()
			if err := h.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: line, SDPMid: &mid}); err != nil {
				h.t.Errorf("candidate %s: %v", line, err)
			}
		}
	}
}

// describe sets a local description and brings it to the daemon.
func (h *host) describe(kind string, d webrtc.SessionDescription) {
	if err := h.pc.SetLocalDescription(d); err != nil {
		h.t.Error(err)
		return
	}
	if _, err := h.d.SetDescription(context.Background(), &jingledv1.SetDescriptionRequest{Sid: h.sid, Type: kind, Sdp: d.SDP}); err != nil {
		h.t.Errorf("%s: %v\n%s", kind, err, d.SDP)
	}
}

func (h *host) offer(o *webrtc.OfferOptions) {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	d, err := h.pc.CreateOffer(o)
	if err != nil {
		h.t.Fatal(err)
	}
	h.describe("offer", d)
}

// sends adds a track and sends packets on it until the test ends.
func (h *host) sends(mime string, step uint32, payload func() []byte) {
	h.t.Helper()
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, mime, "host")
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.pc.AddTrack(track); err != nil {
		h.t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := uint32(0); ; i++ {
			select {
			case <-tick.C:
				_ = track.WriteRTP(&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(i), Timestamp: i * step, Marker: true}, Payload: payload()})
			case <-stop:
				return
			}
		}
	}()
	h.t.Cleanup(func() {
		close(stop)
		<-done
	})
}

// tone makes Opus packets of a tone.
func tone(t *testing.T, hz float64) func() []byte {
	enc, err := audio.Opus().NewEncoder(audio.EncoderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	source, pcm := audio.NewTone(hz, 0.5), make([]float32, audio.FrameSize)
	return func() []byte {
		_, _ = source.Read(pcm)
		b, err := enc.Encode(nil, pcm)
		if err != nil {
			t.Error(err)
		}
		return b
	}
}

// eventually waits until is, which is asked with the host's lock.
func (h *host) eventually(what string, is func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		h.mu.Lock()
		ok := is()
		h.mu.Unlock()
		if ok {
			return
		}
	}
	h.t.Fatalf("waiting for %s: %v", what, h.kinds)
}

// hears decodes what has come and looks for a tone in its end.
func (h *host) hears(hz float64) func() bool {
	return func() bool {
		packets := h.got["audio"]
		if len(packets) < 20 {
			return false
		}
		dec, err := audio.Opus().NewDecoder()
		if err != nil {
			h.t.Fatal(err)
		}
		var pcm []float32
		for _, p := range packets[len(packets)-20:] {
			pcm, _ = dec.Decode(pcm, p.Payload)
		}
		return len(pcm) >= 9600 && audio.Share(pcm[len(pcm)-9600:], audio.SampleRate, hz) > 0.8
	}
}

var delegatedMedia = &jingledv1.Media{Delegated: true}

// TestDelegatedToOwn has a host call a daemon with media of its own, add video, restart ICE and drop the video.
func TestDelegatedToOwn(t *testing.T) {
	srv := newServer(t)
	alice, bob := act(t, srv, "alice", nil), act(t, srv, "bob", nil)
	res, err := alice.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: bob.jid.String(), Media: delegatedMedia})
	if err != nil {
		t.Fatal(err)
	}
	sid := res.GetSid()
	h := newHost(alice, sid)
	h.sends(webrtc.MimeTypeOpus, 960, tone(t, 1000))
	h.offer(nil)
	bob.incoming()
	record := filepath.Join(t.TempDir(), "heard.wav")
	if _, err := bob.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{Sid: sid, Media: &jingledv1.Media{
		AudioIn: "tone:440", Record: record, Video: true,
	}}); err != nil {
		t.Fatal(err)
	}
	bob.connected(sid)
	alice.connected(sid)
	h.eventually("bob's tone", h.hears(440))

	// The host adds video.
	h.sends(webrtc.MimeTypeVP8, 1800, func() []byte { return []byte{0x10, 0, 0, 0} })
	h.offer(nil)
	h.eventually("the answer to video", func() bool { return h.kinds["answer"] == 2 })
	bob.await("video", func(e *jingledv1.Event) bool { return e.GetCallVideo().GetOn() })

	// It restarts ICE.
	before := h.pc.RemoteDescription().SDP
	h.offer(&webrtc.OfferOptions{ICERestart: true})
	h.eventually("the answer to the restart", func() bool { return h.kinds["answer"] == 3 })
	if ufrag(before) == ufrag(h.pc.RemoteDescription().SDP) {
		t.Error("the answer to the restart has the old credentials")
	}
	h.mu.Lock()
	h.got = map[string][]*rtp.Packet{}
	h.mu.Unlock()
	h.eventually("bob's tone after the restart", h.hears(440))

	// Bob drops the video, which the host is asked about.
	if _, err := bob.ControlCall(t.Context(), &jingledv1.ControlCallRequest{Sid: sid, Video: new(false)}); err != nil {
		t.Fatal(err)
	}
	h.eventually("the offer without video", func() bool { return h.kinds["offer"] == 1 })
	if !strings.Contains(h.pc.RemoteDescription().SDP, "m=video 0 ") {
		t.Errorf("video is still there: %s", h.pc.RemoteDescription().SDP)
	}
	alice.hangUp(sid, "")
	if e := bob.ended(sid); e.GetReason() != "success" {
		t.Errorf("bob: %v", e)
	}
	if e := alice.ended(sid); e.GetReason() != "success" || !e.GetWasConnected() {
		t.Errorf("alice: %v", e)
	}
	if share := loudest(t, record, 1000); share < 0.6 {
		t.Errorf("the recording has a share of %.2f of the host's tone", share)
	}
}

func ufrag(sdp string) string {
	_, after, _ := strings.Cut(sdp, "a=ice-ufrag:")
	u, _, _ := strings.Cut(after, "\r\n")
	return u
}

// loudest returns the largest share of a tone in a tenth of a second of a recording.
func loudest(t *testing.T, path string, hz float64) (best float64) {
	t.Helper()
	src, err := audio.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	buf := make([]float32, audio.SampleRate/10)
	for {
		n, err := src.Read(buf)
		if n == len(buf) {
			best = max(best, audio.Share(buf, audio.SampleRate, hz))
		}
		if err != nil {
			return best
		}
	}
}

// TestDelegatedBoth has a host on either side. The callee's daemon learns that only when the call rings already, directly or
// by a proposal.
func TestDelegatedBoth(t *testing.T) {
	for name, direct := range map[string]bool{"proposed": false, "direct": true} {
		t.Run(name, func(t *testing.T) {
			srv := newServer(t)
			alice, bob := act(t, srv, "alice", nil), act(t, srv, "bob", nil)
			peer := bob.jid.String()
			if direct {
				peer = string(bob.accounts[0].client.JID())
			}
			res, err := alice.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: peer, Media: delegatedMedia})
			if err != nil {
				t.Fatal(err)
			}
			sid := res.GetSid()
			a, b := newHost(alice, sid), newHost(bob, sid)
			a.sends(webrtc.MimeTypeOpus, 960, tone(t, 1000))
			b.sends(webrtc.MimeTypeOpus, 960, tone(t, 600))
			a.offer(nil)
			bob.incoming()
			if _, err := bob.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{Sid: sid, Media: delegatedMedia}); err != nil {
				t.Fatal(err)
			}
			alice.connected(sid)
			bob.connected(sid)
			a.eventually("the callee's tone", a.hears(600))
			b.eventually("the caller's tone", b.hears(1000))

			// The callee adds video: the caller's host is asked.
			b.sends(webrtc.MimeTypeVP8, 1800, func() []byte { return []byte{0x10, 0, 0, 0} })
			b.offer(nil)
			a.eventually("video", func() bool { return a.kinds["offer"] == 1 && len(a.got["video"]) > 5 })

			// What does not fit is refused.
			for _, req := range []*jingledv1.SetDescriptionRequest{
				{Sid: sid, Type: "answer", Sdp: "v=0\r\n"}, {Sid: sid, Type: "offer", Sdp: "hello"}, {Sid: sid, Type: "rollback"}, {Sid: "nobody", Type: "offer"},
			} {
				if _, err := alice.SetDescription(t.Context(), req); err == nil {
					t.Errorf("%v is taken", req)
				}
			}
			bob.hangUp(sid, "")
			if e := alice.ended(sid); e.GetReason() != "success" || !e.GetByPeer() || !e.GetWasConnected() {
				t.Errorf("alice: %v", e)
			}
			bob.ended(sid)
		})
	}
}

// TestDelegatedEnds has calls that come to nothing.
func TestDelegatedEnds(t *testing.T) {
	srv := newServer(t)
	alice, bob := act(t, srv, "alice", nil), act(t, srv, "bob", nil)
	peer := string(bob.accounts[0].client.JID())
	start := func() string {
		res, err := alice.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: peer, Media: delegatedMedia})
		if err != nil {
			t.Fatal(err)
		}
		return res.GetSid()
	}
	// Given up before there was an offer.
	sid := start()
	alice.hangUp(sid, "")
	if e := alice.ended(sid); e.GetReason() != "cancel" {
		t.Errorf("given up: %v", e)
	}
	// An offer of no use, and then a good one, which is declined.
	sid = start()
	if _, err := alice.SetDescription(t.Context(), &jingledv1.SetDescriptionRequest{Sid: sid, Type: "offer", Sdp: "hello"}); err == nil {
		t.Error("an offer of no use is taken")
	}
	h := newHost(alice, sid)
	h.sends(webrtc.MimeTypeOpus, 960, tone(t, 1000))
	h.offer(nil)
	bob.incoming()
	bob.hangUp(sid, "decline")
	if e := alice.ended(sid); e.GetReason() != "decline" || e.GetWasConnected() {
		t.Errorf("declined: %v", e)
	}
	bob.ended(sid)
	// A call with own media has no host.
	sid = alice.call(bob.jid)
	if _, err := alice.SetDescription(t.Context(), &jingledv1.SetDescriptionRequest{Sid: sid, Type: "offer", Sdp: "v=0"}); err == nil {
		t.Error("a call with own media takes descriptions")
	}
	bob.incoming()
	alice.hangUp(sid, "")
	alice.ended(sid)
	if _, err := alice.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: peer, Media: &jingledv1.Media{Delegated: true, AudioIn: "tone:440"}}); err == nil {
		t.Error("delegated media with a tone")
	}
}
