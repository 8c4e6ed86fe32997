package personas

import (
	"strings"
	"testing"
	"time"

	pionrtp "github.com/pion/rtp"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media/video/videotest"
)

// isVideo tells pictures from sound: these are the payload types that the clients and we give them.
func isVideo(payloadType uint8) bool { return payloadType >= 96 && payloadType <= 102 }

// film is a file of frames that only look like VP8.
func film(t *testing.T) string {
	t.Helper()
	return videotest.Write(t, videotest.Frames(0, 100, 3000))
}

// filming is for calls that we make or answer with video.
func (s *scene) filming() { s.us.Film = film(s.t) }

// show sends pictures of the persona.
func (r *peer) show(m *medium, payloadType uint8) { r.showAs(m, payloadType, 102) }

// showAs is show from a source of its own.
func (r *peer) showAs(m *medium, payloadType uint8, ssrc uint32) {
	r.t.Helper()
	group := m.conn.group
	r.running.Go(func() {
		select {
		case <-group.Ready():
		case <-r.ctx.Done():
			return
		}
		tick := time.NewTicker(40 * time.Millisecond)
		defer tick.Stop()
		h := pionrtp.Header{Version: 2, PayloadType: payloadType, SSRC: ssrc, Marker: true}
		frame := append([]byte{0x10}, make([]byte, 100)...)
		for {
			select {
			case <-tick.C:
			case <-r.ctx.Done():
				return
			}
			_ = group.WriteRTP(&h, frame)
			h.SequenceNumber++
			h.Timestamp += 3600
		}
	})
}

// vp8 is the number of VP8 in a description.
func vp8(t *testing.T, d jingle.Payload) uint8 {
	t.Helper()
	for _, p := range d.(rtp.Description).PayloadTypes {
		if p.Name == "VP8" {
			return p.ID
		}
	}
	t.Fatalf("no VP8 in %s", d.Element())
	return 0
}

// picturesOf returns the content of video, or nil.
func picturesOf(m *jingle.Message) *jingle.Content {
	for i := range m.Contents {
		if d, ok := m.Contents[i].Description.(rtp.Description); ok && d.Media == "video" {
			return &m.Contents[i]
		}
	}
	return nil
}

// picture is the persona's medium of video.
func (s *scene) picture() *medium {
	s.t.Helper()
	for _, m := range s.media {
		if m.Media == "video" {
			return m
		}
	}
	s.t.Fatalf("%s has no video", s.p.name)
	return nil
}

// weSee waits until the persona is seen here, and theySee until it sees us.
func (s *scene) weSee() {
	s.t.Helper()
	s.us.Await(s.t, s.sid, "their video", func(e *jingledv1.Event) bool { return e.GetCallVideo().GetOn() })
}

func (s *scene) theySee() {
	s.t.Helper()
	s.saw.Store(0)
	s.peer.eventually("sees us", func() bool { return s.saw.Load() >= 10 })
}

// add makes a medium for video that is added to the call: with a transport of its own where the client has one for each.
func (s *scene) add(controlling bool) *medium {
	s.t.Helper()
	m := &medium{Media: "video", Name: s.p.names[1], Setup: "actpass", conn: s.media[0].conn}
	if !s.p.bundle {
		m.conn = s.connect(controlling)
	}
	local := m.conn.group.Offer()
	m.Ufrag, m.Pwd, m.Fingerprint = local.Ufrag, local.Pwd, local.Fingerprints[0].Value
	if !s.p.bundle {
		<-m.conn.gathered
		m.Candidates = m.conn.candidates(m.Ufrag)
	}
	return m
}

// enter has an added medium take our candidates and give its own. Those of ours that came before it are taken now.
func (s *scene) enter(m *medium) {
	s.t.Helper()
	s.mu.Lock()
	s.media = append(s.media, m)
	for _, info := range s.late {
		s.info(info)
	}
	s.late = nil
	s.mu.Unlock()
	for _, c := range m.Candidates {
		s.send("candidate", func(d *script) { d.medium, d.C = m, c })
	}
}

// isVideoCase reports whether a case is one that only clients with DTLS are tried in: the old ones have pictures nobody sends
// any more.
func isVideoCase(name string) bool { return strings.HasPrefix(name, "video, ") }

