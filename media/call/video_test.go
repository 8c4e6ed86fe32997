package call_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/media"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/call"
	"github.com/jingled/jingled/media/video"
	"github.com/jingled/jingled/media/video/videotest"
)

// film is a source of frames that only look like VP8.
func film(t *testing.T) video.Source {
	t.Helper()
	s, err := video.Open(videotest.Write(t, videotest.Frames(0, 100, 500)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func seen(m call.Media) bool  { _, ok := m.Event.(media.VideoSeen); return ok }
func ended(m call.Media) bool { _, ok := m.Event.(media.VideoEnded); return ok }

func (u *user) forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.events = nil
}

func TestVideoFromTheStartAndInBetween(t *testing.T) {
	movim := func(from jid.JID, m *jingle.Message) *jingle.Message {
		if m.Action == jingle.ContentAccept {
			out := *m
			out.Action = jingle.SessionAccept // for the whole session, as far as it knows
			return &out
		}
		return m
	}
	for name, tamper := range map[string]func(jid.JID, *jingle.Message) *jingle.Message{"by the book": nil, "as Movim answers": movim} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sc := ring(t, func(c *call.Config) {
					c.Bundle, c.Codecs, c.Videos = true, []*audio.Codec{audio.PCMU()}, []call.Video{{Source: film(t)}}
				}, nil, tamper)
				in := <-sc.phone
				in.AnswerWith(nil, nil, call.Video{Source: film(t)})
				awaitThat(sc.romeo, seen)
				awaitThat(sc.juliet, seen)
				if st := sc.out.Stats(); len(st.Videos) != 1 || st.Videos[0].Codec != "VP8" {
					t.Errorf("figures: %+v", st.Videos)
				}
				sc.out.RemoveVideo()
				awaitThat(sc.juliet, ended)
				time.Sleep(time.Second)
				sc.romeo.forget()
				sc.juliet.forget()
				in.AddVideo(call.Video{Source: film(t)})
				awaitThat(sc.romeo, seen)
				in.RemoveVideo()
				awaitThat(sc.romeo, ended)
				sc.juliet.forget()
				sc.out.AddVideo(call.Video{Source: film(t)})
				awaitThat(sc.juliet, seen)
				before := sc.out.Stats().PacketsReceived
				time.Sleep(time.Second)
				if n := sc.out.Stats().PacketsReceived - before; n < 45 {
					t.Errorf("%d packets of sound came in a second", n)
				}
				in.HangUp(nil)
				await[call.Ended](sc.romeo)
				await[call.Ended](sc.juliet)
			})
		})
	}
}

func TestAddedVideoIsRefusedUnlessWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sc := ring(t, nil, nil, nil)
		in := sc.answer(t)
		await[call.Connected](sc.romeo)
		sc.out.AddVideo(call.Video{Source: film(t)})
		awaitThat(sc.romeo, ended)
		if !sc.sent("juliet content-reject") || sc.out.Stats().Videos != nil {
			t.Errorf("sent: %q", sc.log)
		}
		in.HangUp(nil)
		await[call.Ended](sc.romeo)
	})
}
