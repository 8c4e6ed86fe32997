package media

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/dtmf"
	"github.com/jingled/jingled/media/playout"
	"github.com/jingled/jingled/media/rtpstat"
)

// writer is the part of a [Group] that a stream sends by.
type writer interface {
	WriteRTP(h *rtp.Header, payload []byte) error
	WriteRTCP(packets ...rtcp.Packet) error
}

// stream is one audio medium on a group. Packets come in by receive and receiveRTCP from the group's goroutine; run
// sends, plays and reports in time with a clock of 20 ms.
type stream struct {
	out    writer
	ssrc   uint32
	cname  string
	notify func(Event)
	origin time.Time // of the times below

	mu sync.Mutex // guards the rest
	// What was agreed; receive does nothing before.
	agreed   agreement
	canSend  bool // who may send, by the content's senders
	held     bool // the peer has put us on hold
	holding  bool // we have put the peer on hold
	muted    bool
	source   audio.Source
	sink     audio.Sink
	keys     *dtmf.Sender
	tones    *dtmf.Tones // keys in the sound, for peers without events
	inBand   bool        // they are sent and looked for
	sent     sendStats
	incoming *incoming
	rtt      time.Duration
	theyLost uint64
	pending  []Event // to be told once mu is free
	audioErr error   // of source and sink
}

type sendStats struct {
	packets, bytes uint64
	timestamp      uint32 // of the last packet, with its time
	at             time.Duration
}

// incoming is the peer's stream, as long as it keeps its SSRC.
type incoming struct {
	ssrc   uint32
	codec  *audio.Codec
	stats  *rtpstat.Receiver
	keys   map[uint8]*dtmf.Receiver
	player *playout.Player
	heard  bool
	passed bool // the sound goes to the sink as it comes

	listener listener
}

func newStream(out writer, cname string, notify func(Event)) *stream {
	return &stream{out: out, cname: cname, notify: notify, origin: time.Now(), ssrc: rand.Uint32() | 1, tones: dtmf.NewTones(0)}
}

// now is the time in the stream's own count, which has no jumps.
func (s *stream) now() time.Duration { return time.Since(s.origin) }

// since is that of another moment.
func (s *stream) since(at time.Time) time.Duration { return at.Sub(s.origin) }

// agree sets what was negotiated.
func (s *stream) agree(a agreement, canSend bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.agreed, s.canSend = a, canSend
	s.keys = dtmf.NewSender(a.eventClock, 0)
}

// receive takes an RTP packet; the payload is not kept.
func (s *stream) receive(h *rtp.Header, payload []byte, at time.Time) {
	s.mu.Lock()
	s.received(h, payload, s.since(at))
	s.mu.Unlock()
	s.tell()
}

// tell passes on what is pending.
func (s *stream) tell() {
	s.mu.Lock()
	events := s.pending
	s.pending = nil
	s.mu.Unlock()
	for _, e := range events {
		s.notify(e)
	}
}

func (s *stream) received(h *rtp.Header, payload []byte, now time.Duration) {
	clock, isEvent := s.agreed.events[h.PayloadType]
	codec := s.agreed.codecs[h.PayloadType]
	if codec == nil && !isEvent {
		return // comfort noise, or what was not agreed
	}
	in := s.incoming
	if in == nil || in.ssrc != h.SSRC {
		// Another SSRC is another source (RFC 3550 section 5.2). Telephone events share that of the audio.
		base := s.agreed.send.ClockRate
		if codec != nil {
			base = codec.ClockRate
		}
		in = &incoming{ssrc: h.SSRC, stats: rtpstat.NewReceiver(base), keys: make(map[uint8]*dtmf.Receiver), heard: in != nil && in.heard}
		s.incoming = in
	}
	in.stats.Packet(h.SequenceNumber, h.Timestamp, len(payload), !isEvent, now)
	p := playout.Packet{Seq: h.SequenceNumber, Timestamp: h.Timestamp}
	if isEvent {
		s.pending = append(s.pending, in.event(h, payload, clock)...)
		if in.passed && in.codec != nil && in.codec.ClockRate == clock {
			s.pass(in.codec, h, payload, true)
		}
	} else if p.Duration = codec.Duration(payload); p.Duration > 0 {
		s.sound(in, codec, h, payload)
	} else {
		return
	}
	if in.player != nil {
		p.Payload = append([]byte(nil), payload...)
		in.player.Push(p, now)
	}
}

// sound takes a packet of audio for all but the player, and gives the source the player that it needs; s.mu is held.
func (s *stream) sound(in *incoming, codec *audio.Codec, h *rtp.Header, payload []byte) {
	passed := s.passes(codec)
	if codec != in.codec || in.passed != passed {
		in.codec, in.passed, in.player = codec, passed, nil
		if !passed {
			in.player = s.newPlayer(codec)
		}
	}
	if passed {
		s.pass(codec, h, payload, false)
	}
	s.listen(in, codec, h, payload)
	if !in.heard && decodes(codec, payload) {
		in.heard = true
		s.pending = append(s.pending, Heard{Codec: codec.Name, At: time.Now()})
	}
}

// passes reports whether the sink takes packets of the codec as they come; s.mu is held.
func (s *stream) passes(c *audio.Codec) bool {
	ps, ok := s.sink.(audio.PacketSink)
	return ok && ps.Takes(c)
}

