package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	rtpdesc "github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media/dtlssrtp"
	"github.com/jingled/jingled/media/rtpstat"
	"github.com/jingled/jingled/media/video"
)

const (
	// videoHistory is how many packets can be sent again; a power of two.
	videoHistory = 1024
	// maxResent bounds how many are in a second, and so what a peer can ask for.
	maxResent = 500
	// videoTick is the clock of feedback.
	videoTick = 20 * time.Millisecond
	// keyFrameEvery is how often a key frame is asked for, or the source is.
	keyFrameEvery = 500 * time.Millisecond
	// keyFrameTries is how often one is asked for that does not come: the question may be lost, and the answer.
	keyFrameTries = 8
	// nackAfter is how long a packet may be late, nackEvery how long what was asked for may take at least, and
	// nackFor when a key frame is asked for instead.
	nackAfter = 10 * time.Millisecond
	nackEvery = 60 * time.Millisecond
	nackFor   = time.Second
	maxNacks  = 256
	// maxOld is how far behind the newest a packet may be; what is more has begun again.
	maxOld = 1000
	// maxBitrate is what we tell that we can take; nothing is decoded here.
	maxBitrate, minBitrate = 4_000_000, 100_000
)

// videoStream is one video medium on a group. Packets come in by receive and receiveRTCP; run sends and gives feedback.
type videoStream struct {
	name       string // of the content
	categories []rtpdesc.Category
	out        writer
	cc         *counter // of the transport
	ssrc       uint32
	cname      string
	notify     func(Event)
	origin     time.Time
	begin      chan struct{} // closed once it is agreed; nothing of the source is lost before
	fresh      chan struct{} // there are a source and a sink that run does not know

	mu        sync.Mutex // guards the rest
	begun     bool
	closed    bool
	agreed    videoAgreement
	sources   []uint32 // that the peer has told
	canSend   bool
	held      bool
	source    video.Source
	sink      video.Sink
	err       error
	seq       uint16
	history   []sentPacket
	resent    int
	sent      sendStats
	keyed     time.Duration // when the source was asked for a key frame
	in        *videoIn
	rtt       time.Duration
	theyLost  uint64
	estimate  int // of the peer, bit/s
	guess     int // by what it has lost, if neither it nor the path tells an estimate
	bandwidth int // that the peer has described, or 0
	limited   int // what the source was told last
	// described, if set, tells the peer how much a viewer takes, if it has changed since it was told last.
	described func(bps int)
	toldLimit int
	viewer    int // what the sink's viewer can take, bit/s, or 0
}

type sentPacket struct {
	header  rtp.Header
	payload []byte
}

// videoIn is what comes from one source of the peer.
type videoIn struct {
	ssrc    uint32
	stats   *rtpstat.Receiver
	highest uint16
	missing map[uint16]*missing
	wantKey int           // how often a key frame is asked for yet, unless one begins
	asked   time.Duration // for a key frame
	codec   *video.Codec
	begins  func(payload []byte) bool // a key frame of the codec
	fir     uint8
	bitrate int // that we tell
	bytes   uint64
	lost    uint64
	packets uint64
}

type missing struct{ since, asked time.Duration }

func newVideoStream(out writer, cname string, notify func(Event)) *videoStream {
	return &videoStream{
		out: out, cname: cname, notify: notify, origin: time.Now(), begin: make(chan struct{}), fresh: make(chan struct{}, 1),
		ssrc: rand.Uint32() | 1, seq: uint16(rand.Uint32()),
	}
}

// equip gives the stream its source and its sink, once.
func (s *videoStream) equip(v Video) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		s.err = errors.Join(s.err, v.Close())
		return
	}
	s.source, s.sink = v.Source, v.Sink
	if s.in != nil {
		s.in.wantKey = keyFrameTries
	}
	if s.begun {
		s.chooseCodec()
		s.fresh <- struct{}{}
	}
}

// unequip takes both away again before anything was agreed.
func (s *videoStream) unequip() Video {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := Video{Source: s.source, Sink: s.sink}
	s.source, s.sink = nil, nil
	return v
}

func (s *videoStream) agree(a videoAgreement, sources []uint32, canSend bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.agreed, s.sources, s.canSend = a, sources, canSend
	s.cc.agree(a.ccID, s.ssrc)
	s.chooseCodec()
	if !s.begun {
		s.begun = true
		close(s.begin)
	}
}

