//go:build linux

package natlab_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/natlab"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/testkit/impair"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/audio/audiotest"
	"github.com/jingled/jingled/media/video/videotest"
)

// bad is a line over which people complain: 5 % of packets are lost, 5 % are overtaken, 2 % come twice, and all take 50 ms and more.
var bad = impair.Link{Delay: 50 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.05, Late: 0.05, LateBy: 30 * time.Millisecond, Double: 0.02}

// far is a line of 50 ms there and back.
var far = impair.Link{Delay: 25 * time.Millisecond}

// people makes two new accounts.
func (l *lab) people(t *testing.T, caller, callee string) {
	t.Helper()
	l.server.AddUser(t, caller, "secret")
	l.server.AddUser(t, callee, "secret")
}

// TestBadLines calls and sends files over lines that lose, delay, double and reorder packets.
func TestBadLines(t *testing.T) {
	testkit.Binary(t, "nft", "nftables")
	program := build(t)
	if !testkit.InNetwork(t, binaryEnv+"="+program) {
		return
	}
	l := newLab(t, program)
	t.Run("at the same time", func(t *testing.T) {
		t.Run("sound", l.soundSurvives)
		t.Run("pictures", l.picturesSurvive)
		t.Run("files", l.filesSurvive)
	})
	t.Run("set-up", l.setUpIsQuick)
}

// soundSurvives has a line become bad in a call: the tone is still there, and the meter says how it sounds.
func (l *lab) soundSurvives(t *testing.T) {
	from, pump := natlab.NewFarSite(t, natlab.PortRestricted, 1, impair.Config{Seed: 1})
	to := natlab.NewSite(t, natlab.PortRestricted, 2)
	l.people(t, "speaker", "listener")
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	heard := filepath.Join(t.TempDir(), "heard.wav")
	b := l.start(ctx, t, to, "listener", "answer", "--once", "--record", heard)
	b.until(t, "ready")
	beeps := filepath.Join(t.TempDir(), "beeps.wav")
	if err := audiotest.WriteBeeps(beeps, 440, 2000); err != nil { // 40 seconds
		t.Fatal(err)
	}
	a := l.start(ctx, t, from, "speaker", "call", "listener@"+l.server.Domain, "--audio-in", beeps)
	a.until(t, "call.connected")
	b.until(t, "call.connected")
	meter := func(what string, is func(event) bool) event {
		t.Helper()
		for range 25 {
			if e := b.until(t, "call.meter"); is(e) {
				return e
			}
		}
		t.Fatalf("no meter says %s", what)
		return event{}
	}
	good := meter("that it sounds well", func(e event) bool { return e.MOS > 4 })
	if err := pump.Change(bad, bad); err != nil {
		t.Fatal(err)
	}
	worse := meter("that it sounds worse", func(e event) bool { return e.MOS < good.MOS-0.3 && e.RTT > 90 && e.Lost > good.Lost })
	for range 5 {
		worse = b.until(t, "call.meter")
	}
	up, down := pump.Counts()
	a.hangUp(t)
	b.until(t, "call.ended")
	b.wait()
	share, seconds := toneAtTheEnd(t, heard, 440, 6)
	t.Logf("MOS %.2f, then %.2f (rtt %.0f ms, %d lost); the tone is there %.3f of when it is sent in the last %.1f s; the line: up %+v, down %+v",
		good.MOS, worse.MOS, worse.RTT, worse.Lost, share, seconds, up, down)
	if up.Lost == 0 || up.Late == 0 || up.Doubled == 0 {
		t.Errorf("the line was not bad: %+v", up)
	}
	// The beginnings and ends of beeps leave 0.97 of a good line. What forward error correction is worth, media tests in simulated
	// time; here a busy machine is heard too.
	if share < 0.8 || seconds < 5 {
		t.Errorf("the tone is there %.3f of when it is sent in the last %.1f s", share, seconds)
	}
}

// toneAtTheEnd is for how much of the time that a tone is sent it is heard, as loud as it was, in the last seconds of a recording.
func toneAtTheEnd(t *testing.T, path string, hz, last float64) (share, seconds float64) {
	t.Helper()
	heard, err := audiotest.Heard(path, hz)
	if err != nil {
		t.Fatal(err)
	}
	// Whole periods, so that it does not matter where the recording begins.
	n := min(int(last*audio.SampleRate/audio.FrameSize), len(heard)) / audiotest.Period * audiotest.Period
	return audiotest.Share(heard[len(heard)-n:]), float64(n) * audio.FrameSize / audio.SampleRate
}

