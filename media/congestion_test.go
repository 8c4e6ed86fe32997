package media

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/transport/v4/vnet"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/media/video"
)

// elastic is a camera that makes as many bits as it is told to.
type elastic struct {
	told  atomic.Int64
	least atomic.Int64
	n     uint32
	left  int
}

func newElastic() *elastic {
	e := &elastic{}
	e.told.Store(500_000)
	return e
}

func (e *elastic) Bitrate(bps int)     { e.told.Store(int64(bps)) }
func (e *elastic) KeyFrame()           {}
func (e *elastic) Close() error        { return nil }
func (e *elastic) Codec() *video.Codec { return video.Codecs()[0] }

// Read implements [video.Source]: a frame each 40 ms, in packets of 1000 bytes at most.
func (e *elastic) Read(ctx context.Context) (video.Packet, error) {
	if e.left == 0 {
		select {
		case <-time.After(40 * time.Millisecond):
		case <-ctx.Done():
			return video.Packet{}, io.EOF
		}
		e.n++
		e.left = int(e.told.Load()) / 25 / 8
	}
	size := min(e.left, 1000)
	e.left -= size
	return video.Packet{Payload: append([]byte{0x10}, make([]byte, size)...), Timestamp: e.n * 3600, Marker: e.left == 0}, nil
}

// throttle is a link that takes so many bits a second each way, and a tenth of a second's worth at once; the rest is lost.
type throttle struct {
	bps  atomic.Int64
	mu   sync.Mutex
	ways map[string]*way // by who sends
}

type way struct {
	room float64
	last time.Time
}

func (l *throttle) drop(_ int64, c vnet.Chunk) bool {
	bps := float64(l.bps.Load())
	if bps == 0 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	from, now := c.SourceAddr().String(), time.Now()
	if l.ways == nil {
		l.ways = make(map[string]*way)
	}
	if l.ways[from] == nil {
		l.ways[from] = &way{last: now}
	}
	w := l.ways[from]
	w.room = min(w.room+now.Sub(w.last).Seconds()*bps, bps/10)
	w.last = now
	if bits := float64(len(c.UserData())) * 8; bits <= w.room {
		w.room -= bits
		return false
	}
	return true
}

// What the path takes reaches the cameras of both sides, by what either side has counted: a throttled link makes them send less,
// and an open one more again.
func TestCamerasFollowThePath(t *testing.T) {
	var link throttle
	inFakeTimeOver(t, link.drop, func(t *testing.T, w *wide) {
		a, b := newParty(t, w, jingle.Initiator, cheap(true)), newParty(t, w, jingle.Responder, cheap(false))
		cameras := []*elastic{newElastic(), newElastic()}
		a.SetVideo(Video{Source: cameras[0]})
		b.SetVideo(Video{Source: cameras[1]})
		hangUp := dial(t, a, b)
		await[VideoSeen](t, a, "video", nil)
		await[VideoSeen](t, b, "video", nil)
		time.Sleep(20 * time.Second)
		for i, c := range cameras {
			if got := c.told.Load(); got < 1_500_000 {
				t.Errorf("camera %d, on an open path, is told %d bit/s", i, got)
			}
		}
		link.bps.Store(700_000)
		time.Sleep(15 * time.Second)
		for i, c := range cameras {
			if got := c.told.Load(); got > 850_000 || got < 200_000 {
				t.Errorf("camera %d, on a throttled path, is told %d bit/s", i, got)
			}
			c.least.Store(c.told.Load())
		}
		if st := a.Stats(); len(st.Videos) != 1 || st.Videos[0].Bitrate != int(cameras[0].told.Load()) {
			t.Errorf("figures: %+v", st.Videos)
		}
		link.bps.Store(0)
		time.Sleep(20 * time.Second)
		for i, c := range cameras {
			if got, least := c.told.Load(), c.least.Load(); got < least*3/2 {
				t.Errorf("camera %d, on an open path again, is told %d bit/s, after %d", i, got, least)
			}
		}
		hangUp()
	})
}

// Two cameras on one path share it.
func TestCamerasShareThePath(t *testing.T) {
	var link throttle
	link.bps.Store(1_600_000)
	inFakeTimeOver(t, link.drop, func(t *testing.T, w *wide) {
		several := func(c *Config) {
			cheap(true)(c)
			c.SeveralVideos = true
		}
		a, b := newParty(t, w, jingle.Initiator, several), newParty(t, w, jingle.Responder, cheap(false))
		camera, screen := newElastic(), newElastic()
		a.SetVideo(Video{Source: camera}, Video{Category: "slides", Source: screen})
		hangUp := dial(t, a, b)
		await(t, b, "the screen", func(e VideoSeen) bool { return e.Content == "slides" })
		time.Sleep(20 * time.Second)
		one, other := camera.told.Load(), screen.told.Load()
		if one+other > 2_000_000 || one+other < 500_000 || max(one, other) > 2*min(one, other) {
			t.Errorf("they are told %d and %d bit/s", one, other)
		}
		hangUp()
	})
}