// chooseCodec follows what the source has; s.mu is held.
func (s *videoStream) chooseCodec() {
	relay, isRelay := s.source.(video.Relay)
	switch {
	case isRelay:
		relay.Agreed(s.agreed.takes())
	case s.source != nil:
		s.agreed.send = s.source.Codec()
		s.agreed.sendPT = s.agreed.typeOf(s.agreed.send)
		if s.agreed.sendPT == 0 {
			s.agreed.send = nil
		}
	}
}

// match reports whether packets of this type are the stream's, whether the SSRC is one of its peer's, and whether none is
// known of those.
func (s *videoStream) match(pt uint8, ssrc uint32) (takes, known, silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known = s.in != nil && s.in.ssrc == ssrc || slices.Contains(s.sources, ssrc)
	return s.agreed.codecs[pt] != nil, known, s.in == nil && len(s.sources) == 0
}

// theirSources returns the SSRCs of the peer.
func (s *videoStream) theirSources() []uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.sources)
	if s.in != nil && !slices.Contains(out, s.in.ssrc) {
		out = append(out, s.in.ssrc)
	}
	return out
}

func (s *videoStream) receive(h *rtp.Header, payload []byte, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.agreed.codecs[h.PayloadType]
	if c == nil {
		return
	}
	now := at.Sub(s.origin)
	in := s.in
	if in == nil || in.ssrc != h.SSRC {
		// A recording begins with a key frame, so one is asked for.
		in = &videoIn{
			ssrc: h.SSRC, stats: rtpstat.NewReceiver(video.ClockRate), highest: h.SequenceNumber - 1, wantKey: keyFrameTries,
			asked: -keyFrameEvery, missing: make(map[uint16]*missing), bitrate: maxBitrate / 2,
		}
		first := s.in == nil
		s.in = in
		if first {
			defer s.notify(VideoSeen{Content: s.name, Categories: s.categories, Codec: c.Name, At: at})
		}
	}
	in.stats.Packet(h.SequenceNumber, h.Timestamp, len(payload), true, now)
	in.packets++
	in.bytes += uint64(len(payload))
	if in.codec != c {
		in.codec, in.begins = c, c.KeyFrames()
	}
	gap := h.SequenceNumber - in.highest
	switch {
	case gap == 0 || gap > 0xffff-maxOld:
		delete(in.missing, h.SequenceNumber)
	case gap > maxNacks:
		clear(in.missing)
		in.highest, in.wantKey = h.SequenceNumber, keyFrameTries
	default:
		for seq := in.highest + 1; seq != h.SequenceNumber; seq++ {
			if len(in.missing) < maxNacks {
				in.missing[seq] = &missing{since: now, asked: -nackFor}
			}
		}
		in.highest = h.SequenceNumber
	}
	if s.sink == nil {
		return
	}
	if in.wantKey > 0 && in.begins(payload) {
		in.wantKey = 0
	}
	p := video.Packet{Payload: payload, Timestamp: h.Timestamp, Marker: h.Marker, Source: h.SSRC}
	if err := s.sink.Write(c, h.SequenceNumber, p); err != nil {
		err = errors.Join(err, s.sink.Close())
		s.sink, s.err = nil, errors.Join(s.err, err)
		defer s.notify(SinkFailed{err})
	}
}

// run sends and gives feedback until ctx ends. The group is ready then.
func (s *videoStream) run(ctx context.Context) error {
	select {
	case <-s.begin:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	disconnect := s.connect(ctx, &wg)
	defer func() { disconnect() }()
	defer func() { _ = s.out.WriteRTCP(&rtcp.Goodbye{Sources: []uint32{s.ssrc}}) }()
	tick := time.NewTicker(videoTick)
	defer tick.Stop()
	var reported, secondly time.Duration
	reported = firstReport - reportInterval/2
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-s.fresh:
			disconnect = s.connect(ctx, &wg)
			continue
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		s.mu.Lock()
		now := time.Since(s.origin)
		out := s.feedback(now)
		out = append(out, s.cc.report()...)
		if n%5 == 0 {
			s.adapt()
		}
		if now-secondly >= time.Second {
			secondly, s.resent = now, 0
			out = append(out, s.remb()...)
		}
		if now-reported >= reportInterval/2 {
			reported = now
			out = append(s.report(now), out...)
		} else if len(out) > 0 {
			// RFC 3550 section 6.1: a report comes first.
			out = append([]rtcp.Packet{&rtcp.ReceiverReport{SSRC: s.ssrc}}, out...)
		}
		s.mu.Unlock()
		if len(out) > 0 {
			_ = s.out.WriteRTCP(out...)
		}
	}
}

