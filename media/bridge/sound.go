package bridge

import (
	"strings"
	"sync"
	"time"

	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/playout"
)

// Sound returns where the call's sound comes from and where it goes. They are one, and closing them does nothing: they live
// as long as the line.
func (l *Line) Sound() (audio.PacketSource, audio.PacketSink) { return sound{l}, sound{l} }

type sound struct{ l *Line }

// Connect implements [audio.PacketSource].
func (s sound) Connect(take func(*audio.Codec, audio.Packet) bool) {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.l.take = take
}

// Read implements [audio.Source]: silence, or the sound of packets that the call cannot send.
func (s sound) Read(pcm []float32) (int, error) {
	s.l.pcm.read(pcm, s.l.now())
	return len(pcm), nil
}

// Close implements [audio.Source] and [audio.Sink].
func (sound) Close() error { return nil }

// Takes implements [audio.PacketSink].
func (s sound) Takes(c *audio.Codec) bool {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.l.heard = c
	for _, client := range s.l.clients {
		if client.up.Load() && client.audio != nil && !client.audio.takes(c.Name) {
			return false
		}
	}
	return true
}

// WritePacket implements [audio.PacketSink].
func (s sound) WritePacket(c *audio.Codec, p audio.Packet) error {
	name := c.Name
	if p.Event {
		name = telephoneEvent
	}
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	for _, client := range s.l.clients {
		if client.audio != nil {
			client.audio.write(name, c.ClockRate, packet{p.Payload, p.Source, p.Seq, p.Timestamp, p.Marker}, s.l.now())
		}
	}
	return nil
}

// WritePCM implements [audio.Sink]: it encodes what not all clients could be given as it was.
func (s sound) WritePCM(pcm []float32) error {
	p, ok := s.l.pcm.encode(pcm)
	if !ok {
		return nil
	}
	return s.WritePacket(audio.Opus(), p)
}

// speak takes a packet of sound from a client.
func (l *Line) speak(c *Client, codec *audio.Codec, p audio.Packet) {
	l.mu.Lock()
	is, _ := latest(&l.speaker, c)
	take := l.take
	l.mu.Unlock()
	if !is || take == nil || take(codec, p) {
		return
	}
	l.pcm.push(codec, p, l.now())
}

// transcoder is for peers that have no Opus.
type transcoder struct {
	mu     sync.Mutex
	codec  string
	source uint32
	player *playout.Player
	pushed time.Duration

	enc audio.Encoder
	buf []byte
	seq uint16
	ts  uint32
}

// idle is how long after the last packet nothing is played any more.
const idle = time.Second

func (t *transcoder) push(c *audio.Codec, p audio.Packet, now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.player == nil || !strings.EqualFold(t.codec, c.Name) || t.source != p.Source {
		dec, err := c.NewDecoder()
		if err != nil {
			return
		}
		t.player, t.codec, t.source = playout.NewPlayer(playout.Config{ClockRate: c.ClockRate}, dec), c.Name, p.Source
	}
	t.pushed = now
	t.player.Push(playout.Packet{
		Seq: p.Seq, Timestamp: p.Timestamp, Duration: c.Duration(p.Payload), Payload: append([]byte(nil), p.Payload...),
	}, now)
}

func (t *transcoder) read(pcm []float32, now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.player == nil {
		clear(pcm)
		return
	}
	t.player.Frame(pcm, now)
	if now-t.pushed > idle {
		t.player = nil
	}
}

// encode makes a packet of a frame; it is not to be kept.
func (t *transcoder) encode(pcm []float32) (audio.Packet, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.enc == nil {
		enc, err := audio.Opus().NewEncoder(audio.EncoderConfig{})
		if err != nil {
			return audio.Packet{}, false
		}
		t.enc = enc
	}
	t.seq++
	t.ts += audio.FrameSize
	var err error
	t.buf, err = t.enc.Encode(t.buf[:0], pcm)
	return audio.Packet{Payload: t.buf, Seq: t.seq, Timestamp: t.ts}, err == nil
}
