package call_test

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/call"
	"github.com/jingled/jingled/media/video"
	"github.com/jingled/jingled/media/video/videotest"
)

// screen is one Video of a test: its pictures are frames of one byte, and what is seen is recorded.
type screen struct {
	call.Video
	seen string
}

func newScreen(t *testing.T, category rtp.Category, shows byte) screen {
	t.Helper()
	source, err := video.Open(videotest.Write(t, videotest.Frames(shows, 100, 1000)))
	if err != nil {
		t.Fatal(err)
	}
	seen := filepath.Join(t.TempDir(), "seen.ivf")
	sink, err := video.OpenSink(seen)
	if err != nil {
		t.Fatal(err)
	}
	return screen{call.Video{Category: category, Source: source, Sink: sink}, seen}
}

// shows checks that a recording has some seconds of one byte and nothing else.
func (s screen) shows(t *testing.T, what byte) {
	t.Helper()
	videotest.Shows(t, s.seen, what, 100, 20)
}

// seeing waits for the pictures of a category.
func seeing(c rtp.Category) func(call.Media) bool {
	return func(m call.Media) bool {
		e, ok := m.Event.(media.VideoSeen)
		return ok && media.VideoContent{Categories: e.Categories}.Is(c)
	}
}

// over waits for the end of a content.
func over(name string) func(call.Media) bool {
	return func(m call.Media) bool { e, ok := m.Event.(media.VideoEnded); return ok && e.Content == name }
}

func names(c *call.Call) (out []string) {
	for _, v := range c.Videos() {
		out = append(out, v.Name)
	}
	return out
}

// TestCameraAndSlides has both sides show a camera and a screen at once, each recorded by the other into a file of its own; and
// the screens come and go while the cameras go on.
func TestCameraAndSlides(t *testing.T) {
	for name, places := range map[string]call.Places{"all in the offer": call.Several, "one after the other": call.OneAtFirst} {
		for _, bundle := range []bool{true, false} {
			t.Run(name+map[bool]string{true: ", bundled", false: ", a transport for each"}[bundle], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					camA, camB := newScreen(t, "speaker", 10), newScreen(t, "", 20)
					slidesA, slidesB := newScreen(t, "slides", 30), newScreen(t, "slides", 40)
					sc := ring(t, func(c *call.Config) {
						c.Bundle, c.Codecs, c.Places = bundle, []*audio.Codec{audio.PCMU()}, places
						c.Videos = []call.Video{camA.Video, slidesA.Video}
					}, nil, nil)
					in := <-sc.phone
					in.AnswerWith(nil, nil, slidesB.Video, camB.Video) // the order does not count
					for _, u := range []*user{sc.romeo, sc.juliet} {
						awaitThat(u, seeing("speaker"))
						awaitThat(u, seeing("slides"))
					}
					if got := names(sc.out); !slices.Equal(got, []string{"video", "slides"}) {
						t.Errorf("contents: %q", got)
					}
					// Who is first adds the content for both.
					if (sc.sent("romeo content-add") || sc.sent("juliet content-add")) != (places != call.Several) {
						t.Errorf("sent: %q", sc.log)
					}
					time.Sleep(3 * time.Second)
					if st := in.Stats().Videos; len(st) != 2 || st[1].Content != "slides" || st[1].PacketsReceived < 50 || st[0].PacketsReceived < 50 {
						t.Errorf("figures: %+v", st)
					}
					in.RemoveVideo("slides")
					awaitThat(sc.romeo, over("slides"))
					before := sc.out.Stats().Videos[0].PacketsReceived
					time.Sleep(time.Second)
					if st := sc.out.Stats(); len(st.Videos) != 1 || st.Videos[0].PacketsReceived < before+20 {
						t.Errorf("without slides: %+v", st.Videos)
					}
					slidesB.shows(t, 30)
					slidesA.shows(t, 40)
					// And again, from the other side, for who wants no more than to see them.
					sc.romeo.forget()
					again := newScreen(t, "slides", 50)
					in.AddVideo(again.Video)
					awaitThat(sc.romeo, seeing("slides"))
					sc.out.RemoveVideo("slides")
					awaitThat(sc.juliet, over("slides"))
					sc.out.HangUp(nil)
					await[call.Ended](sc.romeo)
					await[call.Ended](sc.juliet)
					camB.shows(t, 10)
					camA.shows(t, 20)
				})
			})
		}
	}
}

