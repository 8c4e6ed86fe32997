package chromium

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/internal/interop/ours"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/media/video"
)

// picture is one video of the browser: what it shows and how large.
type picture struct {
	Color  string `json:"color"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
}

var (
	camera = picture{"#c00000", 320, 240}
	screen = picture{"#0000c0", 640, 480}
)

// sight is what the browser sees, and what it has counted of each video.
type sight struct {
	Screens        []shown
	Received, Sent []map[string]float64
}

// shown is a picture on the screen, with the colour in its middle.
type shown struct {
	Width, Height int
	Color         []int
}

// sees reports whether one of the screens shows a picture.
func (s sight) sees(p picture) bool {
	return slices.ContainsFunc(s.Screens, func(o shown) bool { return o.Width == p.Width && o.Height == p.Height && o.isOf(p) })
}

func (o shown) isOf(p picture) bool {
	if len(o.Color) != 3 {
		return false
	}
	r, g, b := o.Color[0], o.Color[1], o.Color[2]
	return p == camera && r > 120 && g < 90 && b < 90 || p == screen && b > 120 && r < 90 && g < 90
}

// awaitSight waits until the browser sees pictures.
func awaitSight(t *testing.T, b *browser, sid string, ps ...picture) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		s := do[sight](b, "see", map[string]any{"sid": sid})
		if !slices.ContainsFunc(ps, func(p picture) bool { return !s.sees(p) }) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the browser does not see it all: %+v", s)
		}
	}
}

// awaitCounts waits until the browser has counted something of each way of a call with one video. It tells that some time after it
// is so.
func awaitCounts(t *testing.T, b *browser, sid string, is func(received, sent map[string]float64) bool) (received, sent map[string]float64) {
	t.Helper()
	for deadline := time.Now().Add(2 * patience); ; time.Sleep(50 * time.Millisecond) {
		s := do[sight](b, "see", map[string]any{"sid": sid})
		if len(s.Received) == 1 && len(s.Sent) == 1 && is(s.Received[0], s.Sent[0]) {
			return s.Received[0], s.Sent[0]
		}
		if time.Now().After(deadline) {
			t.Fatalf("the browser has counted: %+v", s)
		}
	}
}

// awaitFrames waits until so many frames of each video have come.
func awaitFrames(t *testing.T, us *ours.Side, sid string, videos int, packets uint64) {
	t.Helper()
	us.Await(t, sid, "video", func(e *jingledv1.Event) bool {
		v := e.GetCallMeter().GetStats().GetVideos()
		return len(v) == videos && !slices.ContainsFunc(v, func(v *jingledv1.VideoStats) bool { return v.GetPacketsReceived() < packets })
	})
}

// wantFrames looks at a recording of VP8: it begins with a key frame of this size (RFC 6386 section 9.1).
func wantFrames(t *testing.T, path string, p picture) {
	t.Helper()
	frames, first := framesOf(t, path)
	w, h := binary.LittleEndian.Uint16(first[6:])&0x3fff, binary.LittleEndian.Uint16(first[8:])&0x3fff
	if !video.Codecs()[0].IsKeyFrame(first) || int(w) != p.Width || int(h) != p.Height || frames < 5 {
		t.Errorf("%s: %d frames of %dx%d, not of %dx%d", filepath.Base(path), frames, w, h, p.Width, p.Height)
	}
}

// framesOf returns how many frames a recording of VP8 has, and the first.
func framesOf(t *testing.T, path string) (frames int, first []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < 54 || string(b[8:12]) != "VP80" {
		t.Fatalf("%s holds %d bytes of %q", filepath.Base(path), len(b), b[:min(len(b), 12)])
	}
	return int(binary.LittleEndian.Uint32(b[24:])), b[44:]
}

// videoCalls has a browser and us show a camera and a screen. What we send is what we have recorded of the browser, which it
// decodes again.
func videoCalls(t *testing.T, script []byte, srv *testkit.Server) {
	srv.AddUser(t, "nurse", "secret")
	srv.AddUser(t, "friar", "secret")
	srv.Befriend(t, "nurse", "friar")
	dir := t.TempDir()
	microphone := filepath.Join(dir, "microphone.wav")
	writeTone(t, microphone, theirTone)
	us := ours.Run(t, daemon.Config{Accounts: []daemon.Account{{
		JID: jid.JID("nurse@" + srv.Domain), Password: func() (string, error) { return "secret", nil },
		Resource: "daemon", Connect: srv.Addr, RootCAs: srv.Pool(), FailFast: true,
	}}})
	b := open(t, script, microphone)
	in := func(name string) string { return filepath.Join(dir, name) }
	them := do[string](b, "login", map[string]any{
		"jid": "friar@" + srv.Domain + "/browser", "password": "secret", "url": "ws://" + srv.HTTPAddr + "/xmpp-websocket",
	})
	t.Run("they call with a camera and a screen", func(t *testing.T) {
		sid := do[string](b, "call", map[string]any{"to": us.JID(t), "sid": "both", "pictures": []picture{camera, screen}})
		us.Incoming(t, sid)
		if _, err := us.D.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{Sid: sid, Media: &jingledv1.Media{
			Video: true, RecordVideo: in("camera.ivf"), MoreVideos: []*jingledv1.MediaVideo{{Category: "slides", Record: in("screen.ivf")}},
		}}); err != nil {
			t.Fatal(err)
		}
		us.Connected(t, sid)
		awaitFrames(t, us, sid, 2, 25)
		// What is sent later has to last until it is seen.
		us.Await(t, sid, "some seconds", func(e *jingledv1.Event) bool { return e.GetCallMeter().GetDuration().GetSeconds() >= 7 })
		us.End(t, sid, "")
		us.WantEnd(t, sid, "success", false)
		wantFrames(t, in("camera.ivf"), camera)
		wantFrames(t, in("screen.ivf"), screen)
	})
	if t.Failed() {
		return // there is nothing to send
	}
	film := &jingledv1.Media{Video: true, VideoIn: in("camera.ivf"), RecordVideo: in("theirs.ivf")}
	call := func(t *testing.T, media *jingledv1.Media, pictures ...picture) string {
		t.Helper()
		do[any](b, "forget", nil)
		res, err := us.D.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: them, Media: media})
		if err != nil {
			t.Fatal(err)
		}
		b.await(res.GetSid(), "incoming")
		do[any](b, "accept", map[string]any{"sid": res.GetSid(), "pictures": pictures})
		us.Connected(t, res.GetSid())
		return res.GetSid()
	}
	t.Run("we call with a camera", func(t *testing.T) {
		us.Meets(t, jid.JID(them).Bare().String())
		film.AudioIn = "tone:440"
		sid := call(t, film, camera)
		awaitSight(t, b, sid, camera)
		awaitFrames(t, us, sid, 1, 20)
		if !hears(b, ours.Tone) {
			t.Error("we are not heard")
		}
		// It moves from the beginning: what comes before a browser can decode, or waits for what it misses, is little.
		if got, _ := awaitCounts(t, b, sid, func(got, _ map[string]float64) bool { return got["packets"] >= 60 }); got["decoded"] < 40 {
			t.Errorf("the picture stands still: %v", got)
		}
		// stanza has no place for what is added, and says so.
		us.Control(t, &jingledv1.ControlCallRequest{Sid: sid, Video: new(true), VideoCategory: "slides", VideoIn: in("screen.ivf")})
		us.Await(t, sid, "the refusal", func(e *jingledv1.Event) bool {
			return e.GetCallVideo() != nil && !e.GetCallVideo().GetOn() && e.GetCallVideo().GetCategory() == "slides"
		})
		awaitSight(t, b, sid, camera)
		do[any](b, "end", map[string]any{"sid": sid, "reason": "success"})
		us.WantEnd(t, sid, "success", true)
		wantFrames(t, in("theirs.ivf"), camera)
	})
	// An offer of two videos stanza cannot take: it gives both the same track in SDP, which Chromium refuses. So it is asked.
	t.Run("they call with both, and we answer with both", func(t *testing.T) {
		do[any](b, "forget", nil)
		sid := do[string](b, "call", map[string]any{"to": us.JID(t), "sid": "all", "pictures": []picture{camera, screen}})
		us.Incoming(t, sid)
		if _, err := us.D.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{Sid: sid, Media: &jingledv1.Media{
			Video: true, VideoIn: in("camera.ivf"), RecordVideo: in("their-camera.ivf"),
			MoreVideos: []*jingledv1.MediaVideo{{Category: "slides", In: in("screen.ivf"), Record: in("their-screen.ivf")}},
		}}); err != nil {
			t.Fatal(err)
		}
		us.Connected(t, sid)
		awaitSight(t, b, sid, camera, screen)
		awaitFrames(t, us, sid, 2, 20)
		do[any](b, "end", map[string]any{"sid": sid, "reason": "success"})
		us.WantEnd(t, sid, "success", true)
		wantFrames(t, in("their-camera.ivf"), camera)
		wantFrames(t, in("their-screen.ivf"), screen)
	})
	t.Run("films", func(t *testing.T) { films(t, us, b) })
	t.Run("a camera that begins again", func(t *testing.T) { cameraAgain(t, us, b) })
	// Retransmission needs no streams of its own (RTX): either side sends again what the other asks for.
	t.Run("every tenth packet is lost", func(t *testing.T) {
		do[any](b, "forget", nil)
		sid := do[string](b, "call", map[string]any{"to": us.JID(t), "sid": "lossy", "pictures": []picture{camera}})
		us.Incoming(t, sid)
		if _, err := us.D.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{Sid: sid, Media: &jingledv1.Media{
			Video: true, VideoIn: in("camera.ivf"), RecordVideo: in("lossy.ivf"),
		}}); err != nil {
			t.Fatal(err)
		}
		us.Connected(t, sid)
		lose(t)
		awaitSight(t, b, sid, camera)
		film, _ := framesOf(t, in("camera.ivf"))
		_, before := awaitCounts(t, b, sid, func(_, _ map[string]float64) bool { return true })
		received, sent := awaitCounts(t, b, sid, func(received, sent map[string]float64) bool {
			return received["decoded"] >= float64(film)*3/4 && sent["frames"] > before["frames"]+10 && sent["nacks"] > 0
		})
		us.End(t, sid, "")
		ended := us.Ended(t, sid)
		got, _ := framesOf(t, in("lossy.ivf"))
		t.Logf("of the %d frames of our film: %v; %d recorded of those of the browser, before: %v, in the end: %v; %v",
			film, received, got, before, sent, ended.GetStats().GetVideos())
		if want := sent["frames"] - before["frames"]; float64(got) < want*3/4 {
			t.Errorf("%d frames of at least %.0f are recorded", got, want)
		}
	})
}

// lose drops every tenth packet of UDP from now on.
func lose(t *testing.T) {
	t.Helper()
	nft := testkit.Binary(t, "nft", "nftables")
	run := func(rules string) {
		if out, err := exec.Command(nft, rules).CombinedOutput(); err != nil {
			t.Fatalf("nft: %v\n%s", err, out)
		}
	}
	run("add table ip lossy; add chain ip lossy in { type filter hook input priority 0; }; add rule ip lossy in meta l4proto udp numgen random mod 10 < 1 drop")
	t.Cleanup(func() { run("delete table ip lossy") })
}