// videoCases are calls with pictures, and what else happens during a call.
var videoCases = []testCase{
	{"video, we call", "we call with video, and each sees the other", "", func(s *scene) {
		s.filming()
		s.callOut()
		s.pickUp()
		s.show(s.picture(), vp8(s.t, picturesOf(s.offer).Description))
		s.talk()
		s.weSee()
		s.theySee()
		s.bye()
	}},
	{"video, they call", "they call with video, we answer with video, and each sees the other", "", func(s *scene) {
		s.filming()
		s.callIn("audio", "video")
		s.answer()
		s.show(s.picture(), s.video)
		s.talk()
		s.weSee()
		s.theySee()
		s.bye()
	}},
	{"video, we add", "we add video to a call: they take it in their way, and we turn ours off and on; or they refuse it or do not " +
		"answer, and the sound goes on", "", weAddVideo},
	{"video, they add", "they add video to a call that we have answered with video, and each sees the other", "content-add",
		theyAddVideo},
	{"video, we show a screen", "we add a screen beside the camera: they take it, or refuse it, or are known to have no place for it and are not " +
		"asked; the camera and the sound go on", "", weShowScreen},
	{"video, they show a screen", "they add a screen beside their camera, and both are seen (XEP-0507)", "slides", theyShowScreen},
	{"hold", "they hold, and we know", "hold", func(s *scene) {
		s.callOut()
		s.pickUp()
		s.talk()
		s.send("hold")
		s.us.Await(s.t, s.sid, "hold", func(e *jingledv1.Event) bool { return e.GetCallPeerState().GetHeld() })
		s.us.Forget()
		s.send("unhold")
		s.us.Await(s.t, s.sid, "its end", func(e *jingledv1.Event) bool { return e.GetCallPeerState() != nil && !e.GetCallPeerState().GetHeld() })
		s.heard.Store(0)
		s.wantTone()
		s.bye()
	}},
}

func weAddVideo(s *scene) {
	s.callOut()
	s.pickUp()
	s.talk()
	on, off := true, false
	s.us.Control(s.t, &jingledv1.ControlCallRequest{Sid: s.sid, Video: &on, VideoIn: film(s.t)})
	offer := picturesOf(s.await("content-add").jingle)
	switch {
	case s.p.silent["content-add"]:
		s.talk()
		s.bye()
		return
	case s.p.stanzas["content-reject"] != nil:
		s.send("content-reject", func(d *script) { d.medium = &medium{Name: offer.Name} })
		s.us.Await(s.t, s.sid, "the end of video", func(e *jingledv1.Event) bool { return e.GetCallVideo() != nil && !e.GetCallVideo().GetOn() })
		s.talk()
		s.bye()
		return
	}
	m := s.add(false)
	m.Name, m.Setup, m.Payloads = offer.Name, "active", s.p.answer(offer.Description.(rtp.Description))
	if !s.p.bundle {
		if _, err := m.conn.group.Answer(offer.Transport.(ice.Transport)); err != nil {
			s.t.Fatalf("%s cannot take the content-add: %v", s.p.name, err)
		}
	}
	dino := s.p.stanzas["content-modify"] != nil
	switch {
	case dino: // it shows nothing of its user unasked
		s.send("content-modify", because("initiator"), func(d *script) { d.medium = m })
		s.send("content-accept", because("initiator"), func(d *script) { d.medium = m })
	case s.p.stanzas["content-accept"] != nil:
		s.send("content-accept", func(d *script) { d.medium = m })
	default: // Movim accepts the session once more
		s.send("session-accept", func(d *script) { d.Media = append(d.Media[:1:1], m) })
	}
	s.enter(m)
	s.theySee()
	if dino {
		s.ask("content-modify", because("both"), func(d *script) { d.medium = m })
	}
	s.show(m, vp8(s.t, offer.Description))
	s.weSee()
	s.us.Control(s.t, &jingledv1.ControlCallRequest{Sid: s.sid, SendVideo: &off})
	if c := s.await("content-modify").jingle.Contents[0]; c.Senders != jingle.SendersResponder {
		s.t.Errorf("turned off: %s", c.Senders)
	}
	s.us.Control(s.t, &jingledv1.ControlCallRequest{Sid: s.sid, SendVideo: &on})
	if c := s.await("content-modify").jingle.Contents[0]; c.Senders != jingle.SendersBoth {
		s.t.Errorf("turned on: %s", c.Senders)
	}
	s.theySee()
	s.talk()
	s.bye()
}