// TestAddingVideoAtOnce has both sides add video in the same moment: one content has both.
func TestAddingVideoAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newScreen(t, "", 10), newScreen(t, "", 20)
		wanted := func(c *call.Config) {
			c.Bundle, c.Codecs = true, []*audio.Codec{audio.PCMU()}
			c.VideoAdded = func([]rtp.Category) (*call.Video, bool) { return nil, false }
		}
		sc := ring(t, wanted, wanted, nil)
		in := sc.answer(t)
		await[call.Connected](sc.romeo)
		await[call.Connected](sc.juliet)
		sc.out.AddVideo(a.Video)
		in.AddVideo(b.Video)
		awaitThat(sc.romeo, seen)
		awaitThat(sc.juliet, seen)
		time.Sleep(2 * time.Second)
		if o, i := names(sc.out), names(in); len(o) != 1 || len(i) != 1 {
			t.Errorf("contents: %q and %q", o, i)
		}
		sc.out.HangUp(nil)
		await[call.Ended](sc.romeo)
		await[call.Ended](sc.juliet)
		a.shows(t, 20)
		b.shows(t, 10)
	})
}

// TestOneVideoOnly is about clients that have a place for one: we add no other, or hear that it is refused, and the rest goes on.
func TestOneVideoOnly(t *testing.T) {
	for name, places := range map[string]call.Places{"known": call.One, "refused": call.OneAtFirst} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cam, slides := newScreen(t, "", 10), newScreen(t, "slides", 30)
				sc := ring(t, func(c *call.Config) {
					c.Bundle, c.Codecs, c.Places = true, []*audio.Codec{audio.PCMU()}, places
					c.Videos = []call.Video{cam.Video}
				}, func(c *call.Config) {
					c.VideoAdded = func([]rtp.Category) (*call.Video, bool) { return nil, true }
				}, nil)
				in := <-sc.phone
				in.AnswerWith(nil, nil, call.Video{Source: film(t)})
				await[call.Connected](sc.romeo)
				sc.out.AddVideo(slides.Video)
				e := awaitThat(sc.romeo, ended).Event.(media.VideoEnded)
				if e.Err == nil || !(media.VideoContent{Categories: e.Categories}).Is("slides") {
					t.Errorf("told: %+v", e)
				}
				if sc.sent("romeo content-add") != (places != call.One) || sc.sent("juliet content-reject") != (places != call.One) {
					t.Errorf("sent: %q", sc.log)
				}
				if got := names(sc.out); !slices.Equal(got, []string{"video"}) {
					t.Errorf("contents: %q", got)
				}
				in.HangUp(nil)
				await[call.Ended](sc.romeo)
			})
		})
	}
}

// TestJoiningTheirVideo has the answerer show itself in the content that only the caller wanted, and keep what it sees from then on.
func TestJoiningTheirVideo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newScreen(t, "", 10), newScreen(t, "", 20)
		sc := ring(t, func(c *call.Config) {
			c.Codecs, c.Videos = []*audio.Codec{audio.PCMU()}, []call.Video{a.Video}
		}, nil, nil)
		in := sc.answer(t)
		awaitThat(sc.juliet, seen)
		if v := in.Videos(); len(v) != 1 || v[0].Wanted {
			t.Fatalf("videos: %+v", v)
		}
		in.EquipVideo("video", b.Video)
		awaitThat(sc.romeo, seen)
		time.Sleep(2 * time.Second)
		if !sc.sent("juliet content-modify") || !sc.sent("juliet description-info") {
			t.Errorf("sent: %q", sc.log)
		}
		in.HangUp(nil)
		await[call.Ended](sc.romeo)
		await[call.Ended](sc.juliet)
		a.shows(t, 20)
		b.shows(t, 10)
	})
}

// TestTooManyVideos adds more than can be: what is too much is refused with a reason, on either side.
func TestTooManyVideos(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		several := func(c *call.Config) { c.Bundle, c.Codecs = true, []*audio.Codec{audio.PCMU()} }
		sc := ring(t, func(c *call.Config) {
			several(c)
			c.Videos = []call.Video{{}}
		}, several, nil)
		in := <-sc.phone
		in.AnswerWith(nil, nil, call.Video{})
		await[call.Connected](sc.juliet)
		for range 4 {
			in.AddVideo(call.Video{Category: "slides", Source: film(t)})
			time.Sleep(time.Second)
		}
		awaitThat(sc.juliet, func(m call.Media) bool {
			e, ok := m.Event.(media.VideoEnded)
			return ok && errors.Is(e.Err, media.ErrTooManyVideos) && slices.Equal(e.Categories, []rtp.Category{"slides"})
		})
		if got := names(sc.out); len(got) != 4 || sc.sent("romeo content-reject") {
			t.Errorf("contents: %q, sent: %q", got, sc.log)
		}
		in.HangUp(nil)
		await[call.Ended](sc.romeo)
	})
}
