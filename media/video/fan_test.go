package video

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
)

// camera is a source that a test feeds.
type camera struct {
	packets chan Packet
	buf     []byte
	keys    int
	bitrate int
	closed  bool
}

func (c *camera) Codec() *Codec   { return known[0] }
func (c *camera) KeyFrame()       { c.keys++ }
func (c *camera) Bitrate(bps int) { c.bitrate = bps }
func (c *camera) Close() error    { c.closed = true; return nil }
func (c *camera) Read(ctx context.Context) (Packet, error) {
	select {
	case p, ok := <-c.packets:
		if !ok {
			return Packet{}, io.EOF
		}
		// The payload is good until the next Read, as that of a socket is.
		c.buf = append(c.buf[:0], p.Payload...)
		p.Payload = c.buf
		return p, nil
	case <-ctx.Done():
		return Packet{}, context.Cause(ctx)
	}
}

// TestFan has two calls see one source: who comes later gets a key frame, who is slow loses packets and is told how many, and
// the source hears of the slowest.
func TestFan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &camera{packets: make(chan Packet)}
		f := NewFan(c)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- f.Run(ctx) }()
		fast, slow := f.Leg(), f.Leg()
		if c.keys != 2 {
			t.Errorf("%d key frames", c.keys)
		}
		synctest.Wait()
		select {
		case c.packets <- Packet{}:
			t.Error("the source is read before anybody sees it")
		default:
		}
		got := make(chan Packet, 2*fanQueue)
		fastEnded := make(chan error, 1)
		go func() {
			for {
				p, err := fast.Read(ctx)
				if err != nil {
					fastEnded <- err
					return
				}
				got <- p
			}
		}()
		const n = fanQueue + 10
		for i := range n {
			c.packets <- Packet{Payload: []byte{byte(i), byte(i >> 8)}, Timestamp: uint32(i)}
			synctest.Wait()
		}
		if len(got) != n {
			t.Fatalf("%d packets of %d", len(got), n)
		}
		for i := range n {
			if p := <-got; p.Timestamp != uint32(i) || p.Payload[0] != byte(i) || p.Payload[1] != byte(i>>8) || p.Lost != 0 {
				t.Fatalf("packet %d: %+v", i, p)
			}
		}
		for i := range fanQueue {
			if p, err := slow.Read(ctx); err != nil || p.Timestamp != uint32(i) || p.Payload[0] != byte(i) || p.Lost != 0 {
				t.Fatalf("slow, packet %d: %+v, %v", i, p, err)
			}
		}
		c.packets <- Packet{Timestamp: n, Lost: 2}
		synctest.Wait()
		if p, err := slow.Read(ctx); err != nil || p.Timestamp != n || p.Lost != 12 {
			t.Errorf("after a gap: %+v, %v", p, err)
		}

		fast.Bitrate(900_000)
		slow.Bitrate(200_000)
		if c.bitrate != 200_000 {
			t.Errorf("the source is told %d bit/s", c.bitrate)
		}
		if err := slow.Close(); err != nil {
			t.Error(err)
		}
		if c.bitrate != 900_000 {
			t.Errorf("without the slow one the source is told %d bit/s", c.bitrate)
		}
		if _, err := slow.Read(ctx); !errors.Is(err, io.EOF) {
			t.Errorf("a closed one: %v", err)
		}

		close(c.packets)
		if err := <-ended; err != nil || !c.closed {
			t.Errorf("the end: %v, closed %v", err, c.closed)
		}
		if err := <-fastEnded; !errors.Is(err, io.EOF) {
			t.Errorf("the end for the fast one: %v", err)
		}
		if _, err := f.Leg().Read(ctx); !errors.Is(err, io.EOF) {
			t.Errorf("one more: %v", err)
		}
		cancel()
	})
}

// TestFanUnseen ends a fan that nobody has ever looked at.
func TestFanUnseen(t *testing.T) {
	c := &camera{packets: make(chan Packet)}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := NewFan(c).Run(ctx); err != nil || !c.closed {
		t.Errorf("the end: %v, closed %v", err, c.closed)
	}
}
