package chromium

import (
	"context"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/xmpp"
)

// patience is how long one step may take.
const patience = 20 * time.Second

const bundleEnv = "JINGLED_TEST_BUNDLE"

// The tones that the two sides say.
const (
	ourTone   = 440
	theirTone = 1000
)

func TestCalls(t *testing.T) {
	if os.Getenv(bundleEnv) == "" {
		testkit.Binary(t, "prosody", "prosody")
		testkit.Binary(t, "chromium-headless-shell", "chromium-headless-shell")
		testkit.InNetwork(t, bundleEnv+"="+bundle(t))
		return
	}
	if !testkit.InNetwork(t) {
		return
	}
	script, err := os.ReadFile(os.Getenv(bundleEnv))
	if err != nil {
		t.Fatal(err)
	}
	srv := testkit.ProsodyWith(t, testkit.ProsodyConfig{Address: testkit.NetworkAddress})
	srv.AddUser(t, "juliet", "secret")
	srv.AddUser(t, "romeo", "secret")
	srv.Befriend(t, "juliet", "romeo")
	microphone := filepath.Join(t.TempDir(), "microphone.wav")
	writeTone(t, microphone, theirTone)

	us := run(t, srv)
	b := open(t, script, microphone)
	them := do[string](b, "login", map[string]any{
		"jid": "romeo@" + srv.Domain + "/browser", "password": "secret", "url": "ws://" + srv.HTTPAddr + "/xmpp-websocket",
	})
	t.Run("we call, they hang up", func(t *testing.T) {
		record := filepath.Join(t.TempDir(), "heard.wav")
		sid := us.call(t, them, record)
		b.await(sid, "incoming")
		do[any](b, "ring", map[string]any{"sid": sid})
		us.await(t, sid, "ringing", func(e *jingledv1.Event) bool { return e.GetCallRinging() != nil })
		do[any](b, "accept", map[string]any{"sid": sid})
		converse(t, us, b, sid)
		do[any](b, "end", map[string]any{"sid": sid, "reason": "success"})
		us.ended(t, sid, "success", true)
		heardTone(t, record, theirTone)
	})
	t.Run("they call, we hang up", func(t *testing.T) {
		record := filepath.Join(t.TempDir(), "heard.ogg")
		sid := do[string](b, "call", map[string]any{"to": us.jid(t), "sid": "from-the-browser"})
		us.await(t, sid, "incoming", func(e *jingledv1.Event) bool { return e.GetCallIncoming() != nil })
		b.await(sid, "ringing")
		us.answer(t, sid, record)
		converse(t, us, b, sid)
		us.end(t, sid, "")
		if e := b.await(sid, "terminated"); e.Reason != "success" {
			t.Errorf("terminated: %+v", e)
		}
		us.ended(t, sid, "success", false)
		heardTone(t, record, theirTone)
	})
	t.Run("they decline", func(t *testing.T) {
		// To the person: the daemon finds the device, and that it knows no proposals.
		sid := us.call(t, jid.JID(them).Bare().String(), "")
		b.await(sid, "incoming")
		do[any](b, "end", map[string]any{"sid": sid, "reason": "decline"})
		us.ended(t, sid, "decline", true)
	})
	t.Run("we cancel", func(t *testing.T) {
		sid := us.call(t, them, "")
		b.await(sid, "incoming")
		us.end(t, sid, "")
		if e := b.await(sid, "terminated"); e.Reason != "cancel" {
			t.Errorf("terminated: %+v", e)
		}
	})
	t.Run("they cancel", func(t *testing.T) {
		sid := do[string](b, "call", map[string]any{"to": us.jid(t), "sid": "given-up"})
		us.await(t, sid, "incoming", func(e *jingledv1.Event) bool { return e.GetCallIncoming() != nil })
		do[any](b, "end", map[string]any{"sid": sid, "reason": "cancel"})
		us.ended(t, sid, "cancel", true)
	})
	t.Run("we are busy", func(t *testing.T) {
		sid := do[string](b, "call", map[string]any{"to": us.jid(t), "sid": "busy-line"})
		us.await(t, sid, "incoming", func(e *jingledv1.Event) bool { return e.GetCallIncoming() != nil })
		us.end(t, sid, "busy")
		if e := b.await(sid, "terminated"); e.Reason != "busy" {
			t.Errorf("terminated: %+v", e)
		}
	})
}

