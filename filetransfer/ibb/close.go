package ibb

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/jingled/jingled/jingle"
)

// How a stream ends (XEP-0047 section 2.3). The answer to a <close/> is the only word of a receiver that the protocol has
// after the last block: one that could not keep the data says so there, if its application waits for it.

// Close implements [io.Closer]. It does not wait for the peer. If the peer has closed the stream and waits for the answer, it
// hears that all is well.
func (s *Stream) Close() error {
	s.mu.Lock()
	if s.closed {
		s.speak(io.ErrClosedPipe)
		s.mu.Unlock()
		return nil
	}
	tell := s.open && s.err == nil
	held := s.shut()
	answer := s.settle()
	s.mu.Unlock()
	s.router.remove(s)
	for _, a := range held {
		a(errNoStream())
	}
	if tell {
		s.router.cfg.Stanzas.Request(s.peer, Close{s.sid}.Element(), func(error) {})
	}
	answer(nil)
	return nil
}

// Abort is [Stream.Close] for who could not keep what came: why answers the peer's <close/>, if that is there and has no answer
// yet, or else what the peer sends next. Where it sends nothing the stream is closed after a moment.
func (s *Stream) Abort(why *jingle.StanzaError) {
	s.mu.Lock()
	if s.closed || !s.open || s.err != nil && s.closing == nil {
		s.mu.Unlock()
		_ = s.Close()
		return
	}
	held := s.shut()
	last := s.closing != nil
	answer := s.settle()
	if !last {
		s.refused = why
		s.timer = time.AfterFunc(abortGrace, func() {
			if s.forget() {
				s.router.cfg.Stanzas.Request(s.peer, Close{s.sid}.Element(), func(error) {})
			}
		})
	}
	s.mu.Unlock()
	answer(why)
	for _, a := range held {
		a(why)
	}
	if len(held) > 0 {
		s.forget()
	}
}

// Finish is [Stream.Close] for who has written everything, and waits for the peer's answer, at most until ctx is done or
// Close is called. The error is the answer's, [*jingle.StanzaError] if it is the peer's own. A peer that closes the stream
// itself has no other answer to give. Blocks without an answer should be waited for before, with [Stream.Flush].
func (s *Stream) Finish(ctx context.Context) error {
	s.mu.Lock()
	switch {
	case s.closed:
		s.mu.Unlock()
		return io.ErrClosedPipe
	case errors.Is(s.err, io.EOF):
		s.mu.Unlock()
		return s.Close()
	case s.err != nil || !s.open:
		err := s.writeError()
		s.mu.Unlock()
		return err
	}
	held := s.shut()
	word := make(chan error, 1)
	s.word = word
	s.mu.Unlock()
	// It stays with the router, as the peer may close it at the same time and then owes no answer: libpurple gives none.
	defer s.router.remove(s)
	for _, a := range held {
		a(errNoStream())
	}
	s.router.cfg.Stanzas.Request(s.peer, Close{s.sid}.Element(), func(err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.speak(err)
	})
	select {
	case err := <-word:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// shut ends reading and writing and returns the answers that wait for room; s.mu is held.
func (s *Stream) shut() []func(*jingle.StanzaError) {
	held := s.held
	s.closed, s.held, s.blocks = true, nil, nil
	s.change.Broadcast()
	return held
}

// speak tells Finish, if it waits, what the peer has to say; s.mu is held.
func (s *Stream) speak(word error) {
	if s.word != nil {
		s.word <- word
		s.word = nil
	}
}

// settle returns what answers the peer's <close/>, or does nothing if that does not wait; s.mu is held.
func (s *Stream) settle() func(*jingle.StanzaError) {
	answer := s.closing
	if answer == nil {
		return func(*jingle.StanzaError) {}
	}
	s.timer.Stop()
	s.closing = nil
	return answer
}

// forget ends a stream that was aborted. It reports whether nothing else has done so.
func (s *Stream) forget() bool {
	s.mu.Lock()
	was := s.refused != nil
	if was {
		s.timer.Stop()
		s.refused = nil
	}
	s.mu.Unlock()
	if was {
		s.router.remove(s)
	}
	return was
}

// peerClosed takes the peer's <close/>. What has come until then can still be read.
func (s *Stream) peerClosed(answer func(*jingle.StanzaError)) {
	s.mu.Lock()
	why := s.refused
	wait := s.hold > 0 && s.open && s.err == nil && !s.closed
	if wait {
		s.closing = answer
		s.timer = time.AfterFunc(s.hold, func() {
			s.mu.Lock()
			answer := s.settle()
			s.mu.Unlock()
			answer(nil)
		})
	}
	s.speak(nil)
	s.mu.Unlock()
	if !wait {
		answer(why)
	}
	s.forget()
	s.fail(io.EOF, false)
}
