package bridge

import (
	"bytes"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/dtmf"
	"github.com/jingled/jingled/media/video"
)

func said(i int) []byte { return []byte{0xfc, byte(i), byte(i >> 8), 1} }

func TestPhone(t *testing.T) {
	p := newPeer(t, "opus")
	source, sink := p.line.Pictures()
	shown := watch(t, source)
	var keyFrames, rate atomic.Int64
	sink.Connect(func() { keyFrames.Add(1) }, func(bps int) { rate.Store(int64(bps)) })
	source.KeyFrame() // nobody is there yet
	source.Bitrate(700_000)

	x := newStranger(t, "opus", "VP8", webrtc.RTPTransceiverDirectionSendrecv)
	c := x.attach(p.line, Phone)
	if !c.HasVideo() {
		t.Error("the client has no video")
	}
	stop := x.talk(said)
	defer stop()
	defer x.film(5)()

	// The client's sound and pictures get to the peer as they are.
	p.await("sound", func() bool { return len(p.sound) > 20 })
	p.mu.Lock()
	for i, pkt := range p.sound[1:] {
		before := p.sound[i]
		if pkt.Seq != before.Seq+1 || pkt.Timestamp != before.Timestamp+960 || pkt.Source != before.Source ||
			!bytes.Equal(pkt.Payload, said(int(pkt.Seq))) {
			t.Fatalf("packets of sound: %v, %v", before, pkt)
		}
	}
	p.mu.Unlock()
	p.await("pictures", func() bool { return len(shown.seen()) > 20 })
	pictures := shown.seen()
	for i, pkt := range pictures[1:] {
		before := pictures[i]
		if pkt.Lost != 0 || pkt.Timestamp != before.Timestamp+1800 || pkt.Payload[3] != before.Payload[3]+1 ||
			pkt.Codec.Name != "VP8" || !pkt.Marker {
			t.Fatalf("packets of pictures: %v, %v", before, pkt)
		}
	}

	// What the peer had asked for before there was a client gets there, and what it asks for now.
	plis := func() (n int) {
		for _, w := range x.wants {
			if _, ok := w.(*rtcp.PictureLossIndication); ok {
				n++
			}
		}
		return n
	}
	x.await("the first wish for a key frame", func() bool { return plis() == 1 })
	x.await("a bit rate", func() bool { return told(x.wants) == 700_000 })
	source.KeyFrame()
	source.Bitrate(300_000)
	x.await("a wish for a key frame", func() bool { return plis() == 2 })
	x.await("a bit rate", func() bool { return told(x.wants) == 300_000 })

	// The peer's sound and pictures get to the client.
	vp8, err := video.ByName("VP8")
	if err != nil {
		t.Fatal(err)
	}
	defer every(func(i int) {
		_ = p.sink.WritePacket(audio.Opus(), audio.Packet{Payload: said(i), Source: 7, Seq: uint16(i), Timestamp: uint32(i) * 960})
		_ = sink.Write(vp8, uint16(i), video.Packet{Payload: []byte{0x10, 0, 1, byte(i)}, Timestamp: uint32(i) * 1800, Marker: true, Source: 8})
	})()
	x.await("the peer's media", func() bool { return len(x.got["audio"]) > 20 && len(x.got["video"]) > 20 })
	x.mu.Lock()
	for kind, step := range map[string]uint32{"audio": 960, "video": 1800} {
		for i, pkt := range x.got[kind][1:] {
			before := x.got[kind][i]
			if pkt.SequenceNumber != before.SequenceNumber+1 || pkt.Timestamp != before.Timestamp+step || pkt.SSRC != before.SSRC {
				t.Fatalf("%s: %v, %v", kind, before, pkt)
			}
		}
	}
	ssrc := x.got["video"][0].SSRC
	x.mu.Unlock()

	// And the client's wishes to the peer.
	before := keyFrames.Load()
	if err := x.pc.WriteRTCP([]rtcp.Packet{
		&rtcp.PictureLossIndication{MediaSSRC: ssrc}, &rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 250_000, SSRCs: []uint32{ssrc}},
	}); err != nil {
		t.Fatal(err)
	}
	p.await("the wishes", func() bool { return keyFrames.Load() > before && rate.Load() == 250_000 })

	// Keys are told, once each.
	for i, payload := range [][]byte{{5, 0, 0, 160}, {5, 10, 1, 64}, {5, 0x80 | 10, 0x12, 0xc0}, {5, 0x80 | 10, 0x12, 0xc0}} {
		if err := x.key(payload, uint16(5000+i)); err != nil {
			t.Fatal(err)
		}
	}
	p.await("a key", func() bool {
		return len(p.keys) == 1 && p.keys[0] == dtmf.Key{Digit: '5', Duration: 100 * time.Millisecond}
	})
	if n, pictures := p.line.Connected(); n != 1 || !pictures {
		t.Errorf("%d clients", n)
	}
	c.Close()
	<-c.Done()
	if n, _ := p.line.Connected(); n != 0 || p.line.Client(c.ID()) != nil {
		t.Errorf("%d clients are left", n)
	}
}

