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
	"github.com/jingled/jingled/media/audio/audiotest"
)

// With every tenth packet of sound lost, by chance, the tone is still heard nearly all the time, and the meter says what the
// path is like. Without loss the beginnings and ends of the beeps leave 0.95.
func TestSoundSurvivesLoss(t *testing.T) {
	beeps := filepath.Join(t.TempDir(), "beeps.wav")
	if err := audiotest.WriteBeeps(beeps, 440, 750); err != nil { // 15 seconds
		t.Fatal(err)
	}
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
				heard, err := audiotest.Heard(path, 440)
				if err != nil {
					t.Fatal(err)
				}
				found := audiotest.Share(heard)
				t.Logf("the tone is there %.3f of the time; %+v", found, st)
				if found < c.least || len(heard) < 550 {
					t.Errorf("the tone is there %.3f of when it is sent in %d frames", found, len(heard))
				}
			})
		})
	}
}
