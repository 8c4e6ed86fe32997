package media

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/jingled/jingled/media/video"
)

// nowhere is where packets go that nobody looks at.
type nowhere struct{}

func (nowhere) WriteRTP(*rtp.Header, []byte) error { return nil }
func (nowhere) WriteRTCP(...rtcp.Packet) error     { return nil }

// still is a camera that shows nothing, and counts who looks.
type still struct {
	*elastic
	readers atomic.Int32
	closed  bool
}

// Close implements [video.Source].
func (s *still) Close() error {
	s.closed = true
	return nil
}

// Read implements [video.Source].
func (s *still) Read(ctx context.Context) (video.Packet, error) {
	s.readers.Add(1)
	defer s.readers.Add(-1)
	<-ctx.Done()
	return video.Packet{}, context.Cause(ctx)
}

// A source that joins a content which has been agreed on is read once, whether packets can be sent already or not yet.
func TestSourceThatJoinsIsReadOnce(t *testing.T) {
	for name, early := range map[string]bool{"before packets can be sent": true, "while they are": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newVideoStream(nowhere{}, "x", func(Event) {})
				s.cc = newCounter()
				s.agree(videoAgreement{}, nil, true)
				camera := &still{elastic: newElastic()}
				if early {
					s.equip(Video{Source: camera})
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- s.run(ctx) }()
				synctest.Wait()
				if !early {
					s.equip(Video{Source: camera})
					synctest.Wait()
				}
				if n := camera.readers.Load(); n != 1 {
					t.Errorf("%d read it", n)
				}
				cancel()
				<-ended
				if n := camera.readers.Load(); n != 0 {
					t.Errorf("%d read it at the end", n)
				}
			})
		})
	}
}

// What a stream gets that has ended meanwhile is closed, as all that it has.
func TestSourceOfWhatHasEndedIsClosed(t *testing.T) {
	for name, late := range map[string]bool{"before": false, "after": true} {
		s := newVideoStream(nowhere{}, "x", func(Event) {})
		camera := &still{elastic: newElastic()}
		if late {
			_ = s.close()
		}
		if s.equip(Video{Source: camera}); camera.closed != late {
			t.Errorf("%s the end: closed %v", name, camera.closed)
		}
		if err := s.close(); err != nil || !camera.closed {
			t.Errorf("%s the end: closed %v in the end, %v", name, camera.closed, err)
		}
	}
}
