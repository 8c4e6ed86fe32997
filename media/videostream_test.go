package media

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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

// asks keeps the key frames that are asked for, and when.
type asks struct {
	nowhere
	began time.Time
	at    []time.Duration
}

// WriteRTCP implements [writer].
func (a *asks) WriteRTCP(ps ...rtcp.Packet) error {
	for _, p := range ps {
		if _, ok := p.(*rtcp.PictureLossIndication); ok {
			a.at = append(a.at, time.Since(a.began).Round(videoTick))
		}
	}
	return nil
}

// blind is a sink that keeps nothing.
type blind struct{}

func (blind) Write(*video.Codec, uint16, video.Packet) error { return nil }
func (blind) Close() error                                   { return nil }

// A key frame is asked for until one comes, as the question may be lost and the answer, but not for ever.
func TestKeyFrameIsAskedForAgain(t *testing.T) {
	const never = -1
	ms := func(n ...int) (out []time.Duration) {
		for _, n := range n {
			out = append(out, time.Duration(n)*time.Millisecond)
		}
		return out
	}
	for _, c := range []struct {
		what string
		key  int // which packet is one; they come each 40 ms
		leap int // how far the numbers are from those before, from the 50th packet on
		want []time.Duration
	}{
		{"it begins with one", 0, 0, nil},
		{"it comes soon", 3, 0, ms(20)},
		{"the second question is answered", 15, 0, ms(20, 520)},
		{"it never comes", never, 0, ms(20, 520, 1020, 1520, 2020, 2520, 3020, 3520)},
		{"much is lost", 0, 20000, ms(2020, 2520, 3020, 3520, 4020, 4520, 5020, 5520)},
		{"the numbers begin again", 0, -20000, ms(2020, 2520, 3020, 3520, 4020, 4520, 5020, 5520)},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := &asks{began: time.Now()}
				s := newVideoStream(out, "x", func(Event) {})
				s.cc = newCounter()
				vp8 := video.Codecs()[0]
				s.agree(videoAgreement{codecs: map[uint8]*video.Codec{96: vp8}, pli: true}, nil, true)
				s.equip(Video{Sink: blind{}})
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- s.run(ctx) }()
				time.Sleep(10 * time.Millisecond)
				for i := range 200 {
					seq, frame := uint16(i), byte(1)
					if i >= 50 {
						seq += uint16(c.leap)
					}
					if i == c.key {
						frame = 0
					}
					s.receive(&rtp.Header{SequenceNumber: seq, PayloadType: 96, SSRC: 7, Timestamp: uint32(i) * 3600}, []byte{0x10, frame}, time.Now())
					time.Sleep(40 * time.Millisecond)
				}
				cancel()
				<-ended
				if !slices.Equal(out.at, c.want) {
					t.Errorf("asked for at %v, and not at %v", out.at, c.want)
				}
			})
		})
	}
}

// What a video is encoded by is told of what is sent, and of what comes where that is all there is.
func TestStatsNameTheCodec(t *testing.T) {
	vp8, h264 := video.Codecs()[0], video.Codecs()[1]
	s := newVideoStream(nowhere{}, "x", func(Event) {})
	s.cc = newCounter()
	s.agree(videoAgreement{codecs: map[uint8]*video.Codec{96: vp8, 102: h264}, send: h264, sendPT: 102}, nil, true)
	if got := s.stats().Codec; got != "H264" {
		t.Errorf("before anything: %s", got)
	}
	s.receive(&rtp.Header{PayloadType: 96, SSRC: 7}, []byte{0x10, 0}, time.Now())
	if got := s.stats().Codec; got != "VP8" {
		t.Errorf("VP8 comes: %s", got)
	}
	s.sent.packets++
	if got := s.stats().Codec; got != "H264" {
		t.Errorf("H264 is sent: %s", got)
	}
}

// asked is a camera that counts the key frames that it is asked for.
type asked struct {
	*elastic
	n atomic.Int32
}

// KeyFrame implements [video.Source].
func (a *asked) KeyFrame() { a.n.Add(1) }

// What comes after a pause refers to what was not sent in it, so that it has to begin with a key frame, either way.
func TestKeyFrameAfterHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &asks{began: time.Now()}
		s := newVideoStream(out, "x", func(Event) {})
		s.cc = newCounter()
		vp8 := video.Codecs()[0]
		s.held = true
		s.agree(videoAgreement{codecs: map[uint8]*video.Codec{96: vp8}, order: []uint8{96}, pli: true}, nil, true)
		camera := &asked{elastic: newElastic()}
		s.equip(Video{Source: camera, Sink: blind{}})
		seq := uint16(0)
		keyFrame := func() {
			seq++
			s.receive(&rtp.Header{PayloadType: 96, SSRC: 7, SequenceNumber: seq}, []byte{0x10, 0}, time.Now())
		}
		keyFrame()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.run(ctx) }()
		for i, want := range []int32{0, 0, 0, 1, 1, 2} { // held in turn, and nothing was sent before the first time
			s.hold(i%2 == 0)
			time.Sleep(time.Second)
			synctest.Wait()
			if got := camera.n.Load(); got != want {
				t.Errorf("step %d: the camera is asked for %d key frames, and not for %d", i, got, want)
			}
			if got := len(out.at) > 0; got != (i%2 == 1) {
				t.Errorf("step %d: the peer is asked at %v", i, out.at)
			}
			out.at = nil
			keyFrame()
			keyFrame()
		}
		cancel()
		<-ended
		if s.sent.packets == 0 {
			t.Error("nothing was sent")
		}
	})
}
