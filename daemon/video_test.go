package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

// small frames are one packet each.
const small = 100

// seesVideo waits for pictures of the peer.
func (a *actor) seesVideo(category string) *jingledv1.CallVideo {
	a.t.Helper()
	return a.await("video "+category, func(e *jingledv1.Event) bool {
		return e.GetCallVideo().GetOn() && e.GetCallVideo().GetCategory() == category
	}).GetCallVideo()
}

func (a *actor) control(req *jingledv1.ControlCallRequest) error {
	a.t.Helper()
	req.Account = string(a.jid)
	_, err := a.ControlCall(a.t.Context(), req)
	return err
}

// A camera and a screen are seen at the same time from both sides, and each is recorded to a file of its own. The screens come and
// go, by what they show or by name, while the cameras stay.
func TestCameraAndScreenInOneCall(t *testing.T) {
	srv := newServer(t)
	alice, bob := act(t, srv, "alice", nil), act(t, srv, "bob", nil)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name+".ivf") }
	started, err := alice.StartCall(t.Context(), &jingledv1.StartCallRequest{
		Account: string(alice.jid), Peer: "bob@example.test", Media: &jingledv1.Media{
			Video: true, VideoIn: film(t, 10, small), RecordVideo: in("alice-camera"),
			MoreVideos: []*jingledv1.MediaVideo{{Category: "slides", In: film(t, 30, small), Record: in("alice-slides")}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	sid := started.GetSid()
	if e := bob.incoming(); !e.GetCallIncoming().GetVideo() {
		t.Errorf("incoming: %v", e)
	}
	if _, err := bob.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{Account: string(bob.jid), Sid: sid, Media: &jingledv1.Media{
		Video: true, VideoIn: film(t, 20, small), RecordVideo: in("bob-camera"),
		MoreVideos: []*jingledv1.MediaVideo{{Category: "slides", Record: in("bob-slides")}},
	}}); err != nil {
		t.Fatal(err)
	}
	var slides *jingledv1.CallVideo
	camera := false
	bob.await("a camera and a screen, in any order", func(e *jingledv1.Event) bool {
		switch v := e.GetCallVideo(); {
		case v.GetOn() && v.GetCategory() == "slides":
			slides = v
		case v.GetOn() && v.GetCategory() == "speaker":
			camera = true
		}
		return camera && slides != nil
	})
	alice.seesVideo("speaker")
	if slides.GetContent() != "slides" {
		t.Errorf("seen: %v", slides)
	}
	meter := bob.await("figures of both", func(e *jingledv1.Event) bool {
		v := e.GetCallMeter().GetStats().GetVideos()
		return len(v) == 2 && v[0].GetPacketsReceived() > 25 && v[1].GetPacketsReceived() > 25
	}).GetCallMeter().GetStats()
	if v := meter.GetVideos(); v[0].GetCategory() != "speaker" || v[1].GetCategory() != "slides" || meter.GetVideo().GetContent() != v[0].GetContent() {
		t.Errorf("figures: %v", meter)
	}
	off, on := false, true
	if err := alice.control(&jingledv1.ControlCallRequest{Sid: sid, Video: &off, VideoCategory: "slides"}); err != nil {
		t.Fatal(err)
	}
	gone := bob.await("the end of the screen", func(e *jingledv1.Event) bool { return e.GetCallVideo() != nil && !e.GetCallVideo().GetOn() })
	if v := gone.GetCallVideo(); v.GetContent() != "slides" || v.GetCategory() != "slides" || v.GetText() != "" {
		t.Errorf("it ended with %v", v)
	}
	shows(t, in("bob-slides"), 30, small)
	if _, err := os.Stat(in("bob-camera")); err == nil {
		t.Error("the recording of the camera has ended too")
	}
	// Bob shows his.
	if err := bob.control(&jingledv1.ControlCallRequest{Sid: sid, Video: &on, VideoCategory: "slides", VideoIn: film(t, 40, small)}); err != nil {
		t.Fatal(err)
	}
	name := alice.seesVideo("slides").GetContent()
	for _, bad := range []*jingledv1.ControlCallRequest{
		{Sid: sid, Video: &off, VideoContent: "nothing"}, {Sid: sid, Video: &off, VideoCategory: "alt"},
		{Sid: sid, SendVideo: &off, VideoCategory: "sl"}, {Sid: sid, Video: &on, VideoCategory: "cat", VideoIn: film(t, 1, small)},
	} {
		if err := alice.control(bad); err == nil {
			t.Errorf("no error for %v", bad)
		}
	}
	err = bob.control(&jingledv1.ControlCallRequest{Sid: sid, Video: &on, VideoCategory: "camera", VideoIn: film(t, 50, small)})
	if connect.CodeOf(err) != connect.CodeFailedPrecondition || !strings.Contains(err.Error(), "category") {
		t.Errorf("a second camera: %v", err)
	}
	if err := bob.control(&jingledv1.ControlCallRequest{Sid: sid, Video: &off, VideoContent: name}); err != nil {
		t.Fatal(err)
	}
	alice.await("its end", func(e *jingledv1.Event) bool { return e.GetCallVideo() != nil && !e.GetCallVideo().GetOn() })
	alice.hangUp(sid, "")
	alice.ended(sid)
	bob.ended(sid)
	shows(t, in("alice-camera"), 20, small)
	shows(t, in("bob-camera"), 10, small)
}

// Who answered without video joins the caller's later, in the same content.
func TestVideoIsJoined(t *testing.T) {
	srv := newServer(t)
	alice, bob := act(t, srv, "alice", nil), act(t, srv, "bob", nil)
	dir := t.TempDir()
	started, err := alice.StartCall(t.Context(), &jingledv1.StartCallRequest{
		Account: string(alice.jid), Peer: "bob@example.test", Media: &jingledv1.Media{
			Video: true, VideoIn: film(t, 10, small), RecordVideo: filepath.Join(dir, "alice.ivf"),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	sid := started.GetSid()
	bob.incoming()
	bob.answer(sid)
	bob.seesVideo("")
	on := true
	if err := bob.control(&jingledv1.ControlCallRequest{
		Sid: sid, Video: &on, VideoIn: film(t, 20, small), RecordVideo: filepath.Join(dir, "bob.ivf"),
	}); err != nil {
		t.Fatal(err)
	}
	alice.seesVideo("")
	bob.await("pictures", func(e *jingledv1.Event) bool {
		v := e.GetCallMeter().GetStats().GetVideos()
		return len(v) == 1 && v[0].GetPacketsSent() > 25
	})
	alice.hangUp(sid, "")
	alice.ended(sid)
	bob.ended(sid)
	shows(t, filepath.Join(dir, "alice.ivf"), 20, small)
	shows(t, filepath.Join(dir, "bob.ivf"), 10, small)
}

func TestVideosOfARequestAreChecked(t *testing.T) {
	for _, m := range []*jingledv1.Media{
		{MoreVideos: []*jingledv1.MediaVideo{{Category: "cat"}}},
		{MoreVideos: []*jingledv1.MediaVideo{{In: "/none.ivf"}}},
		{MoreVideos: []*jingledv1.MediaVideo{{Record: "x.mp4"}}},
		{MoreVideos: []*jingledv1.MediaVideo{{}, {}, {}, {}}},
		{Webrtc: true, MoreVideos: []*jingledv1.MediaVideo{{}}},
		{Delegated: true, MoreVideos: []*jingledv1.MediaVideo{{}}},
	} {
		if err := checkMedia(m); err == nil {
			t.Errorf("no error for %v", m)
		}
	}
}
