package media

import (
	"sync/atomic"
	"testing"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/media/video"
)

// wishful is a camera that keeps what it is told.
type wishful struct {
	video.Source
	bitrate atomic.Int64
}

func (w *wishful) Bitrate(bps int) { w.bitrate.Store(int64(bps)) }

// viewer is a screen on a slow line.
type viewer struct {
	bitrate func(int)
	ready   chan struct{}
}

func (v *viewer) Write(*video.Codec, uint16, video.Packet) error { return nil }
func (v *viewer) Close() error                                   { return nil }
func (v *viewer) Connect(_ func(), bitrate func(int)) {
	if bitrate != nil {
		v.bitrate = bitrate
		close(v.ready)
	}
}

// What a viewer behind one side can take reaches the camera behind the other, also where packets are counted one by one.
func TestEstimateReachesTheSource(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *wide) {
		a, b := newParty(t, w, jingle.Initiator, cheap(true)), newParty(t, w, jingle.Responder, cheap(false))
		path, _ := film(t, 200)
		file, err := video.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		camera, screen := &wishful{Source: file}, &viewer{ready: make(chan struct{})}
		a.SetVideo(Video{Source: camera})
		b.SetVideo(Video{Sink: screen})
		hangUp := dial(t, a, b)
		await[VideoSeen](t, b, "video", nil)
		<-screen.ready
		screen.bitrate(321_000)
		await[VideoSourceEnded](t, a, "the end", nil)
		if got := camera.bitrate.Load(); got < 315_000 || got > 327_000 {
			t.Errorf("the camera is told %d bit/s", got)
		}
		if st := a.Stats(); len(st.Videos) != 1 || st.Videos[0].Bitrate == 0 {
			t.Errorf("figures: %+v", st.Videos)
		}
		hangUp()
	})
}
