package transfers

import (
	"context"
	"io"

	"golang.org/x/time/rate"
)

// NewLimiter returns a limiter of so many bytes a second for [Config], nil (no limit) for 0. Managers may share it.
func NewLimiter(bytesPerSecond int64) *rate.Limiter {
	if bytesPerSecond <= 0 {
		return nil
	}
	// A few pieces a second, so that the rate is even, but not so small that they cost more than the bytes.
	burst := int(min(max(bytesPerSecond/4, 1<<10), 256<<10))
	return rate.NewLimiter(rate.Limit(bytesPerSecond), burst)
}

// slowed is a connection whose bytes are counted against limiters, either of which may be nil.
type slowed struct {
	io.ReadWriteCloser
	ctx      context.Context
	up, down *rate.Limiter
}

// slow returns the connection of a transfer under the limits of the configuration. It belongs to the goroutine of run.
func (t *Transfer) slow() io.ReadWriteCloser {
	if t.m.cfg.Upload == nil && t.m.cfg.Download == nil {
		return t.conn
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.hurry = cancel
	return &slowed{t.conn, ctx, t.m.cfg.Upload, t.m.cfg.Download}
}

// Read implements [io.Reader]. What was read waits for its time: then the sender waits, too.
func (s *slowed) Read(p []byte) (int, error) {
	if s.down == nil {
		return s.ReadWriteCloser.Read(p)
	}
	p = p[:min(len(p), s.down.Burst())]
	n, err := s.ReadWriteCloser.Read(p)
	if n > 0 {
		if e := s.down.WaitN(s.ctx, n); err == nil {
			err = e
		}
	}
	return n, err
}

// Write implements [io.Writer].
func (s *slowed) Write(p []byte) (int, error) {
	if s.up == nil {
		return s.ReadWriteCloser.Write(p)
	}
	written := 0
	for written < len(p) {
		part := p[written:min(len(p), written+s.up.Burst())]
		if err := s.up.WaitN(s.ctx, len(part)); err != nil {
			return written, err
		}
		n, err := s.ReadWriteCloser.Write(part)
		if written += n; err != nil {
			return written, err
		}
	}
	return written, nil
}

// Unsent returns what the connection below tells.
func (s *slowed) Unsent() int { return unsent(s.ReadWriteCloser) }
