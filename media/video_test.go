package media

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/transport/v4/vnet"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/video"
	"github.com/jingled/jingled/media/video/videotest"
)

// film writes an IVF file of so many frames, 25 in a second, which only look like VP8.
func film(t *testing.T, n int) (path string, frames []byte) {
	t.Helper()
	var all [][]byte
	for i := range n {
		f := bytes.Repeat([]byte{byte(i<<1) | 1}, 3000)
		if i%25 == 0 {
			f[0] &^= 1
		}
		all = append(all, f)
	}
	return videotest.Write(t, all), slices.Concat(all...)
}

// recorded returns the frames of a recording, one after another.
func recorded(t *testing.T, path string) (frames []byte, n int) {
	t.Helper()
	all, err := videotest.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(all...), len(all)
}

// watch has a party see a film and keep what it sees.
func (p *party) watch(t *testing.T, film string) (recording string) {
	t.Helper()
	var source video.Source
	var err error
	if film != "" {
		if source, err = video.Open(film); err != nil {
			t.Fatal(err)
		}
	}
	recording = filepath.Join(t.TempDir(), "seen.ivf")
	sink, err := video.OpenSink(recording)
	if err != nil {
		t.Fatal(err)
	}
	p.SetVideo(Video{Source: source, Sink: sink})
	return recording
}

func cheap(bundled bool) func(*Config) {
	return func(c *Config) { c.Bundle, c.Codecs = bundled, []*audio.Codec{audio.PCMU()} }
}

func TestVideoBothWays(t *testing.T) {
	for _, bundled := range []bool{true, false} {
		for _, lossy := range []bool{false, true} {
			t.Run(fmt.Sprintf("bundled %v, lossy %v", bundled, lossy), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var losing atomic.Bool
					w := newWide(t, 5*time.Millisecond, func(n int64, _ vnet.Chunk) bool { return losing.Load() && n%20 == 0 })
					w.start()
					defer w.stop()
					a, b := newParty(t, w, jingle.Initiator, cheap(bundled)), newParty(t, w, jingle.Responder, cheap(false))
					path, frames := film(t, 100)
					seenA, seenB := a.watch(t, path), b.watch(t, path)
					hangUp := dial(t, a, b)
					await[VideoSeen](t, a, "video", nil)
					await[VideoSeen](t, b, "video", nil)
					losing.Store(lossy)
					await[VideoSourceEnded](t, a, "the end", nil)
					await[VideoSourceEnded](t, b, "the end", nil)
					losing.Store(false)
					time.Sleep(time.Second)
					st := a.Stats()
					if len(st.Videos) != 1 || st.Videos[0].Codec != "VP8" || st.Videos[0].PacketsSent < 300 || st.Videos[0].PacketsReceived < 300 {
						t.Errorf("figures: %+v", st.Videos)
					}
					if st.PacketsReceived < 200 {
						t.Errorf("of sound %d packets have come", st.PacketsReceived)
					}
					groups := 1
					if a.videos()[0].own {
						groups = 2
					}
					if (groups == 1) != bundled || a.videos()[0].own != b.videos()[0].own {
						t.Errorf("%d transports", groups)
					}
					hangUp()
					for name, seen := range map[string]string{"a": seenA, "b": seenB} {
						got, n := recorded(t, seen)
						// The first to see it asks for a key frame, so the film goes back and begins again, as it does after losses.
						if !bytes.HasSuffix(got, frames) && !lossy || n < 98 {
							t.Errorf("%s has recorded %d frames", name, n)
						}
					}
				})
			})
		}
	}
}

func TestVideoThatOneSideOnlyHas(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *wide) {
		a, b := newParty(t, w, jingle.Initiator, cheap(true)), newParty(t, w, jingle.Responder, cheap(true))
		path, frames := film(t, 25)
		a.watch(t, path)
		hangUp := dial(t, a, b)
		await[VideoSourceEnded](t, a, "the end", nil)
		st := b.Stats().Videos
		if len(st) != 1 || st[0].PacketsReceived < 50 || st[0].PacketsSent != 0 {
			t.Errorf("not wanted: %+v of %d bytes", st, len(frames))
		}
		hangUp()
	})
}