// picturesSurvive plays a film over a bad line: what is lost comes again, and all of it is recorded in its order.
func (l *lab) picturesSurvive(t *testing.T) {
	from, pump := natlab.NewFarSite(t, natlab.PortRestricted, 5, impair.Config{Up: bad, Down: bad, Seed: 5})
	to := natlab.NewSite(t, natlab.PortRestricted, 6)
	l.people(t, "player", "viewer")
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	film := make([][]byte, 250) // 10 seconds
	for i := range film {
		film[i] = append(binary.BigEndian.AppendUint32([]byte{1}, uint32(i)), make([]byte, 3000)...)
	}
	film[0][0] = 0 // the only key frame
	seen := filepath.Join(t.TempDir(), "seen.ivf")
	b := l.start(ctx, t, to, "viewer", "answer", "--once", "--record-video", seen)
	b.until(t, "ready")
	a := l.start(ctx, t, from, "player", "call", "viewer@"+l.server.Domain, "--audio-in", "silence", "--video-in", videotest.Write(t, film), "--duration", "12s")
	a.until(t, "call.ended")
	b.until(t, "call.ended")
	b.wait()
	got, err := videotest.Read(seen)
	if err != nil {
		t.Fatal(err)
	}
	there := map[uint32]bool{}
	for _, f := range got {
		there[binary.BigEndian.Uint32(f[1:])] = true
	}
	up, _ := pump.Counts()
	t.Logf("%d of %d frames are recorded, %d different ones; the line: up %+v", len(got), len(film), len(there), up)
	if up.Lost == 0 {
		t.Errorf("the line was not bad: %+v", up)
	}
	if len(there) < len(film)*98/100 {
		t.Errorf("%d of %d frames were seen", len(there), len(film))
	}
}

// filesSurvive sends a file by every road at the same time.
func (l *lab) filesSurvive(t *testing.T) {
	from, pump := natlab.NewFarSite(t, natlab.Open, 3, impair.Config{Up: bad, Down: bad, Seed: 3})
	to := natlab.NewSite(t, natlab.Open, 4)
	t.Cleanup(func() {
		up, down := pump.Counts()
		t.Logf("the line: up %+v, down %+v", up, down)
	})
	for _, road := range []string{"datachannel", "s5b", "ibb"} {
		l.people(t, "sender-"+road, "receiver-"+road)
		t.Run(road, func(t *testing.T) {
			t.Parallel()
			l.sendBy(t, from, to, road)
		})
	}
}

func (l *lab) sendBy(t *testing.T, from, to *natlab.Site, road string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	data := make([]byte, 300_000)
	_, _ = rand.Read(data)
	path, inbox := filepath.Join(l.dir, road+".bin"), t.TempDir()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	b := l.start(ctx, t, to, "receiver-"+road, "receive", "--dir", inbox, "--once")
	b.until(t, "ready")
	began := time.Now()
	a := l.start(ctx, t, from, "sender-"+road, "send", "--via", road, "receiver-"+road+"@"+l.server.Domain, path)
	e := b.until(t, "transfer.done")
	a.until(t, "transfer.done")
	took := time.Since(began).Round(time.Millisecond)
	if got, err := os.ReadFile(filepath.Join(inbox, road+".bin")); err != nil || !slices.Equal(got, data) {
		t.Errorf("the file is not what was sent: %v", err)
	}
	if e.Transport != road {
		t.Errorf("it went by %s", e.Transport)
	}
	t.Logf("it took %v, login and offer included", took)
}

// setUpIsQuick measures from the session-accept to the first sound, with real sockets. media has the same in simulated time;
// here the best of some calls counts, as the machine may be busy.
func (l *lab) setUpIsQuick(t *testing.T) {
	site := 10
	for _, c := range []struct {
		name  string
		link  impair.Link
		flags []string
		limit time.Duration
	}{
		{"direct", far, nil, 190 * time.Millisecond},
		{"by a relay only", far, []string{"--ice", "relay"}, 350 * time.Millisecond},
		{"every third datagram lost", impair.Link{Delay: far.Delay, LoseEach: 3}, nil, 1500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			from, _ := natlab.NewFarSite(t, natlab.Open, site, impair.Config{Up: c.link, Down: c.link, Seed: 1, Spares: natlab.SpareTCP})
			to := natlab.NewSite(t, natlab.Open, site+1)
			site += 2
			var took []time.Duration
			for range 6 {
				took = append(took, l.setUp(t, from, to, c.flags...))
				if took[len(took)-1] <= c.limit {
					break
				}
			}
			t.Logf("from the answer to the first sound: %v", took)
			if slices.Min(took) > c.limit {
				t.Errorf("it took %v, more than %v", took, c.limit)
			}
		})
	}
}

func (l *lab) setUp(t *testing.T, from, to *natlab.Site, flags ...string) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l.users++
	callee := "quick-" + string(rune('a'+l.users))
	l.people(t, "hasty-"+callee, callee)
	b := l.start(ctx, t, to, callee, "answer", "--once", "--audio-in", "tone:1000")
	b.until(t, "ready")
	a := l.start(ctx, t, from, "hasty-"+callee, append([]string{"call", callee + "@" + l.server.Domain, "--audio-in", "tone:440", "--duration", "200ms"}, flags...)...)
	e := a.until(t, "call.connected")
	a.until(t, "call.ended")
	b.until(t, "call.ended")
	return time.Duration(e.SetupMS * float64(time.Millisecond)).Round(time.Millisecond)
}
