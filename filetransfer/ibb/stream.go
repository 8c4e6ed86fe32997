package ibb

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
)

// Bounds of what is kept of a peer's data that nobody has read yet.
const (
	// highWater is where answers to data are held back, so that a peer that waits for them stops.
	highWater = 256 << 10
	// maxUnread is where a peer that does not wait loses its stream.
	maxUnread = 4 << 20
	maxBlocks = 8192
)

// abortGrace is how long a stream that was aborted waits for the peer to send something that can be answered with the reason,
// before it is closed without one.
const abortGrace = 2 * time.Second

// Errors of a stream.
var (
	// ErrSequence says that a block is missing or came twice (XEP-0047 section 2.2).
	ErrSequence = errors.New("in-band bytestream out of sequence")
	// ErrFlooded says that the peer sent more than was asked for, and did not wait.
	ErrFlooded = errors.New("in-band bytestream flooded")
	// ErrBadBlock says that a block is too large or no base64.
	ErrBadBlock = errors.New("bad block in an in-band bytestream")
	// ErrPeerClosed says, at a writer, that the peer has closed the stream.
	ErrPeerClosed = errors.New("in-band bytestream closed by the other side")
)

// Stream is one in-band bytestream. It implements [io.ReadWriteCloser]; Read and Write may be called from one goroutine
// each, what ends it from any.
type Stream struct {
	router *Router
	peer   jid.JID
	sid    string
	hold   time.Duration
	onOpen func() // told once, when the peer has opened the stream; nil if we open it

	mu        sync.Mutex
	change    sync.Cond
	blockSize int
	open      bool
	closed    bool  // by us
	err       error // why reading and writing end; io.EOF if the peer closed in order

	word    chan error                // the peer's, at the end; not nil while Finish waits for it
	refused *jingle.StanzaError       // why we have aborted it; the peer has not heard yet
	closing func(*jingle.StanzaError) // answers the peer's <close/>; nil if there is none, or it has its answer
	timer   *time.Timer               // of closing or refused

	sendSeq  uint16
	inFlight int   // blocks
	lost     error // what one of them was answered with
	pace     pace

	recvSeq uint16
	blocks  [][]byte // unread
	unread  int      // bytes of them
	held    []func(*jingle.StanzaError)
}

// Read implements [io.Reader]. It returns [io.EOF] when the peer has closed the stream and everything is read.
func (s *Stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	for len(s.blocks) == 0 && s.err == nil && !s.closed {
		s.change.Wait()
	}
	switch {
	case s.closed:
		s.mu.Unlock()
		return 0, io.ErrClosedPipe
	case len(s.blocks) == 0:
		defer s.mu.Unlock()
		return 0, s.err
	}
	n := 0
	for n < len(p) && len(s.blocks) > 0 {
		m := copy(p[n:], s.blocks[0])
		if n += m; m == len(s.blocks[0]) {
			s.blocks[0] = nil
			s.blocks = s.blocks[1:]
		} else {
			s.blocks[0] = s.blocks[0][m:]
		}
	}
	s.unread -= n
	var release []func(*jingle.StanzaError)
	if s.unread < highWater {
		release, s.held = s.held, nil
	}
	s.mu.Unlock()
	for _, answer := range release {
		answer(nil)
	}
	return n, nil
}

// Write implements [io.Writer]. It returns when the last block is on its way, and waits while as many blocks as the
// window allows have no answer.
func (s *Stream) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		fits := s.router.fits(s)
		s.mu.Lock()
		n := 0
		for s.err == nil && !s.closed {
			if n = s.pace.next(); n > 0 {
				break
			}
			s.change.Wait()
		}
		if err := s.writeError(); err != nil {
			s.mu.Unlock()
			return written, err
		}
		block := p[written:min(len(p), written+min(n, fits))]
		d := Data{SID: s.sid, Seq: s.sendSeq, Data: block}
		s.sendSeq++ // wraps from 65535 to 0 (XEP-0047 section 2.2)
		s.inFlight++
		s.pace.inFlight += len(block)
		s.mu.Unlock()
		written += len(block)
		sent := time.Now()
		s.router.cfg.Stanzas.Request(s.peer, d.Element(), func(err error) { s.answered(len(block), sent, err) })
	}
	return written, nil
}

// writeError returns why nothing can be written; s.mu is held.
func (s *Stream) writeError() error {
	switch {
	case s.closed:
		return io.ErrClosedPipe
	case errors.Is(s.err, io.EOF):
		return ErrPeerClosed
	case s.err != nil:
		return s.err
	case !s.open:
		return errors.New("ibb: the stream is not open")
	}
	return nil
}