// told returns the last bit rate that was told.
func told(ps []rtcp.Packet) (bps int) {
	for _, p := range ps {
		if r, ok := p.(*rtcp.ReceiverEstimatedMaximumBitrate); ok {
			bps = int(r.Bitrate)
		}
	}
	return bps
}

// key sends a packet of a telephone event on the stream of the sound.
func (x *stranger) key(payload []byte, seq uint16) error {
	x.audio.mu.Lock()
	defer x.audio.mu.Unlock()
	_, err := x.audio.out.WriteRTP(&rtp.Header{
		Version: 2, PayloadType: x.audio.event, SequenceNumber: seq, Timestamp: 480000, SSRC: x.audio.ssrc,
	}, payload)
	return err
}

func TestTakeover(t *testing.T) {
	p := newPeer(t, "opus")
	source, _ := p.line.Pictures()
	shown := watch(t, source)
	first := newStranger(t, "opus", "VP8", webrtc.RTPTransceiverDirectionSendrecv)
	old := first.attach(p.line, Phone)
	stop := first.talk(said)
	defer stop()
	defer first.film(0)()
	p.await("the first phone", func() bool { return len(p.sound) > 5 && len(shown.seen()) > 5 })

	// A source is heard and seen instead, while it is there.
	obs := newStranger(t, "opus", "VP8", webrtc.RTPTransceiverDirectionSendonly)
	whip := obs.attach(p.line, Source)
	p.mu.Lock()
	mine := p.sound[0].Source
	p.mu.Unlock()
	defer obs.talk(said)()
	defer obs.film(4e9)()
	newest := func() uint32 { return p.sound[len(p.sound)-1].Source }
	p.await("the source", func() bool { return newest() != mine })
	obs.await("a wish for a key frame", func() bool { return len(obs.wants) > 0 })
	whip.Close()
	<-whip.Done()
	p.await("the phone again", func() bool { return newest() == mine })
	packets := shown.seen()
	for i, pkt := range packets[1:] {
		// Time goes on whatever the sources' clocks say, and nothing is missing.
		if d := int32(pkt.Timestamp - packets[i].Timestamp); d < 0 || d > 10*video.ClockRate || pkt.Lost != 0 {
			t.Fatalf("packet %d: %d after the one before, %d lost", i+1, d, pkt.Lost)
		}
	}

	// Another phone takes the place of the first.
	second := newStranger(t, "opus", "", webrtc.RTPTransceiverDirectionSendrecv)
	c := second.attach(p.line, Phone)
	defer second.talk(said)()
	select {
	case <-old.Done():
	case <-time.After(patience):
		t.Fatal("the first phone is still there")
	}
	p.await("the second phone", func() bool { return newest() != mine })
	if n, pictures := p.line.Connected(); n != 1 || pictures || p.line.Client(c.ID()) != c {
		t.Errorf("%d clients, pictures: %t", n, pictures)
	}
}

