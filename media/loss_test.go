package media

import (
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/transport/v4/vnet"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/media/audio"
)

// With every tenth packet of sound lost, by chance, the tone is still heard nearly all the time, and the meter says what the
// path is like. Without loss the beginnings and ends of the beeps leave 0.95.
func TestSoundSurvivesLoss(t *testing.T) {
	beeps := filepath.Join(t.TempDir(), "beeps.wav")
	writeBeeps(t, beeps)
	for _, c := range []struct {
		name  string
		codec *audio.Codec
		least float64 // the share of the time that it is sent in which the tone is heard
	}{
		{"opus", audio.Opus(), 0.86}, {"G722", audio.G722(), 0.86}, {"PCMA", audio.PCMA(), 0.86},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				chance := rand.New(rand.NewPCG(5, 6))
				w := newWide(t, 30*time.Millisecond, func(_ int64, x vnet.Chunk) bool {
					b := x.UserData()
					if len(b) < 2 || b[0]>>6 != 2 || b[1]&0x7f >= 64 && b[1]&0x7f <= 95 { // sound alone
						return false
					}
					mu.Lock()
					defer mu.Unlock()
					return chance.IntN(10) == 0
				})
				w.start()
				defer w.stop()
				only := func(cfg *Config) { cfg.Codecs = []*audio.Codec{c.codec} }
				a, b := newParty(t, w, jingle.Initiator, only), newParty(t, w, jingle.Responder, only)
				path := filepath.Join(t.TempDir(), "heard.wav")
				a.SetAudio(open(t, beeps), nil)
				b.SetAudio(open(t, "tone:1000"), create(t, path))
				hangUp := dial(t, a, b)
				await[Heard](t, b, "sound", nil)
				time.Sleep(12 * time.Second)
				st := b.Stats()
				hangUp()
				loss := float64(st.PacketsLost) / float64(st.PacketsLost+st.PacketsReceived)
				if loss < 0.07 || loss > 0.13 || st.RoundTrip < 55*time.Millisecond || st.RoundTrip > 80*time.Millisecond {
					t.Errorf("the meter says a loss of %.3f and a round trip of %v", loss, st.RoundTrip)
				}
				if st.MOS < 1.5 || st.MOS > 3.9 {
					t.Errorf("the meter says an opinion score of %.1f", st.MOS)
				}
				there, all := toneTime(t, path, 440)
				found := there / (all * beepOn / beepPeriod)
				t.Logf("the tone is there %.3f of the time; %+v", found, st)
				if found < c.least || all < 11 {
					t.Errorf("the tone is there for %.1f of %.1f seconds", there, all)
				}
			})
		})
	}
}

// The rhythm of the beeps, in frames: that of syllables.
const (
	beepOn     = 20
	beepPeriod = 30
)

// writeBeeps makes a file of 15 seconds.
func writeBeeps(t *testing.T, path string) {
	t.Helper()
	out := create(t, path)
	tone := audio.NewTone(440, 0.25)
	pcm := make([]float32, audio.FrameSize)
	for i := range 750 {
		_, _ = tone.Read(pcm)
		if i%beepPeriod >= beepOn {
			for k := range pcm {
				pcm[k] /= 300
			}
		}
		if err := out.WritePCM(pcm); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// toneTime is how long a tone is heard, not much softer than it was sent, in a recording, by windows of 20 ms, and how long that is.
func toneTime(t *testing.T, path string, hz float64) (there, all float64) {
	t.Helper()
	src := open(t, path)
	defer func() { _ = src.Close() }()
	pcm := make([]float32, audio.FrameSize)
	for {
		n, err := src.Read(pcm)
		if n == len(pcm) {
			all += 0.02
			if audio.Level(pcm) > -19 && audio.Share(pcm, audio.SampleRate, hz) > 0.8 {
				there += 0.02
			}
		}
		if err != nil {
			return there, all
		}
	}
}
