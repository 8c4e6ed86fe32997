package chromium

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/internal/interop/ours"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/media/audio"
)

const patience = ours.Patience

const bundleEnv = "JINGLED_TEST_BUNDLE"

// theirTone is what the browser says, in Hz.
const theirTone = 1000

// alone has a test run in a network of its own, with the script of the page. ok is false in the process outside, where the test is
// over then.
func alone(t *testing.T) (script []byte, ok bool) {
	t.Helper()
	if os.Getenv(bundleEnv) == "" {
		testkit.Installed(t, testkit.Kinds(t)...)
		testkit.Binary(t, "chromium-headless-shell", "chromium-headless-shell")
		testkit.InNetwork(t, bundleEnv+"="+bundle(t))
		return nil, false
	}
	if !testkit.InNetwork(t) {
		return nil, false
	}
	script, err := os.ReadFile(os.Getenv(bundleEnv))
	if err != nil {
		t.Fatal(err)
	}
	return script, true
}

func TestCalls(t *testing.T) {
	script, ok := alone(t)
	if !ok {
		return
	}
	testkit.EachWith(t, testkit.Options{Address: testkit.NetworkAddress}, func(t *testing.T, srv *testkit.Server) {
		calls(t, script, srv)
		if srv.Kind == testkit.Chosen(t) {
			t.Run("video", func(t *testing.T) { videoCalls(t, script, srv) })
		}
	})
}

func calls(t *testing.T, script []byte, srv *testkit.Server) {
	srv.AddUser(t, "juliet", "secret")
	srv.AddUser(t, "romeo", "secret")
	srv.Befriend(t, "juliet", "romeo")
	microphone := filepath.Join(t.TempDir(), "microphone.wav")
	writeTone(t, microphone, theirTone)

	account := daemon.Account{JID: jid.JID("juliet@" + srv.Domain), Password: func() (string, error) { return "secret", nil },
		Resource: "daemon", Connect: srv.Addr, RootCAs: srv.Pool(), FailFast: true}
	us := ours.Run(t, daemon.Config{Accounts: []daemon.Account{account}})
	b := open(t, script, microphone)
	them := do[string](b, "login", map[string]any{
		"jid": "romeo@" + srv.Domain + "/browser", "password": "secret", "url": "ws://" + srv.HTTPAddr + "/xmpp-websocket",
	})
	t.Run("we call, they hang up", func(t *testing.T) {
		record := filepath.Join(t.TempDir(), "heard.wav")
		sid := us.Call(t, them, record)
		b.await(sid, "incoming")
		do[any](b, "ring", map[string]any{"sid": sid})
		us.Await(t, sid, "ringing", func(e *jingledv1.Event) bool { return e.GetCallRinging() != nil })
		do[any](b, "accept", map[string]any{"sid": sid})
		converse(t, us, b, sid)
		ours.Hears(t, record, theirTone)
		do[any](b, "end", map[string]any{"sid": sid, "reason": "success"})
		us.WantEnd(t, sid, "success", true)
		ours.WantTone(t, record, theirTone)
	})
	t.Run("they call, we hang up", func(t *testing.T) {
		record := filepath.Join(t.TempDir(), "heard.ogg")
		sid := do[string](b, "call", map[string]any{"to": us.JID(t), "sid": "from-the-browser"})
		us.Incoming(t, sid)
		b.await(sid, "ringing")
		us.Answer(t, sid, record)
		converse(t, us, b, sid)
		restart(t, b, sid)
		us.End(t, sid, "")
		if e := b.await(sid, "terminated"); e.Reason != "success" {
			t.Errorf("terminated: %+v", e)
		}
		us.WantEnd(t, sid, "success", false)
		ours.WantTone(t, record, theirTone)
	})
	t.Run("they decline", func(t *testing.T) {
		// To the person: the daemon finds the device, and that it knows no proposals.
		sid := us.Call(t, jid.JID(them).Bare().String(), "")
		b.await(sid, "incoming")
		do[any](b, "end", map[string]any{"sid": sid, "reason": "decline"})
		us.WantEnd(t, sid, "decline", true)
	})
	t.Run("we cancel", func(t *testing.T) {
		sid := us.Call(t, them, "")
		b.await(sid, "incoming")
		us.End(t, sid, "")
		if e := b.await(sid, "terminated"); e.Reason != "cancel" {
			t.Errorf("terminated: %+v", e)
		}
	})
	t.Run("they cancel", func(t *testing.T) {
		sid := do[string](b, "call", map[string]any{"to": us.JID(t), "sid": "given-up"})
		us.Incoming(t, sid)
		do[any](b, "end", map[string]any{"sid": sid, "reason": "cancel"})
		us.WantEnd(t, sid, "cancel", true)
	})
	t.Run("we are busy", func(t *testing.T) {
		sid := do[string](b, "call", map[string]any{"to": us.JID(t), "sid": "busy-line"})
		us.Incoming(t, sid)
		us.End(t, sid, "busy")
		if e := b.await(sid, "terminated"); e.Reason != "busy" {
			t.Errorf("terminated: %+v", e)
		}
	})
}