// TestOtherCodec has a peer with G.711 and a client with Opus: sound goes through PCM, both ways.
func TestOtherCodec(t *testing.T) {
	p := newPeer(t, "PCMU")
	x := newStranger(t, "opus", "", webrtc.RTPTransceiverDirectionSendrecv)
	x.attach(p.line, Phone)
	enc, err := audio.Opus().NewEncoder(audio.EncoderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	tone := audio.NewTone(440, 0.5)
	pcm := make([]float32, audio.FrameSize)
	defer x.talk(func(int) []byte {
		_, _ = tone.Read(pcm)
		out, err := enc.Encode(nil, pcm)
		if err != nil {
			t.Error(err)
		}
		return out
	})()
	var heard []float32
	frame := make([]float32, audio.FrameSize)
	defer every(func(i int) {
		p.mu.Lock()
		defer p.mu.Unlock()
		_, _ = p.src.Read(frame)
		heard = append(heard, frame...)
	})()
	p.await("the tone", func() bool {
		return len(heard) > 4800 && audio.Share(heard[len(heard)-4800:], audio.SampleRate, 440) > 0.9
	})

	// The client was given Opus only to send, and takes PCMU as well: pion's defaults have it. So nothing is decoded.
	if !p.sink.Takes(audio.PCMU()) {
		t.Error("the client does not take PCMU")
	}
	// What is decoded all the same comes as Opus.
	dec, err := audio.Opus().NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	other := audio.NewTone(1000, 0.5)
	defer every(func(int) {
		buf := make([]float32, audio.FrameSize)
		_, _ = other.Read(buf)
		if err := p.sink.WritePCM(buf); err != nil {
			t.Error(err)
		}
	})()
	x.await("the other tone", func() bool {
		if len(x.got["audio"]) < 30 {
			return false
		}
		var pcm []float32
		for _, pkt := range x.got["audio"] {
			if pcm, err = dec.Decode(pcm, pkt.Payload); err != nil {
				t.Fatal(err)
			}
		}
		return audio.Share(pcm[len(pcm)-4800:], audio.SampleRate, 1000) > 0.9
	})
}

func TestOffers(t *testing.T) {
	l := NewLine(Config{})
	good := newStranger(t, "opus", "", webrtc.RTPTransceiverDirectionSendrecv).offer()
	receives := newStranger(t, "opus", "", webrtc.RTPTransceiverDirectionRecvonly).offer()
	for name, c := range map[string]struct {
		role  Role
		offer string
	}{
		"nothing":                   {Phone, ""},
		"no SDP":                    {Phone, "hello"},
		"no media":                  {Phone, "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"},
		"no credentials":            {Phone, strings.ReplaceAll(good, "ice-ufrag", "x-ufrag")},
		"no fingerprint":            {Phone, strings.ReplaceAll(good, "fingerprint", "x-print")},
		"too long":                  {Phone, good + strings.Repeat("a=x\r\n", maxOffer/5)},
		"a source that is a player": {Source, receives},
	} {
		_, answer, err := l.Attach(t.Context(), c.role, c.offer)
		var bad *OfferError
		if !errors.As(err, &bad) || answer != "" {
			t.Errorf("%s: %q, %v", name, answer, err)
		}
	}
	// The answer names nothing but the loopback, and the agent only answers.
	_, answer, err := l.Attach(t.Context(), Phone, good)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(answer, "a=ice-lite") || !strings.Contains(answer, " 127.0.0.1 ") {
		t.Errorf("the answer: %s", answer)
	}
	for line := range strings.Lines(answer) {
		if strings.HasPrefix(line, "a=candidate") && !strings.Contains(line, " 127.0.0.1 ") && !strings.Contains(line, " ::1 ") {
			t.Errorf("a candidate: %s", line)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, _, err := l.Attach(t.Context(), Phone, good); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

func TestTooManyPlayers(t *testing.T) {
	l := NewLine(Config{})
	defer l.Close()
	offer := newStranger(t, "opus", "", webrtc.RTPTransceiverDirectionRecvonly).offer()
	for range maxViewers {
		if _, _, err := l.Attach(t.Context(), Player, offer); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := l.Attach(t.Context(), Player, offer); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
}