func theyAddVideo(s *scene) {
	s.filming()
	s.callIn("audio")
	s.answer()
	s.talk()
	m := s.add(true)
	s.send("content-add", func(d *script) { d.medium = m })
	answer := s.await("content-accept").jingle.Contents[0]
	if !s.p.bundle {
		if err := m.conn.group.Accepted(answer.Transport.(ice.Transport)); err != nil {
			s.t.Fatalf("%s cannot take our answer: %v", s.p.name, err)
		}
	}
	s.enter(m)
	s.show(m, vp8(s.t, answer.Description))
	s.weSee()
	if !answer.Senders.Sends(jingle.Responder) { // Dino shows itself, and asks for nothing
		on := true
		s.us.Control(s.t, &jingledv1.ControlCallRequest{Sid: s.sid, Video: &on})
		if c := s.await("content-modify").jingle.Contents[0]; c.Senders != jingle.SendersBoth {
			s.t.Errorf("we want to be seen: %s", c.Senders)
		}
	}
	s.theySee()
	s.talk()
	s.bye()
}

// screen waits until a screen is seen here, or is no more.
func (s *scene) screen(on bool) {
	s.t.Helper()
	s.us.Await(s.t, s.sid, "news of a screen", func(e *jingledv1.Event) bool {
		v := e.GetCallVideo()
		return v != nil && v.GetOn() == on && v.GetCategory() == "slides"
	})
}

func weShowScreen(s *scene) {
	s.filming()
	s.callOut()
	s.pickUp()
	s.show(s.picture(), vp8(s.t, picturesOf(s.offer).Description))
	s.talk()
	s.weSee()
	on := true
	s.us.Control(s.t, &jingledv1.ControlCallRequest{Sid: s.sid, Video: &on, VideoCategory: "slides", VideoIn: film(s.t)})
	switch {
	case s.p.stanzas["slides"] != nil:
		offer := picturesOf(s.await("content-add").jingle)
		if d := offer.Description.(rtp.Description); len(d.Categories) != 1 || d.Categories[0] != rtp.CategorySlides || offer.Name != "slides" {
			s.t.Errorf("added: %s", d.Element())
		}
		m := s.add(false)
		m.Name, m.Setup, m.Payloads = offer.Name, "active", s.p.answer(offer.Description.(rtp.Description))
		s.send("session-accept", func(d *script) { d.Media = append(d.Media[:2:2], m) })
		s.enter(m)
		s.showAs(m, vp8(s.t, offer.Description), 103)
		s.screen(true)
	case s.p.name == "stanza.js":
		s.await("content-add")
		s.send("content-reject")
		s.screen(false)
	default:
		s.screen(false)
	}
	s.theySee()
	s.talk()
	s.bye()
}

func theyShowScreen(s *scene) {
	s.filming()
	s.callIn("audio", "video")
	s.answer()
	s.show(s.picture(), s.video)
	s.talk()
	s.weSee()
	m := s.add(true)
	m.Name = "2"
	s.send("slides", func(d *script) { d.medium = m })
	answer := s.await("content-accept").jingle.Contents[0]
	if d := answer.Description.(rtp.Description); len(d.Categories) != 1 || d.Categories[0] != rtp.CategorySlides {
		s.t.Errorf("accepted: %s", d.Element())
	}
	s.enter(m)
	s.showAs(m, vp8(s.t, answer.Description), 103)
	s.screen(true)
	s.us.Await(s.t, s.sid, "pictures of both", func(e *jingledv1.Event) bool {
		v := e.GetCallMeter().GetStats().GetVideos()
		return len(v) == 2 && v[0].GetPacketsReceived() > 10 && v[1].GetPacketsReceived() > 10
	})
	s.theySee()
	s.talk()
	s.bye()
}