// converse goes through a call that was answered: sound, keys and muting, both ways.
func converse(t *testing.T, us *side, b *browser, sid string) {
	t.Helper()
	connected := us.await(t, sid, "connected", func(e *jingledv1.Event) bool { return e.GetCallConnected() != nil }).GetCallConnected()
	if connected.GetCodec() != "opus" {
		t.Errorf("connected: %v", connected)
	}
	b.await(sid, "connection", func(e event) bool { return e.State == "connected" })
	b.await(sid, "track")
	t.Logf("connected: %v", connected)

	// They hear us.
	if !hears(b, ourTone) {
		t.Errorf("the browser does not hear our %d Hz", ourTone)
	}
	// The keys that we press are tones for them.
	us.press(t, sid, "1")
	if got := do[[][]int](b, "hear", map[string]any{"ms": 600}); !hasKey(got, 697, 1209) {
		t.Errorf("the browser does not hear the key 1: %v", got)
	}
	// And theirs are keys.
	do[any](b, "press", map[string]any{"sid": sid, "digits": "159#"})
	us.await(t, sid, "keys", func(e *jingledv1.Event) bool { return e.GetCallDtmf().GetDigit() == "#" })
	if keys := us.keys(sid); keys != "159#" {
		t.Errorf("keys %q", keys)
	}

	// Muting and holding are told, and what is muted is silent.
	peerState := func(muted, held bool) {
		t.Helper()
		us.await(t, sid, "news of the peer", func(e *jingledv1.Event) bool {
			p := e.GetCallPeerState()
			return p != nil && p.GetMuted() == muted && p.GetHeld() == held
		})
		us.seen = nil
	}
	us.seen = nil
	do[any](b, "mute", map[string]any{"sid": sid, "on": true})
	peerState(true, false)
	do[any](b, "mute", map[string]any{"sid": sid, "on": false})
	peerState(false, false)
	do[any](b, "hold", map[string]any{"sid": sid, "on": true})
	peerState(false, true)
	do[any](b, "hold", map[string]any{"sid": sid, "on": false})
	peerState(false, false)
	us.control(t, &jingledv1.ControlCallRequest{Sid: sid, Mute: new(true)})
	b.await(sid, "mute")
	if !silent(b) {
		t.Error("we are muted, and heard")
	}
	us.control(t, &jingledv1.ControlCallRequest{Sid: sid, Mute: new(false)})
	b.await(sid, "unmute")
	us.control(t, &jingledv1.ControlCallRequest{Sid: sid, Hold: new(true)})
	b.await(sid, "hold")
	us.control(t, &jingledv1.ControlCallRequest{Sid: sid, Hold: new(false)})
	b.await(sid, "resumed")
	if !hears(b, ourTone) {
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

// heardTone looks for a tone in a recording.
func heardTone(t *testing.T, path string, hz float64) {
	t.Helper()
	src, err := audio.Open(path)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = src.Close() }()
	with, all := 0, 0
	buf := make([]float32, audio.SampleRate/10)
	for {
		n, err := src.Read(buf)
		if n == len(buf) {
			all++
			if audio.Share(buf, audio.SampleRate, hz) > 0.9 {
				with++
			}
		}
		if err != nil {
			break
		}
	}
	if with < 5 {
		t.Errorf("%s: %.0f Hz in %d of %d tenths of a second", filepath.Base(path), hz, with, all)
	}
	t.Logf("%s: %.0f Hz in %d of %d tenths of a second", filepath.Base(path), hz, with, all)
}

// side is our daemon.
type side struct {
	d      *daemon.Daemon
	events chan *jingledv1.Event
	seen   []*jingledv1.Event
}

func run(t *testing.T, srv *testkit.Server) *side {
	t.Helper()
	account := daemon.Account{JID: jid.JID("juliet@" + srv.Domain), Password: func() (string, error) { return "secret", nil },
		Resource: "daemon", Connect: srv.Addr, TLS: xmpp.TLSAuto, RootCAs: srv.Pool(), FailFast: true}
	d, err := daemon.New(daemon.Config{Accounts: []daemon.Account{account}})
	if err != nil {
		t.Fatal(err)
	}
	s := &side{d: d, events: make(chan *jingledv1.Event, 10000)}
	sub, err := d.Subscribe(0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	go func() {
		for {
			e, err := sub.Next(ctx)
			if err != nil {
				return
			}
			s.events <- e
		}
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		sub.Close()
	})
	s.await(t, "", "online", func(e *jingledv1.Event) bool {
		return e.GetAccountChanged().GetState() == jingledv1.AccountState_ACCOUNT_STATE_ONLINE
	})
	return s
}

// await waits for an event of a call.
func (s *side) await(t *testing.T, sid, what string, is func(*jingledv1.Event) bool) *jingledv1.Event {
	t.Helper()
	for _, e := range s.seen {
		if e.GetSid() == sid && is(e) {
			return e
		}
	}
	deadline := time.After(patience)
	for {
		select {
		case e := <-s.events:
			s.seen = append(s.seen, e)
			if e.GetSid() == sid && is(e) {
				return e
			}
			if sid != "" && e.GetSid() == sid && e.GetCallEnded() != nil {
				t.Fatalf("no %s: the call has ended: %v", what, e.GetCallEnded())
			}
		case <-deadline:
			t.Fatalf("no %s among %v", what, s.seen)
		}
	}
}

func (s *side) jid(t *testing.T) string {
	t.Helper()
	res, err := s.d.ListAccounts(t.Context(), &jingledv1.ListAccountsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return res.GetAccounts()[0].GetBoundJid()
}

func (s *side) media(record string) *jingledv1.Media {
	return &jingledv1.Media{AudioIn: "tone:440", Record: record}
}

func (s *side) call(t *testing.T, to, record string) string {
	t.Helper()
	res, err := s.d.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: to, Media: s.media(record)})
	if err != nil {
		t.Fatal(err)
	}
	return res.GetSid()
}