// TestVideoComesAndGoes adds video to a call and drops it, twice.
func TestVideoComesAndGoes(t *testing.T) {
	for _, bundled := range []bool{true, false} {
		t.Run(fmt.Sprint("bundled ", bundled), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, w *wide) {
				a, b := newParty(t, w, jingle.Initiator, cheap(bundled)), newParty(t, w, jingle.Responder, cheap(bundled))
				path, frames := film(t, 50)
				hangUp := dial(t, a, b)
				await[Connected](t, a, "connection", nil)
				for i, side := range [][2]*party{{a, b}, {b, a}} {
					from, to := side[0], side[1]
					seen := to.watch(t, "")
					source, err := video.Open(path)
					if err != nil {
						t.Fatal(err)
					}
					from.signal.Lock()
					contents, groups, err := from.AddVideo(Video{Source: source})
					from.signal.Unlock()
					if err != nil {
						t.Fatal(err)
					}
					contents, groups = transported(t, contents, groups)
					if bundled && i == 1 {
						// Conversations leaves out a transport that is shared.
						contents[0].Transport, groups = ice.Transport{}, nil
					}
					to.signal.Lock()
					answer, groups, err := to.AcceptVideo(contents[0], groups)
					to.signal.Unlock()
					if err != nil {
						t.Fatal(err)
					}
					answers, groups := transported(t, []jingle.Content{answer}, groups)
					from.signal.Lock()
					err = from.VideoAccepted(answers[0], groups)
					from.signal.Unlock()
					if err != nil {
						t.Fatal(err)
					}
					if tr := answers[0].Transport.(ice.Transport); bundled != (tr.Ufrag == to.group.link().local.Ufrag) {
						t.Errorf("the transport is %s", tr.Element())
					}
					time.Sleep(4 * time.Second)
					for _, p := range side {
						if c, ok := p.RemoveVideo("video", nil); !ok || c.Name != "video" {
							t.Errorf("removed: %+v", c)
						}
					}
					time.Sleep(100 * time.Millisecond)
					if got, n := recorded(t, seen); !bytes.HasSuffix(got, frames) {
						t.Errorf("%d frames were recorded", n)
					}
				}
				before := a.Stats().PacketsReceived
				time.Sleep(time.Second)
				if a.Stats().PacketsReceived < before+45 || a.Stats().Videos != nil {
					t.Error("the sound does not go on alone")
				}
				hangUp()
			})
		})
	}
}

func TestVideoNegotiation(t *testing.T) {
	able := videoCapabilities(video.Codecs()[1], 1, "x", VideoName)
	if err := able.Validate(); err != nil {
		t.Fatal(err)
	}
	if able.PayloadTypes[0].Name != "H264" {
		t.Errorf("first is %s", able.PayloadTypes[0])
	}
	// Dino: one codec, and REMB.
	answer := rtp.Description{Media: "video", RTCPMux: true, PayloadTypes: []rtp.PayloadType{{
		ID: 96, Name: "VP8", Clockrate: 90000, Feedback: rtp.Feedback{Messages: []rtp.FeedbackMessage{
			{Type: "goog-remb"}, {Type: "ccm", Subtype: "fir"}, {Type: "nack"}, {Type: "nack", Subtype: "pli"},
		}},
	}}}
	d, err := rtp.Complete(able.Offer(), answer, able)
	if err != nil {
		t.Fatal(err)
	}
	a := agreeVideo(d)
	if a.send.Name != "VP8" || !a.nack || !a.pli || !a.fir || !a.remb || a.ccID != 0 {
		t.Errorf("agreed: %+v", a)
	}
	full, err := rtp.Answer(able.Offer(), able)
	if err != nil {
		t.Fatal(err)
	}
	a = agreeVideo(full)
	if len(a.order) != 4 || a.ccID != 3 || !slices.Contains(a.order, 45) {
		t.Errorf("agreed: %+v", a)
	}
}
