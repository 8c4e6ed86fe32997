package daemon_test

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/media/audio"
)

// Bob's tone is played by Alice's loudspeaker, taken up by her microphone, and heard by Bob: once around a real sound server.
func TestCallByPulseAudio(t *testing.T) {
	t.Setenv("PULSE_SERVER", testkit.PulseAudio(t))
	srv := friends(t)
	a, b := login(t, srv, "alice", nil), login(t, srv, "bob", nil)
	_, err := a.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: b.jid.String(), Media: &jingledv1.Media{AudioIn: "pulse:nothing"}})
	if err == nil || !strings.Contains(err.Error(), "out.monitor") {
		t.Errorf("a microphone that is not there: %v", err)
	}
	res, err := a.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: b.jid.String(),
		Media: &jingledv1.Media{AudioIn: "pulse:out.monitor", AudioOut: "pulse:out", Record: filepath.Join(t.TempDir(), "alice.wav")}})
	if err != nil {
		t.Fatal(err)
	}
	await(t, b, func(e *jingledv1.Event) bool { return e.GetCallIncoming() != nil })
	heard := filepath.Join(t.TempDir(), "heard.wav")
	if _, err := b.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{Sid: res.GetSid(),
		Media: &jingledv1.Media{AudioIn: "tone:1000", Record: heard}}); err != nil {
		t.Fatal(err)
	}
	for range 3 { // seconds
		await(t, b, func(e *jingledv1.Event) bool { return e.GetCallMeter() != nil })
	}
	if _, err := a.EndCall(t.Context(), &jingledv1.EndCallRequest{Sid: res.GetSid()}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*peer{a, b} {
		await(t, p, func(e *jingledv1.Event) bool { return e.GetCallEnded() != nil })
	}
	if share := loudest(t, heard, 1000); share < 0.95 {
		t.Errorf("the tone has the share %.3f of what came back", share)
	}
}

// loudest is the greatest share that a tone has in 100 ms of a recording.
func loudest(t *testing.T, path string, hz float64) (best float64) {
	t.Helper()
	src, err := audio.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = src.Close() }()
	pcm := make([]float32, 5*audio.FrameSize)
	for {
		n, err := src.Read(pcm)
		if n == len(pcm) {
			best = max(best, audio.Share(pcm, audio.SampleRate, hz))
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			return best
		}
	}
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