// hold stops sending, or goes on. What the peer sends then may refer to what it did not.
func (s *videoStream) hold(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held && !on && s.in != nil {
		s.in.wantKey = keyFrameTries
	}
	s.held = on
}

// connect has what the source gives played, and the viewer, if there is one, tell its wishes until it is disconnected.
func (s *videoStream) connect(ctx context.Context, playing *sync.WaitGroup) (disconnect func()) {
	s.mu.Lock()
	select {
	case <-s.fresh: // what came before run did
	default:
	}
	source := s.source
	viewer, isViewer := s.sink.(video.Viewer)
	s.mu.Unlock()
	if _, ok := source.(video.Relay); ok {
		source.KeyFrame() // what it has given up to now has gone nowhere
	}
	if source != nil {
		playing.Go(func() { s.play(ctx, source) })
	}
	if !isViewer {
		return func() {}
	}
	viewer.Connect(s.wantKeyFrame, s.limit)
	return func() { viewer.Connect(nil, nil) }
}

// wantKeyFrame and limit are the wishes of a viewer.
func (s *videoStream) wantKeyFrame() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in != nil {
		s.in.wantKey = keyFrameTries
	}
}

func (s *videoStream) limit(bps int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.viewer = bps
	// Small changes are not worth a stanza.
	if s.described != nil && s.begun && !s.agreed.remb && bps > 0 && (bps < s.toldLimit*3/4 || bps > s.toldLimit*4/3) {
		s.toldLimit = bps
		s.described(bps)
	}
}

// play sends what the source gives.
func (s *videoStream) play(ctx context.Context, source video.Source) {
	offset, silent := rand.Uint32(), false
	for {
		p, err := source.Read(ctx)
		if err != nil {
			if ctx.Err() == nil {
				if errors.Is(err, io.EOF) {
					err = nil
				}
				s.notify(VideoSourceEnded{s.name, err})
			}
			return
		}
		s.mu.Lock()
		s.seq += p.Lost + 1
		a := s.agreed
		if p.Codec != nil {
			a.send, a.sendPT = p.Codec, a.typeOf(p.Codec)
		}
		quiet := !s.canSend || s.held || a.sendPT == 0
		h := rtp.Header{
			Version: 2, PayloadType: a.sendPT, Marker: p.Marker, SequenceNumber: s.seq, Timestamp: p.Timestamp + offset, SSRC: s.ssrc,
		}
		if quiet {
			s.seq -= p.Lost + 1
			silent = s.sent.packets > 0
			s.mu.Unlock()
			continue
		}
		if silent { // what comes now refers to what was not sent
			silent = false
			source.KeyFrame()
		}
		if s.history == nil {
			s.history = make([]sentPacket, videoHistory)
		}
		s.history[s.seq%videoHistory] = sentPacket{h, append([]byte(nil), p.Payload...)}
		s.sent.packets++
		s.sent.bytes += uint64(len(p.Payload))
		s.sent.timestamp, s.sent.at = h.Timestamp, time.Since(s.origin)
		s.mu.Unlock()
		s.cc.number(a.ccID, &h, len(p.Payload))
		if err := s.out.WriteRTP(&h, p.Payload); errors.Is(err, dtlssrtp.ErrNotReady) {
			return
		}
	}
}

func (s *videoStream) stats() VideoStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := VideoStats{
		Content: s.name, Categories: s.categories,
		PacketsSent: s.sent.packets, BytesSent: s.sent.bytes, Bitrate: s.limited, RemoteLost: s.theyLost,
	}
	if s.agreed.send != nil {
		v.Codec = s.agreed.send.Name
	}
	if s.in != nil {
		if s.sent.packets == 0 {
			v.Codec = s.in.codec.Name
		}
		v.PacketsReceived, v.BytesReceived, v.PacketsLost = s.in.stats.Received(), s.in.stats.Bytes(), s.in.stats.Lost()
	}
	return v
}

func (s *videoStream) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if s.source != nil {
		errs = append(errs, s.source.Close())
	}
	if s.sink != nil {
		errs = append(errs, s.sink.Close())
	}
	s.source, s.sink, s.closed = nil, nil, true
	s.err = errors.Join(s.err, errors.Join(errs...))
	return s.err
}

// mismatch says why nothing can be sent, or is nil.
func (s *videoStream) mismatch() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.source == nil || s.agreed.send != nil || s.source.Codec() == nil {
		return nil
	}
	return fmt.Errorf("the video to send is %s, which the peer does not take", s.source.Codec().Name)
}
