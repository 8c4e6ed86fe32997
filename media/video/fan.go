package video

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
)

// fanQueue is how many packets wait for one call: a key frame and some more. What is over is lost for that call alone.
const fanQueue = 512

// Fan gives the pictures of one source to several calls. It is made by [NewFan] and driven by [Fan.Run].
type Fan struct {
	source Source
	wanted chan struct{} // closed when somebody reads for the first time
	once   sync.Once

	mu    sync.Mutex // guards the rest
	legs  []*fanLeg
	ended bool // no more will come
}

// NewFan returns a fan of a source that tells its codec, which Run closes.
func NewFan(source Source) *Fan { return &Fan{source: source, wanted: make(chan struct{})} }

// Run reads the source from when on somebody wants it until its end or that of ctx, and closes it. Its error is what kept the
// source from being read.
func (f *Fan) Run(ctx context.Context) error {
	select {
	case <-f.wanted:
	case <-ctx.Done():
	}
	var err error
	for err == nil {
		var p Packet
		if p, err = f.source.Read(ctx); err == nil {
			p.Payload = slices.Clone(p.Payload) // which the next Read may overwrite
			f.give(p)
		}
	}
	if ctx.Err() != nil || errors.Is(err, io.EOF) {
		err = nil
	}
	f.mu.Lock()
	f.ended = true
	for _, l := range f.legs {
		l.finish()
	}
	f.mu.Unlock()
	return errors.Join(err, f.source.Close())
}

func (f *Fan) give(p Packet) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.legs {
		one := p
		one.Lost += l.lost
		select {
		case l.queue <- one:
			l.lost = 0
		default:
			l.lost = one.Lost + 1
		}
	}
}

// Leg returns a source for one more call, which begins with a key frame if the source can make one.
func (f *Fan) Leg() Source {
	l := &fanLeg{fan: f, queue: make(chan Packet, fanQueue), done: make(chan struct{})}
	f.mu.Lock()
	f.legs = append(f.legs, l)
	if f.ended {
		l.finish()
	}
	f.mu.Unlock()
	f.source.KeyFrame()
	return l
}

// limit tells the source what the slowest call can take.
func (f *Fan) limit() {
	f.mu.Lock()
	least := 0
	for _, l := range f.legs {
		if l.bitrate > 0 && (least == 0 || l.bitrate < least) {
			least = l.bitrate
		}
	}
	f.mu.Unlock()
	if least > 0 {
		f.source.Bitrate(least)
	}
}

// fanLeg is the [Source] of one call.
type fanLeg struct {
	fan   *Fan
	queue chan Packet
	done  chan struct{} // no more will come
	over  sync.Once

	lost    uint16 // and bitrate are guarded by the fan's lock
	bitrate int
}

// finish says that no more will come.
func (l *fanLeg) finish() { l.over.Do(func() { close(l.done) }) }

// Codec implements [Source].
func (l *fanLeg) Codec() *Codec { return l.fan.source.Codec() }

// Read implements [Source].
func (l *fanLeg) Read(ctx context.Context) (Packet, error) {
	l.fan.once.Do(func() { close(l.fan.wanted) })
	select {
	case p := <-l.queue:
		return p, nil
	default:
	}
	select {
	case p := <-l.queue:
		return p, nil
	case <-l.done:
		return Packet{}, io.EOF
	case <-ctx.Done():
		return Packet{}, context.Cause(ctx)
	}
}

// KeyFrame implements [Source].
func (l *fanLeg) KeyFrame() { l.fan.source.KeyFrame() }

// Bitrate implements [Source].
func (l *fanLeg) Bitrate(bps int) {
	l.fan.mu.Lock()
	l.bitrate = bps
	l.fan.mu.Unlock()
	l.fan.limit()
}

// Close implements [Source]. The other calls go on.
func (l *fanLeg) Close() error {
	l.fan.mu.Lock()
	l.fan.legs = slices.DeleteFunc(l.fan.legs, func(o *fanLeg) bool { return o == l })
	l.fan.mu.Unlock()
	l.finish()
	l.fan.limit()
	return nil
}
