package bridge

import (
	"context"
	"io"
	"sync"

	"github.com/jingled/jingled/media/video"
)

// Pictures returns where the call's video comes from and where it goes, for one content of video: a later call of Pictures
// takes the place of the source, whose Read ends. Closing the sink does nothing.
func (l *Line) Pictures() (video.Relay, video.Viewer) {
	p := &pictures{l: l, queue: make(chan video.Packet, pictureQueue), over: make(chan struct{})}
	l.mu.Lock()
	old := l.pictures
	l.pictures = p
	l.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	return p, screen{l}
}

// pictureQueue is how many packets may wait for the call, some key frames' worth.
const pictureQueue = 1024

// pictures is a [video.Relay] of the line.
type pictures struct {
	l     *Line
	queue chan video.Packet
	once  sync.Once
	over  chan struct{}
	begun bool // by the reader, who owns it
}

// Codec implements [video.Source]: the packets tell it.
func (p *pictures) Codec() *video.Codec { return nil }

// Read implements [video.Source].
func (p *pictures) Read(ctx context.Context) (video.Packet, error) {
	for !p.begun {
		select {
		case <-p.queue: // of before the call was connected
		default:
			p.begun = true
		}
	}
	select {
	case pkt := <-p.queue:
		return pkt, nil
	case <-p.over:
		return video.Packet{}, io.EOF
	case <-ctx.Done():
		return video.Packet{}, context.Cause(ctx)
	}
}

// KeyFrame implements [video.Source]. Without a client the next one is asked.
func (p *pictures) KeyFrame() {
	p.l.mu.Lock()
	c := p.l.camera
	p.l.wantKey = c == nil
	p.l.mu.Unlock()
	if c != nil {
		c.requestKeyFrame()
	}
}

// Bitrate implements [video.Source].
func (p *pictures) Bitrate(bps int) {
	p.l.mu.Lock()
	c := p.l.camera
	p.l.bitrate = bps
	p.l.mu.Unlock()
	if c != nil {
		c.requestBitrate(bps)
	}
}

// Agreed implements [video.Relay].
func (p *pictures) Agreed(codecs []*video.Codec) {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	p.l.takes = codecs
}

// Close implements [video.Source].
func (p *pictures) Close() error {
	p.once.Do(func() {
		close(p.over)
		p.l.mu.Lock()
		defer p.l.mu.Unlock()
		if p.l.pictures == p {
			p.l.pictures = nil
		}
	})
	return nil
}

// show takes a packet of pictures from a client.
func (l *Line) show(c *Client, codec *video.Codec, p packet) {
	l.mu.Lock()
	is, isNew := latest(&l.camera, c)
	to, bitrate, wantKey := l.pictures, l.bitrate, l.wantKey || isNew
	if isNew {
		l.wantKey = false
	}
	if is && to != nil {
		seq, ts := l.seen.Packet(p.source, p.seq, p.timestamp, video.ClockRate, l.now())
		out := video.Packet{
			Payload: append([]byte(nil), p.payload...), Timestamp: ts, Marker: p.marker, Lost: seq - l.seenSeq - 1, Codec: codec,
		}
		select {
		case to.queue <- out:
			l.seenSeq = seq
		default: // the call does not read, as it is not connected yet
		}
	}
	l.mu.Unlock()
	if isNew {
		if bitrate > 0 {
			c.requestBitrate(bitrate)
		}
		if wantKey {
			c.requestKeyFrame()
		}
	}
}

// screen is a [video.Viewer] of the line.
type screen struct{ l *Line }

// Connect implements [video.Viewer].
func (s screen) Connect(keyFrame func(), bitrate func(bps int)) {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.l.keyFrame, s.l.limit = keyFrame, bitrate
}

// Write implements [video.Sink].
func (s screen) Write(c *video.Codec, seq uint16, p video.Packet) error {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	for _, client := range s.l.clients {
		if client.video != nil {
			client.video.write(c.Name, video.ClockRate, packet{p.Payload, p.Source, seq, p.Timestamp, p.Marker}, s.l.now())
		}
	}
	return nil
}

// Close implements [video.Sink].
func (screen) Close() error { return nil }

// wished tells the peer what clients wish.
func (l *Line) wished(key bool) {
	l.mu.Lock()
	keyFrame, limit := l.keyFrame, l.limit
	least := 0
	for _, c := range l.clients {
		if b := int(c.canTake.Load()); b > 0 && (least == 0 || b < least) {
			least = b
		}
	}
	l.mu.Unlock()
	if key && keyFrame != nil {
		keyFrame()
	}
	if limit != nil {
		limit(least)
	}
}