// converse goes through a call that was answered: sound, keys and muting, both ways.
func converse(t *testing.T, us *ours.Side, b *browser, sid string) {
	t.Helper()
	connected := us.Connected(t, sid)
	if connected.GetCodec() != "opus" {
		t.Errorf("connected: %v", connected)
	}
	b.await(sid, "connection", func(e event) bool { return e.State == "connected" })
	b.await(sid, "track")
	t.Logf("connected: %v", connected)

	// They hear us.
	if !hears(b, ours.Tone) {
		t.Errorf("the browser does not hear our %d Hz", ours.Tone)
	}
	// The keys that we press are tones for them.
	us.Press(t, sid, "1")
	if got := do[[][]int](b, "hear", map[string]any{"ms": 600}); !hasKey(got, 697, 1209) {
		t.Errorf("the browser does not hear the key 1: %v", got)
	}
	// And theirs are keys.
	do[any](b, "press", map[string]any{"sid": sid, "digits": "159#"})
	us.Await(t, sid, "keys", func(e *jingledv1.Event) bool { return e.GetCallDtmf().GetDigit() == "#" })
	if keys := us.Keys(sid); keys != "159#" {
		t.Errorf("keys %q", keys)
	}

	// Muting and holding are told, and what is muted is silent.
	peerState := func(muted, held bool) {
		t.Helper()
		us.Await(t, sid, "news of the peer", func(e *jingledv1.Event) bool {
			p := e.GetCallPeerState()
			return p != nil && p.GetMuted() == muted && p.GetHeld() == held
		})
		us.Forget()
	}
	us.Forget()
	do[any](b, "mute", map[string]any{"sid": sid, "on": true})
	peerState(true, false)
	do[any](b, "mute", map[string]any{"sid": sid, "on": false})
	peerState(false, false)
	do[any](b, "hold", map[string]any{"sid": sid, "on": true})
	peerState(false, true)
	do[any](b, "hold", map[string]any{"sid": sid, "on": false})
	peerState(false, false)
	us.Control(t, &jingledv1.ControlCallRequest{Sid: sid, Mute: new(true)})
	b.await(sid, "mute")
	if !silent(b) {
		t.Error("we are muted, and heard")
	}
	us.Control(t, &jingledv1.ControlCallRequest{Sid: sid, Mute: new(false)})
	b.await(sid, "unmute")
	us.Control(t, &jingledv1.ControlCallRequest{Sid: sid, Hold: new(true)})
	b.await(sid, "hold")
	us.Control(t, &jingledv1.ControlCallRequest{Sid: sid, Hold: new(false)})
	b.await(sid, "resumed")
	if !hears(b, ours.Tone) {
		t.Error("the browser does not hear us after all that")
	}

	st := do[map[string]any](b, "stats", map[string]any{"sid": sid})
	t.Logf("the browser's figures: %v", st)
	received, _ := st["received"].(float64)
	energy, _ := st["energy"].(float64)
	if lost, _ := st["lost"].(float64); received < 40 || energy <= 0 || lost > 0 {
		t.Errorf("the browser's figures: %v", st)
	}
}

// restart lets the browser restart ICE: another path is used, and we are still heard.
func restart(t *testing.T, b *browser, sid string) {
	t.Helper()
	before := do[map[string]any](b, "stats", map[string]any{"sid": sid})
	do[any](b, "restart", map[string]any{"sid": sid})
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		now := do[map[string]any](b, "stats", map[string]any{"sid": sid})
		if now["ufrag"] != before["ufrag"] && now["pair"] != nil && now["pair"] != before["pair"] {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the browser does not restart ICE: %v, %v", before, now)
		}
	}
	if !hears(b, ours.Tone) {
		t.Error("the browser does not hear us after a restart of ICE")
	}
}

// hears waits until the browser hears a tone.
func hears(b *browser, hz int) bool {
	for range 20 {
		n := 0
		for _, peaks := range do[[][]int](b, "hear", map[string]any{"ms": 300}) {
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

// silent waits until the browser hears nothing.
func silent(b *browser) bool {
	for range 20 {
		quiet := true
		for _, peaks := range do[[][]int](b, "hear", map[string]any{"ms": 200}) {
			quiet = quiet && len(peaks) == 0
		}
		if quiet {
			return true
		}
	}
	return false
}

// near takes the resolution of the browser's spectrum into account.
func near(a, b int) bool { return math.Abs(float64(a-b)) < 12 }

// hasKey reports whether the two tones of a key were heard at once.
func hasKey(heard [][]int, low, high int) bool {
	for _, peaks := range heard {
		if len(peaks) == 2 && (near(peaks[0], low) && near(peaks[1], high) || near(peaks[0], high) && near(peaks[1], low)) {
			return true
		}
	}
	return false
}

// bundle makes one script of the page and its packages.
func bundle(t *testing.T) string {
	t.Helper()
	home := testkit.Npm(t, "web")
	page, err := filepath.Abs("web/page.js")
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "bundle.js")
	cmd := exec.CommandContext(t.Context(), testkit.Binary(t, "node", "nodejs"), filepath.Join(home, "node_modules/esbuild/bin/esbuild"),
		page, "--bundle", "--format=iife", "--platform=browser", "--define:global=globalThis", "--log-level=warning", "--outfile="+out)
	cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(home, "node_modules"))
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("esbuild: %v\n%s", err, b)
	}
	return out
}

func writeTone(t *testing.T, path string, hz float64) {
	t.Helper()
	sink, err := audio.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	pcm := make([]float32, audio.SampleRate) // a whole number of periods, as Chromium repeats it
	if _, err := audio.NewTone(hz, 0.5).Read(pcm); err != nil {
		t.Fatal(err)
	}
	for len(pcm) > 0 {
		if err := sink.WritePCM(pcm[:audio.FrameSize]); err != nil {
			t.Fatal(err)
		}
		pcm = pcm[audio.FrameSize:]
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
}
