package daemon_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/audio/pulse"
)

// Bob's tone is played by Alice's loudspeaker, taken up by her microphone, and played by Bob's loudspeaker: once around a real
// sound server.
func TestCallByPulseAudio(t *testing.T) {
	t.Setenv("PULSE_SERVER", testkit.PulseAudio(t))
	srv := friends(t)
	a, b := login(t, srv, "alice", nil), login(t, srv, "bob", nil)
	_, err := a.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: b.jid.String(), Media: &jingledv1.Media{AudioIn: "pulse:nothing"}})
	if err == nil || !strings.Contains(err.Error(), "out.monitor") {
		t.Errorf("a microphone that is not there: %v", err)
	}
	heard := filepath.Join(t.TempDir(), "alice.wav")
	res, err := a.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: b.jid.String(),
		Media: &jingledv1.Media{AudioIn: "pulse:out.monitor", AudioOut: "pulse:out", Record: heard}})
	if err != nil {
		t.Fatal(err)
	}
	await(t, b, func(e *jingledv1.Event) bool { return e.GetCallIncoming() != nil })
	if _, err := b.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{Sid: res.GetSid(),
		Media: &jingledv1.Media{AudioIn: "tone:1000", AudioOut: "pulse:other"}}); err != nil {
		t.Fatal(err)
	}
	await(t, b, func(e *jingledv1.Event) bool { return e.GetCallConnected() != nil })
	if share := listen(t, "other.monitor", 1000); share < 0.5 {
		t.Errorf("the tone has the share %.3f of what came back", share)
	}
	if _, err := a.EndCall(t.Context(), &jingledv1.EndCallRequest{Sid: res.GetSid()}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*peer{a, b} {
		await(t, p, func(e *jingledv1.Event) bool { return e.GetCallEnded() != nil })
	}
	if _, err := os.Stat(heard); err != nil {
		t.Errorf("the recording beside the loudspeaker: %v", err)
	}
}

// listen waits until a tone is half of 40 ms of what a device has, for a minute at most, and returns the greatest share of it:
// on a busy machine sound comes in pieces.
func listen(t *testing.T, device string, hz float64) (best float64) {
	t.Helper()
	source, err := pulse.OpenSource(device)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	pcm := make([]float32, 2*audio.FrameSize)
	tick := time.NewTicker(2 * audio.FrameDuration)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); best < 0.5 && time.Now().Before(deadline); <-tick.C {
		if _, err := source.Read(pcm); err != nil {
			t.Fatal(err)
		}
		best = max(best, audio.Share(pcm, audio.SampleRate, hz))
	}
	return best
}

// Without a sound server it is said so, and what is automatic is silent.
func TestNoSoundServer(t *testing.T) {
	t.Setenv("PULSE_SERVER", "unix:/nonexistent")
	srv := friends(t)
	a, b := login(t, srv, "alice", nil), login(t, srv, "bob", nil)
	_, err := a.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: b.jid.String(), Media: &jingledv1.Media{AudioIn: "pulse"}})
	if err == nil || !strings.Contains(err.Error(), "PulseAudio") {
		t.Errorf("without a server: %v", err)
	}
	if _, err := a.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: b.jid.String(), Media: &jingledv1.Media{AudioOut: "speaker"}}); err == nil {
		t.Error("any loudspeaker is taken")
	}
	if _, err := a.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: b.jid.String(), Media: &jingledv1.Media{AudioIn: "auto", AudioOut: "auto"}}); err != nil {
		t.Errorf("automatic: %v", err)
	}
	await(t, b, func(e *jingledv1.Event) bool { return e.GetCallIncoming() != nil })
}
