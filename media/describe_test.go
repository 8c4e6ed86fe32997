package media

import (
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/video"
)

// info has a party take a description-info, as the session's goroutine does.
func (p *party) info(name string, d rtp.Description) {
	p.signal.Lock()
	defer p.signal.Unlock()
	p.Describe(jingle.Content{Creator: jingle.Initiator, Name: name, Description: d})
}

// What the peer says that it takes is kept to: by the encoder of the sound, and by the camera.
func TestDescriptionInfoIsFollowed(t *testing.T) {
	inFakeTime(t, func(t *testing.T, w *wide) {
		a := newParty(t, w, jingle.Initiator, func(c *Config) { c.Codecs = []*audio.Codec{audio.Opus()} })
		b := newParty(t, w, jingle.Responder, nil)
		a.SetAudio(open(t, "tone:440"), nil)
		camera := newElastic()
		a.SetVideo(Video{Source: camera})
		b.SetVideo(Video{})
		hangUp := dial(t, a, b)
		await[Heard](t, b, "sound", nil)
		await[VideoSeen](t, b, "video", nil)
		time.Sleep(3 * time.Second)
		rate := func() uint64 {
			before := a.Stats().BytesSent
			time.Sleep(4 * time.Second)
			return (a.Stats().BytesSent - before) * 8 / 4
		}
		before := rate()
		a.info("audio", rtp.Description{Media: "audio", PayloadTypes: []rtp.PayloadType{{
			ID: 111, Name: "opus", Clockrate: 48000, Channels: 2, Parameters: rtp.Parameters{{Name: "maxaveragebitrate", Value: "8000"}},
		}}})
		if after := rate(); after > before*2/3 || after > 12_000 {
			t.Errorf("the sound has %d bit/s after %d", after, before)
		}
		a.info("video", rtp.Description{Media: "video", Bandwidths: []rtp.Bandwidth{{Type: "AS", Value: 200}, {Type: "X", Value: 1}}})
		if got := camera.told.Load(); got != 200_000 {
			t.Errorf("the camera is told %d bit/s", got)
		}
		time.Sleep(5 * time.Second)
		if got := camera.told.Load(); got != 200_000 {
			t.Errorf("later the camera is told %d bit/s", got)
		}
		a.info("video", rtp.Description{Media: "video", Bandwidths: []rtp.Bandwidth{{Type: "TIAS", Value: 1 << 63}}})
		time.Sleep(time.Second)
		if got := camera.told.Load(); got <= 200_000 {
			t.Errorf("the camera is told %d bit/s when all is taken again", got)
		}
		for _, nonsense := range []rtp.Description{{Media: "data"}, {Media: "video", SSRC: 5}, {}} {
			a.info("video", nonsense)
			a.info("audio", nonsense)
			a.info("else", nonsense)
		}
		before = a.Stats().PacketsSent
		time.Sleep(time.Second)
		if n := a.Stats().PacketsSent - before; n < 45 {
			t.Errorf("%d packets of sound in a second", n)
		}
		hangUp()
	})
}

// A peer without REMB is told by description-info what a viewer takes, and no more often than it matters.
func TestViewerIsDescribed(t *testing.T) {
	var told []jingle.Content
	s := newVideoStream(nil, "x", func(Event) {})
	s.cc = newCounter()
	c := &Call{cfg: Config{Notify: func(e Event) { told = append(told, e.(Described).Content) }}}
	p := &part{name: "video", stream: s}
	s.described = func(bps int) { c.describeBandwidth(p, bps) }
	s.agree(videoAgreement{codecs: map[uint8]*video.Codec{}}, nil, true)
	for _, bps := range []int{500_000, 510_000, 450_000, 300_000, 0, 1_000} {
		s.limit(bps)
	}
	var got []uint64
	for _, content := range told {
		got = append(got, content.Description.(rtp.Description).Bandwidths[0].Value)
	}
	if !slices.Equal(got, []uint64{500, 300, 100}) {
		t.Errorf("told %v kbit/s", got)
	}
	s.agree(videoAgreement{remb: true}, nil, true)
	if s.limit(2_000_000); len(told) != 3 {
		t.Error("a peer with REMB is told by description-info, too")
	}
}

// What a peer describes is a bound, and not more: who loses packets, and tells no estimate, is sent less, for as long as it does.
func TestLossesCountBelowWhatIsDescribed(t *testing.T) {
	s := newVideoStream(nil, "x", func(Event) {})
	s.cc = newCounter()
	camera := newElastic()
	s.equip(Video{Source: camera})
	s.describe(nil, 2_000_000)
	if got := camera.told.Load(); got != 2_000_000 {
		t.Errorf("at first the camera is told %d bit/s", got)
	}
	for range 3 {
		s.receiveRTCP([]rtcp.Packet{&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: s.ssrc, FractionLost: 128}}}}, time.Now())
	}
	lossy := camera.told.Load()
	if lossy > 500_000 {
		t.Errorf("with half of it lost the camera is told %d bit/s", lossy)
	}
	s.describe(nil, 3_000_000)
	if got := camera.told.Load(); got != lossy {
		t.Errorf("what is described anew makes %d bit/s of %d", got, lossy)
	}
	s.describe(nil, 150_000)
	if got := camera.told.Load(); got != 150_000 {
		t.Errorf("what is described is less, and the camera is told %d bit/s", got)
	}
}

// What a peer has told of its sources, and tells anew, says which video a packet belongs to.
func TestSourcesTellVideosApart(t *testing.T) {
	c := &Call{}
	vp8 := video.Codecs()[0]
	add := func(name string, own bool, sources ...uint32) *part {
		p := &part{name: name, own: own, stream: newVideoStream(nil, "x", func(Event) {})}
		p.stream.cc = newCounter()
		p.stream.agree(videoAgreement{codecs: map[uint8]*video.Codec{96: vp8}}, sources, true)
		c.enter(p)
		return p
	}
	camera, slides, silent, apart := add("camera", false, 1), add("slides", false, 2), add("silent", false), add("apart", true, 9)
	for _, x := range []struct {
		pt   uint8
		ssrc uint32
		want *part
	}{{96, 1, camera}, {96, 2, slides}, {96, 3, silent}, {111, 1, nil}, {96, 9, silent}} {
		if got := c.videoFor(x.pt, x.ssrc); got != x.want {
			t.Errorf("type %d of %d goes to %+v", x.pt, x.ssrc, got)
		}
	}
	if n := len(sourcesIn(rtp.Description{SSRC: 1, Sources: make([]rtp.Source, 10_000)})); n > 2*maxSources {
		t.Errorf("%d sources of one content are looked through for each packet", n)
	}
	slides.stream.describe([]uint32{7}, 0)
	silent.stream.describe([]uint32{2}, 0)
	if c.videoFor(96, 7) != slides || c.videoFor(96, 2) != silent || c.videoFor(96, 33) != camera {
		t.Error("what was told anew does not count")
	}
	if c.isPast(7) {
		t.Error("what is there is past")
	}
	c.leave(slides, nil)
	if !c.isPast(7) || c.isPast(1) {
		t.Error("the source of a content that is no more is not known as such")
	}
	c.enter(slides)
	if c.isPast(7) {
		t.Error("a source that has come back is past")
	}
	if !c.leave(silent, nil) || c.leave(silent, nil) || !c.leave(apart, nil) || len(c.videos()) != 2 {
		t.Errorf("left: %d", len(c.videos()))
	}
}