// answered is told of the answer to a block of ours, of n bytes.
func (s *Stream) answered(n int, sent time.Time, err error) {
	if err != nil {
		// XEP-0047 section 2.2: an error about data closes the stream. The block stays among those without an answer.
		err = fmt.Errorf("in-band bytestream: %w", err)
		s.mu.Lock()
		s.lost = err
		s.change.Broadcast()
		s.mu.Unlock()
		s.fail(err, true)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	s.pace.answered(n, sent, time.Now())
	s.change.Broadcast()
}

// Flush waits until every block that was written has its answer, or the stream ends: then the error says why. Without one
// the peer has everything. A peer that closes the stream may still answer: libpurple closes it before it answers the block
// that made the file complete.
func (s *Stream) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.inFlight > 0 && s.lost == nil && !s.closed && (s.err == nil || errors.Is(s.err, io.EOF)) {
		s.change.Wait()
	}
	switch {
	case s.inFlight == 0:
		return nil
	case s.closed:
		return io.ErrClosedPipe
	case errors.Is(s.err, io.EOF):
		return ErrPeerClosed
	case s.err == nil:
		return s.lost // the stream is about to fail with it
	}
	return s.err
}

// fail ends both directions with err. tell says that the peer has to hear of it.
func (s *Stream) fail(err error, tell bool) {
	s.mu.Lock()
	if s.err != nil || s.closed {
		s.mu.Unlock()
		return
	}
	s.err = err
	tell = tell && s.open
	held := s.held
	s.held = nil
	s.change.Broadcast()
	s.mu.Unlock()
	s.router.remove(s)
	for _, answer := range held {
		answer(nil) // these blocks were taken and can still be read
	}
	if tell {
		s.router.cfg.Stanzas.Request(s.peer, Close{s.sid}.Element(), func(error) {})
	}
}

// opened takes the peer's <open/>. What it returns is called after the answer: it may write, and no data may come before
// that.
func (s *Stream) opened(o Open) (func(), *jingle.StanzaError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.open && s.onOpen == nil:
		// We opened it and so does the peer: that is once too much, but there is one stream all the same.
		return nil, nil
	case s.open:
		return nil, &jingle.StanzaError{Type: "cancel", Condition: "unexpected-request", Text: "The stream is open already."}
	case int(o.BlockSize) > s.blockSize:
		// XEP-0261 section 2.2. A smaller one does no harm.
		return nil, &jingle.StanzaError{Type: "modify", Condition: "resource-constraint", Text: "The block size is not the one agreed on."}
	}
	s.open, s.blockSize = true, int(o.BlockSize)
	s.pace = newPace(s.blockSize, s.pace.most/s.pace.block)
	return s.onOpen, nil
}

// received takes a block. answer is nil for a message.
func (s *Stream) received(d Data, answer func(*jingle.StanzaError)) {
	if answer == nil {
		answer = func(*jingle.StanzaError) {}
	}
	s.mu.Lock()
	var bad error
	var se *jingle.StanzaError
	switch {
	case s.refused != nil:
		se = s.refused
		defer s.forget()
	case s.closed || s.err != nil:
		se = errNoStream()
	case !s.open && s.onOpen != nil: // to our own <open/> data is an answer too
		se = &jingle.StanzaError{Type: "cancel", Condition: "unexpected-request", Text: "The stream is not open."}
	case d.Seq != s.recvSeq:
		// XEP-0047 section 2.2: nothing of the stream may be used from here on.
		bad = fmt.Errorf("%w: block %d instead of %d", ErrSequence, d.Seq, s.recvSeq)
		se = &jingle.StanzaError{Type: "cancel", Condition: "unexpected-request", Text: "A block is missing or came twice."}
	case len(d.Data) > s.blockSize:
		bad = fmt.Errorf("%w: %d bytes, at most %d were agreed on", ErrBadBlock, len(d.Data), s.blockSize)
		se = &jingle.StanzaError{Type: "cancel", Condition: "bad-request", Text: "The block is too large."}
	case s.unread+len(d.Data) > maxUnread, len(s.blocks) >= maxBlocks:
		bad = ErrFlooded
		se = &jingle.StanzaError{Type: "wait", Condition: "resource-constraint", Text: "Wait for answers."}
	}
	if se != nil {
		s.mu.Unlock()
		answer(se)
		if bad != nil {
			s.fail(bad, true)
		}
		return
	}
	s.recvSeq++
	if len(d.Data) > 0 {
		s.blocks = append(s.blocks, d.Data)
		s.unread += len(d.Data)
	}
	hold := s.unread >= highWater
	if hold {
		s.held = append(s.held, answer)
	}
	s.change.Broadcast()
	s.mu.Unlock()
	if !hold {
		answer(nil)
	}
}