func (s *side) answer(t *testing.T, sid, record string) {
	t.Helper()
	if _, err := s.d.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{Sid: sid, Media: s.media(record)}); err != nil {
		t.Fatal(err)
	}
}

func (s *side) end(t *testing.T, sid, reason string) {
	t.Helper()
	if _, err := s.d.EndCall(t.Context(), &jingledv1.EndCallRequest{Sid: sid, Reason: reason}); err != nil {
		t.Fatal(err)
	}
}

func (s *side) press(t *testing.T, sid, digits string) {
	t.Helper()
	if _, err := s.d.SendDtmf(t.Context(), &jingledv1.SendDtmfRequest{Sid: sid, Digits: digits}); err != nil {
		t.Fatal(err)
	}
}

func (s *side) control(t *testing.T, req *jingledv1.ControlCallRequest) {
	t.Helper()
	if _, err := s.d.ControlCall(t.Context(), req); err != nil {
		t.Fatal(err)
	}
}

func (s *side) keys(sid string) string {
	var out strings.Builder
	for _, e := range s.seen {
		if e.GetSid() == sid && e.GetCallDtmf() != nil {
			out.WriteString(e.GetCallDtmf().GetDigit())
		}
	}
	return out.String()
}

func (s *side) ended(t *testing.T, sid, reason string, byPeer bool) {
	t.Helper()
	e := s.await(t, sid, "end", func(e *jingledv1.Event) bool { return e.GetCallEnded() != nil }).GetCallEnded()
	if e.GetReason() != reason || e.GetByPeer() != byPeer {
		t.Errorf("ended: %v", e)
	}
}
