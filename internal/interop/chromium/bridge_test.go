package chromium

import (
	_ "embed"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/apiserver"
	"github.com/jingled/jingled/internal/interop/ours"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
)

//go:embed web/bridge.js
var bridgePage []byte

// TestBridge calls from a page to a page, through two daemons and a server.
func TestBridge(t *testing.T) {
	if !testkit.InNetwork(t) {
		return
	}
	srv := testkit.Start(t, testkit.Chosen(t), testkit.Options{Address: testkit.NetworkAddress})
	us := map[string]*ours.Side{}
	mux := http.NewServeMux()
	for _, user := range []string{"juliet", "romeo"} {
		srv.AddUser(t, user, "secret")
	}
	srv.Befriend(t, "juliet", "romeo")
	for _, user := range []string{"juliet", "romeo"} {
		us[user] = ours.Run(t, daemon.Config{Accounts: []daemon.Account{{
			JID: jid.JID(user + "@" + srv.Domain), Password: func() (string, error) { return "secret", nil },
			Resource: "daemon", Connect: srv.Addr, RootCAs: srv.Pool(), FailFast: true,
		}}})
		mux.Handle("/"+user+"/", http.StripPrefix("/"+user, apiserver.Clients(us[user].D)))
	}
	b := openWith(t, mux, bridgePage)
	do[any](b, "end", map[string]any{"name": "juliet", "hz": 1000, "color": "red", "width": 320, "height": 240})
	do[any](b, "end", map[string]any{"name": "romeo", "hz": 600, "color": "blue", "width": 160, "height": 120})
	juliet, romeo := us["juliet"], us["romeo"]
	attach := func(name, sid string, how map[string]any) (location string) {
		t.Helper()
		args := map[string]any{"name": name, "url": "/" + name + "/v1/calls/" + sid + "/webrtc"}
		maps.Copy(args, how)
		got := do[map[string]string](b, "attach", args)
		// A page that has asked for no microphone tells no addresses: its candidates are mDNS names, or none.
		if strings.Contains(got["offer"], " "+testkit.NetworkAddress+" ") {
			t.Errorf("the offer: %s", got["offer"])
		}
		return "/" + name + got["location"]
	}

	res, err := juliet.D.StartCall(t.Context(), &jingledv1.StartCallRequest{
		Peer: romeo.JID(t), Media: &jingledv1.Media{Webrtc: true, Video: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	sid := res.GetSid()
	attach("juliet", sid, nil) // before it is answered
	romeo.Incoming(t, sid)
	if _, err := romeo.D.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{
		Sid: sid, Media: &jingledv1.Media{Webrtc: true, Video: true},
	}); err != nil {
		t.Fatal(err)
	}
	juliet.Connected(t, sid)
	romeo.Connected(t, sid)
	attach("romeo", sid, nil) // after it
	sees(t, b, "juliet", 2, 160, 120)
	sees(t, b, "romeo", 0, 320, 240)
	if !endHears(b, "juliet", 600) || !endHears(b, "romeo", 1000) {
		t.Error("the pages do not hear each other")
	}

	// Keys of a page are keys for the other daemon.
	do[any](b, "press", map[string]any{"name": "juliet", "digits": "1#"})
	romeo.Await(t, sid, "keys", func(e *jingledv1.Event) bool { return e.GetCallDtmf().GetDigit() == "#" })
	if keys := romeo.Keys(sid); keys != "1#" {
		t.Errorf("keys %q", keys)
	}

	// Muting works at the page and at the daemon.
	do[any](b, "mute", map[string]any{"name": "juliet", "on": true})
	if !endSilent(b, "romeo") {
		t.Error("the page is muted, and heard")
	}
	do[any](b, "mute", map[string]any{"name": "juliet", "on": false})
	if !endHears(b, "romeo", 1000) {
		t.Error("the page is not heard again")
	}
	juliet.Control(t, &jingledv1.ControlCallRequest{Sid: sid, Mute: new(true)})
	if !endSilent(b, "romeo") {
		t.Error("the call is muted, and the page heard")
	}
	juliet.Control(t, &jingledv1.ControlCallRequest{Sid: sid, Mute: new(false)})
	if !endHears(b, "romeo", 1000) {
		t.Error("the page is not heard again")
	}

	// A page without video drops it from the call, and one with video adds it.
	juliet.Forget()
	romeo.Forget()
	attach("juliet", sid, map[string]any{"video": false})
	romeo.Await(t, sid, "end of video", func(e *jingledv1.Event) bool { return e.GetCallVideo() != nil && !e.GetCallVideo().GetOn() })
	if !endHears(b, "romeo", 1000) || !endHears(b, "juliet", 600) {
		t.Error("the pages do not hear each other without video")
	}
	last := attach("juliet", sid, nil)
	romeo.Await(t, sid, "video", func(e *jingledv1.Event) bool { return e.GetCallVideo().GetOn() })
	sees(t, b, "romeo", 0, 320, 240)
	sees(t, b, "juliet", 2, 160, 120)

	// Without a client the call goes on.
	romeo.Forget()
	if status := do[int](b, "detach", map[string]any{"location": last}); status != 200 {
		t.Errorf("DELETE: %d", status)
	}
	if !endSilent(b, "romeo") {
		t.Error("the page has gone, and is heard")
	}
	juliet.End(t, sid, "")
	romeo.WantEnd(t, sid, "success", true)
}

// sees waits until an end of the page shows pictures of this size in which one of red, green and blue is strong, and
// new frames are decoded.
func sees(t *testing.T, b *browser, name string, strong, width, height int) {
	t.Helper()
	type view struct {
		State                        string
		Width, Height, Decoded, Sent int
		Color                        []int
		PLI, Target                  float64
		Codec                        string
	}
	var v view
	before := -1
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		v = do[view](b, "see", map[string]any{"name": name})
		// Browsers scale pictures down where there is no bandwidth yet.
		sized := v.Width > 0 && v.Width*height == v.Height*width
		if sized && len(v.Color) == 3 && v.Color[strong] > 150 && v.Color[2-strong] < 100 {
			if before >= 0 && v.Decoded > before+5 {
				t.Logf("%s sees %+v", name, v)
				return
			}
			if before < 0 {
				before = v.Decoded
			}
		}
	}
	t.Errorf("%s sees %+v", name, v)
}

func endHears(b *browser, name string, hz int) bool {
	for range 20 {
		n := 0
		for _, peaks := range do[[][]int](b, "hear", map[string]any{"name": name, "ms": 300}) {
			if len(peaks) > 0 && near(peaks[0], hz) {
				n++
			}
		}
		if n >= 3 {
			return true
		}
	}
	return false
}

func endSilent(b *browser, name string) bool {
	for range 20 {
		quiet := true
		for _, peaks := range do[[][]int](b, "hear", map[string]any{"name": name, "ms": 200}) {
			quiet = quiet && len(peaks) == 0
		}
		if quiet {
			return true
		}
	}
	return false
}
