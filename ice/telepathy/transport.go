// Package telepathy is XEP-0183 (version 1.0): a transport by extra-sensory perception.
//
// It is negotiated by the book. The stream itself needs a [Medium], and as none is at hand, the transport says after the
// negotiation that it is unreachable, and the session falls back to its next transport. docs/writing-a-transport.md
// walks through this package as the example of how a transport is written.
package telepathy

import (
	"errors"
	"io"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/xmltree"
)

// ErrNoMedium is why a transport fails that has no [Medium].
var ErrNoMedium = errors.New("no medium is plugged in, so the other side cannot be sensed")

// Medium is a person with the gift. None is part of this project.
type Medium interface {
	// Reach opens a stream for a channel to whom the peer's candidate describes, and calls done exactly once, from any
	// goroutine. It does not block.
	Reach(channel string, peer Candidate, done func(io.ReadWriteCloser, error))
}

// Factory makes telepathy transports. The zero value has no medium.
type Factory struct{ Medium Medium }

// NS implements [engine.TransportFactory].
func (Factory) NS() string { return NS }

// New implements [engine.TransportFactory].
func (f Factory) New(cfg engine.TransportConfig) (engine.Transport, error) {
	return &transport{cfg: cfg, medium: f.Medium}, nil
}

// transport belongs to the session's goroutine.
type transport struct {
	cfg    engine.TransportConfig
	medium Medium
	remote Candidate // the peer's, once it is known
}

func (t *transport) NS() string { return NS }

// channel is the name of our one channel: files and calls need no more.
func (t *transport) channel() string { return t.cfg.Content.Name }

// Offer has one candidate per channel (section 3.1). What we do not know of ourselves, like our pulse, is left out.
func (t *transport) Offer() (jingle.Payload, error) {
	return Payload{Candidates: []Candidate{{Name: t.channel(), Plane: 1, Time: "present"}}}, nil
}

// Answer repeats the name of the channel that is taken, and no more (section 3.2, example 3).
func (t *transport) Answer(remote jingle.Payload) (jingle.Payload, error) {
	p, ok := remote.(Payload)
	if !ok || len(p.Candidates) != 1 {
		return nil, &xmltree.Error{Element: "transport", Problem: "does not have exactly one channel"}
	}
	t.remote = p.Candidates[0]
	return Payload{Candidates: []Candidate{{Name: t.remote.Name, Generation: Absent}}}, nil
}

// Accepted takes the peer's answer to our offer, which has to be about the channel that was offered.
func (t *transport) Accepted(remote jingle.Payload) error {
	p, ok := remote.(Payload)
	if !ok || len(p.Candidates) != 1 || p.Candidates[0].Name != t.channel() {
		return &xmltree.Error{Element: "transport", Problem: "does not have the channel that was offered"}
	}
	t.remote = p.Candidates[0]
	return nil
}

// Info takes a newer candidate (section 3.1, 'generation').
func (t *transport) Info(info jingle.Payload) error {
	p, ok := info.(Payload)
	if !ok {
		return jingle.ErrUnsupportedInfo("This is not about telepathy.")
	}
	for _, c := range p.Candidates {
		if c.Name == t.remote.Name && c.Generation > t.remote.Generation {
			t.remote = c
		}
	}
	return nil
}

// Start opens the stream. The medium works at its own pace, and its answer comes from its own goroutine, so it goes to
// the host, which throws away what comes after Close.
func (t *transport) Start() {
	if t.medium == nil {
		t.cfg.Host.Failed(ErrNoMedium)
		return
	}
	t.medium.Reach(t.remote.Name, t.remote, func(conn io.ReadWriteCloser, err error) {
		if err != nil {
			t.cfg.Host.Failed(err)
			return
		}
		t.cfg.Host.Connected(conn)
	})
}

// Close has nothing to free: a medium cannot be interrupted.
func (t *transport) Close() {}
