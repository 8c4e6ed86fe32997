package pulse

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/media/audio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What is played on a real server is what is recorded there.
func TestToneThroughPulseAudio(t *testing.T) {
	t.Setenv("PULSE_SERVER", testkit.PulseAudio(t))
	if !Available() {
		t.Error("the server is not seen")
	}
	sink, err := OpenSink("out")
	if err != nil {
		t.Fatal(err)
	}
	source, err := OpenSource("out.monitor")
	if err != nil {
		t.Fatal(errors.Join(err, sink.Close()))
	}
	tone := audio.NewTone(440, 0.5)
	frame := make([]float32, audio.FrameSize)
	var best float64
	var recent []float32
	next := time.Now()
	for deadline := time.Now().Add(20 * time.Second); best < 0.95 && time.Now().Before(deadline); {
		_, _ = tone.Read(frame)
		if err := sink.WritePCM(frame); err != nil {
			t.Fatal(err)
		}
		n, err := source.Read(frame)
		if err != nil || n != len(frame) {
			t.Fatalf("%d samples, %v", n, err)
		}
		if recent = append(recent, frame...); len(recent) >= 5*audio.FrameSize {
			best = max(best, audio.Share(recent, audio.SampleRate, 440))
			recent = recent[:0]
		}
		next = next.Add(audio.FrameDuration)
		time.Sleep(time.Until(next)) // as a call does it
	}
	if best < 0.95 {
		t.Errorf("the tone has the share %.3f of what was recorded", best)
	}
	for _, c := range []io.Closer{sink, source} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := source.Read(frame); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after it was closed: %v", err)
	}

	// Devices that are not there.
	for kind, open := range map[string]func() error{
		"microphone": func() error { _, err := OpenSource("nothing"); return err }, "loudspeaker": func() error { _, err := OpenSink("nothing"); return err },
	} {
		if err := open(); err == nil || !strings.Contains(err.Error(), kind+` "nothing"`) || !strings.Contains(err.Error(), "other") {
			t.Errorf("no such %s: %v", kind, err)
		}
	}
	// What the user has chosen.
	for _, open := range []func() (io.Closer, error){
		func() (io.Closer, error) { return OpenSource("") }, func() (io.Closer, error) { return OpenSink("") },
	} {
		c, err := open()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNoServer(t *testing.T) {
	t.Setenv("PULSE_SERVER", "")
	t.Setenv("PULSE_RUNTIME_PATH", "")
	t.Setenv("XDG_RUNTIME_DIR", "")
	if _, err := OpenSource(""); !errors.Is(err, ErrNoServer) || Available() {
		t.Errorf("%v", err)
	}
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	if _, err := OpenSink(""); !errors.Is(err, ErrNoServer) || Available() {
		t.Errorf("%v", err)
	}
	// One that says nothing and goes.
	socket := filepath.Join(t.TempDir(), "native")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		if c, err := l.Accept(); err == nil {
			_ = c.Close()
		}
	}()
	t.Setenv("PULSE_SERVER", "{"+"host}unix:"+socket)
	if _, err := OpenSink(""); !errors.Is(err, ErrNoServer) {
		t.Errorf("%v", err)
	}
}

func TestDevice(t *testing.T) {
	for spec, want := range map[string]string{"pulse": "", "pulse:a:b": "a:b", "tone:440": "no", "pulseaudio.wav": "no"} {
		if d, ok := Device(spec); ok != (want != "no") || ok && d != want {
			t.Errorf("%s: %q %v", spec, d, ok)
		}
	}
}

// Clocks that differ cost samples, and never more than a little delay.
func TestRing(t *testing.T) {
	var r ring
	out := make([]float32, 10)
	for i := range cushion - 1 {
		r.push(float32(i + 1))
	}
	if r.pull(out); out[0] != 0 {
		t.Error("it plays without a cushion")
	}
	r.push(cushion)
	if r.pull(out); out[0] != 1 || out[9] != 10 {
		t.Errorf("%v", out)
	}
	for i := range 3 * most {
		r.push(float32(i))
	}
	if r.n > most {
		t.Errorf("%d samples wait", r.n)
	}
	for range most {
		r.pull(out)
	}
	if r.n != 0 || out[9] != 0 || r.flowing {
		t.Errorf("after the end: %v", out)
	}
	// It has run dry, so it waits for more, but never for much.
	for range cushion {
		r.push(1)
	}
	if r.pull(out); out[0] != 0 {
		t.Error("the cushion has not grown")
	}
	for range 100 {
		for range softest {
			r.push(1)
		}
		for range most {
			r.pull(out)
		}
	}
	for range softest {
		r.push(1)
	}
	if r.pull(out); out[0] != 1 {
		t.Error("the cushion is too large")
	}
}