// pass gives the sink a packet; s.mu is held.
func (s *stream) pass(c *audio.Codec, h *rtp.Header, payload []byte, event bool) {
	ps, ok := s.sink.(audio.PacketSink)
	if !ok {
		return
	}
	s.sinkFailed(ps.WritePacket(c, audio.Packet{
		Payload: payload, Source: h.SSRC, Seq: h.SequenceNumber, Timestamp: h.Timestamp, Marker: h.Marker, Event: event,
	}))
}

// decodes reports whether the packet is sound.
func decodes(c *audio.Codec, payload []byte) bool {
	d, err := c.NewDecoder()
	if err != nil {
		return false
	}
	pcm, err := d.Decode(nil, payload)
	return err == nil && len(pcm) > 0
}

func (in *incoming) event(h *rtp.Header, payload []byte, clock int) []Event {
	r := in.keys[h.PayloadType]
	if r == nil {
		r = dtmf.NewReceiver(clock)
		in.keys[h.PayloadType] = r
	}
	switch key, change := r.Receive(h.Timestamp, payload); change {
	case dtmf.Down:
		return []Event{KeyDown{key}}
	case dtmf.Up:
		return []Event{KeyUp{key}}
	}
	return nil
}

// newPlayer returns a player into the sink, or nil if there is none. Opus into a sink of Opus is not decoded.
func (s *stream) newPlayer(codec *audio.Codec) *playout.Player {
	if s.sink == nil {
		return nil
	}
	cfg := playout.Config{ClockRate: codec.ClockRate}
	if opus, ok := s.sink.(audio.OpusSink); ok && strings.EqualFold(codec.Name, "opus") {
		p := playout.NewPlayer(cfg, nil)
		begun := false
		p.Taken = func(step playout.Step) {
			var packet []byte // nil: lost, late or a pause
			if step.Kind == playout.Play || step.Kind == playout.PlayLonger || step.Kind == playout.PlayShorter {
				packet, begun = step.Packet.Payload, true
			}
			if begun {
				s.sinkFailed(opus.WriteOpus(packet, int(step.Duration*audio.SampleRate/time.Second)))
			}
		}
		return p
	}
	dec, err := codec.NewDecoder()
	if err != nil {
		s.sinkFailed(err)
		return nil
	}
	return playout.NewPlayer(cfg, dec)
}

// sinkFailed takes the sink away if err is one; s.mu is held.
func (s *stream) sinkFailed(err error) {
	if err == nil || s.sink == nil {
		return
	}
	// A recording says when it is closed what it has said before.
	if last := s.sink.Close(); errors.Is(last, err) {
		err = last
	} else {
		err = errors.Join(err, last)
	}
	s.sink = nil
	s.audioErr = errors.Join(s.audioErr, err)
	s.pending = append(s.pending, SinkFailed{err})
}

// frameTime is the clock of a stream.
const frameTime = audio.FrameDuration

// late is how far the clock may be behind before frames are skipped, after the machine has slept for example.
const late = 500 * time.Millisecond

// run sends and plays until ctx ends. The group is ready then.
func (s *stream) run(ctx context.Context) error {
	s.mu.Lock()
	send := newSender(s)
	s.mu.Unlock()
	defer send.connect()()
	reports := reporter{s: s, next: s.now() + firstReport}
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer func() { _ = s.out.WriteRTCP(&rtcp.Goodbye{Sources: []uint32{s.ssrc}}) }()
	next := time.Now()
	pcm := make([]float32, audio.FrameSize)
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := send.frame(pcm); err != nil {
			return err
		}
		s.play(pcm)
		s.tell()
		reports.maybe(s.now())
		next = next.Add(frameTime)
		if behind := time.Since(next); behind > late {
			skipped := int(behind / frameTime)
			next = next.Add(time.Duration(skipped) * frameTime)
			send.skip(skipped)
		}
		timer.Reset(time.Until(next))
	}
}

// play moves 20 ms from the player to the sink.
func (s *stream) play(pcm []float32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.incoming
	if s.sink == nil || in == nil || in.player == nil {
		return
	}
	in.player.Frame(pcm, s.now())
	if in.player.Taken != nil || s.sink == nil {
		return // the packets have gone to the sink
	}
	s.sinkFailed(s.sink.WritePCM(pcm))
}

// close ends source and sink.
func (s *stream) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if s.source != nil {
		errs = append(errs, s.source.Close())
	}
	if s.sink != nil {
		errs = append(errs, s.sink.Close())
	}
	s.source, s.sink = nil, nil
	err := errors.Join(errs...)
	s.audioErr = errors.Join(s.audioErr, err)
	return err
}

// readFrame fills a frame from the source and silence; s.mu is held.
func (s *stream) readFrame(pcm []float32) {
	n := 0
	if s.source != nil {
		var err error
		n, err = s.source.Read(pcm)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			err = errors.Join(err, s.source.Close())
			s.source = nil
			s.audioErr = errors.Join(s.audioErr, err)
			s.pending = append(s.pending, SourceEnded{err})
		}
	}
	clear(pcm[n:])
	if s.muted {
		clear(pcm)
	}
}
