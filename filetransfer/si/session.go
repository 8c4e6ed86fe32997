package si

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// storeTime is how long the sender of an in-band bytestream waits at most, after the last block, for the file to be stored.
// Then it hears that all is well, before its own patience ends, which is 30 s with us and with slixmpp.
const storeTime = 20 * time.Second

// session is one offer, ours or a peer's. It implements [transfers.Signaling].
type session struct {
	m      *Manager
	key    key
	local  jid.JID // as which we are known in this session
	driver transfers.Driver

	mu         sync.Mutex
	requesting *Requesting // one of the two is set
	answering  *Answering
	answer     func(*xmltree.Element, *jingle.StanzaError) // of the offer; nil once it was called
	from       int64                                       // where what we have asked for begins
	expected   *ibb.Stream                                 // that the peer may open
	conn       io.ReadWriteCloser                          // in use
	over       bool
	stop       context.CancelFunc // of what connects
}

// do carries effects out; s.mu is held.
func (s *session) do(effects []Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case Reply:
			s.reply(e.Answer.Element(), nil)
		case Refuse:
			s.reply(nil, e.Err)
		case Wanted:
			s.driver.Accepted(&filetransfer.File{Range: e.Range})
		case Open:
			if e.Method == ibb.NSIBB {
				s.openInBand()
			} else {
				s.connect(s.offerBytestream)
			}
		case AwaitInBand:
			s.awaitInBand()
		case Fail:
			s.driver.Ended(e.Reason, e.ByPeer, nil)
			s.end()
		}
	}
}

func (s *session) reply(e *xmltree.Element, err *jingle.StanzaError) {
	if s.answer != nil {
		s.answer(e, err)
		s.answer = nil
	}
}

// connect runs f on a goroutine of its own, until the session ends.
func (s *session) connect(f func(ctx context.Context)) {
	s.m.begin(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, s.m.cfg.StreamTimeout)
		defer cancel()
		s.mu.Lock()
		over := s.over
		s.stop = cancel
		s.mu.Unlock()
		if !over {
			f(ctx)
		}
	})
}

// end frees what the session holds, but not the connection in use; s.mu is held.
func (s *session) end() {
	if s.over {
		return
	}
	s.over = true
	if s.stop != nil {
		s.stop()
	}
	if s.expected != nil && s.conn != s.expected {
		_ = s.expected.Close()
	}
	s.m.remove(s)
}

// opened hands the connection to the transfer; s.mu is held.
func (s *session) opened(conn io.ReadWriteCloser, ns string) {
	if s.over || s.conn != nil {
		_ = conn.Close()
		return
	}
	s.conn = conn
	if s.requesting != nil {
		s.requesting.Opened()
	} else {
		s.answering.Opened()
		if s.expected != nil && conn != s.expected {
			_ = s.expected.Close()
		}
	}
	s.driver.Connected(conn, ns)
}

// The requester's side.

func (s *session) answered(e *xmltree.Element, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	if err != nil {
		s.do(s.requesting.Refused(err))
		return
	}
	answer := SI{}
	if e != nil {
		p, perr := Parse(e)
		if perr != nil {
			s.do(s.requesting.Refused(perr))
			return
		}
		answer, _ = p.(SI)
	}
	s.do(s.requesting.Answered(answer))
}

func (s *session) bytestreamOf() s5b.Bytestream {
	b := s5b.Bytestream{SID: s.key.id, Requester: s.local, Target: s.key.peer}
	if !s.key.outgoing {
		b.Requester, b.Target = b.Target, b.Requester
	}
	return b
}

func (s *session) offerBytestream(ctx context.Context) {
	conn, err := s.viaBytestream(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.opened(conn, s5b.NSBytestreams)
	case !s.over:
		s.m.cfg.Log.Debug("SOCKS5 bytestream", "sid", s.key.id, "err", err)
		s.do(s.requesting.StreamFailed(err))
	}
}

func (s *session) viaBytestream(ctx context.Context) (*net.TCPConn, error) {
	offering, q, err := s.m.cfg.Bytestreams(s.key.peer).OfferPlain(s.bytestreamOf())
	if err != nil {
		return nil, err
	}
	defer offering.Close()
	type result struct {
		e   *xmltree.Element
		err error
	}
	got := make(chan result, 1)
	s.m.cfg.Request(s.key.peer, q.Element(), s.m.cfg.StreamTimeout, func(e *xmltree.Element, err error) { got <- result{e, err} })
	select {
	case r := <-got:
		if r.err != nil {
			return nil, r.err
		}
		if r.e == nil {
			return nil, errors.New("the answer names no streamhost")
		}
		p, err := s5b.ParseQuery(r.e)
		if err != nil {
			return nil, err
		}
		used, _ := p.(s5b.Query)
		return offering.Used(ctx, used.Used)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// openInBand opens an in-band bytestream; s.mu is held.
func (s *session) openInBand() {
	cfg := ibb.StreamConfig{Peer: s.key.peer, SID: s.key.id, BlockSize: s.m.cfg.BlockSize}
	var stream *ibb.Stream
	ready := make(chan struct{}) // stream is set
	stream, err := s.m.cfg.InBand.Open(cfg, func(err error) {
		s.m.begin(func(context.Context) {
			<-ready
			s.mu.Lock()
			defer s.mu.Unlock()
			switch {
			case err == nil:
				s.opened(stream, ibb.NSIBB)
			default:
				_ = stream.Close()
				s.do(s.requesting.StreamFailed(err))
			}
		})
	})
	close(ready)
	if err != nil {
		s.do(s.requesting.StreamFailed(err))
	}
}

// The answerer's side.

func (s *session) awaitInBand() {
	// The block size is the requester's to choose (XEP-0047 section 2.1).
	cfg := ibb.StreamConfig{Peer: s.key.peer, SID: s.key.id, BlockSize: ibb.MaxBlockSize, Hold: storeTime}
	stream, err := s.m.cfg.InBand.Expect(cfg, func() {
		s.m.begin(func(context.Context) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.opened(s.expected, ibb.NSIBB)
		})
	})
	if err != nil {
		s.m.cfg.Log.Debug("in-band bytestream", "sid", s.key.id, "err", err)
		return
	}
	s.expected = stream
}

func (s *session) bytestream(q s5b.Query, answer func(*xmltree.Element, *jingle.StanzaError)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	effects, se := s.answering.Bytestream(q)
	if se != nil || len(effects) == 0 {
		answer(nil, se)
		return
	}
	began := s.m.begin(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, s.m.cfg.StreamTimeout)
		defer cancel()
		s.mu.Lock()
		if s.over {
			s.mu.Unlock()
			answer(nil, &jingle.StanzaError{Type: "cancel", Condition: "item-not-found"})
			return
		}
		s.stop = cancel
		s.mu.Unlock()
		conn, used, err := s.m.cfg.Bytestreams(s.key.peer).ConnectPlain(ctx, s.bytestreamOf(), q)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			s.m.cfg.Log.Debug("SOCKS5 bytestream", "sid", s.key.id, "err", err)
			answer(nil, &jingle.StanzaError{Type: "cancel", Condition: "item-not-found", Text: "No streamhost can be reached."})
			s.do(s.answering.StreamFailed(err))
			return
		}
		answer(s5b.Query{SID: q.SID, Used: used}.Element(), nil)
		s.joined(ctx, conn, used)
	})
	if !began {
		answer(nil, jingle.ErrServiceUnavailable())
	}
}

// awaitEnd waits until the other side has ended a stream, or ctx is done, and returns what reading says.
func awaitEnd(ctx context.Context, c *net.TCPConn) error {
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err := c.Read(make([]byte, 1))
	return err
}

// What the transfer tells.

// Accept implements [transfers.Signaling].
func (s *session) Accept(answer filetransfer.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answering != nil && !s.over {
		if answer.Range != nil {
			s.from = *orZero(answer.Range.Offset)
		}
		s.do(s.answering.Accept(answer.Range))
	}
}

// Sent implements [transfers.Signaling]: the stream's end is all that a receiver is told, and can tell.
func (s *session) Sent(hashes.Sums) {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	s.m.begin(func(ctx context.Context) {
		no, err := drain(ctx, conn)
		if ctx.Err() != nil {
			return // nobody has said anything, and the transfer ends for its own reason
		}
		if no != nil {
			s.driver.Ended(no, true, err)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.end()
			return
		}
		s.driver.Drained()
	})
}

// drain ends a stream in order and waits for the receiver's word. The reason, if not nil, is that of a receiver that does not
// have the file.
func drain(ctx context.Context, conn io.ReadWriteCloser) (*jingle.Reason, error) {
	switch c := conn.(type) {
	case *ibb.Stream:
		err := c.Finish(ctx)
		return refused(err), err
	case *net.TCPConn:
		err := c.CloseWrite()
		if err == nil {
			err = awaitWord(ctx, c)
		}
		if err != nil {
			return &jingle.Reason{Condition: jingle.ConnectivityError, Text: "The other side closed the stream before it had everything."}, err
		}
	}
	return nil, nil
}

// awaitWord waits until the receiver has closed a stream. That is its word that it has everything, if by then it has
// acknowledged everything; who has not has closed too early, or only its own direction, and what it does next tells. How long
// to wait is for the transfer to know, which closes the connection then.
func awaitWord(ctx context.Context, c *net.TCPConn) error {
	for {
		err := awaitEnd(ctx, c)
		if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
			return err
		}
		all, reset := transfers.Acknowledged(c)
		if reset != nil || err != nil && all {
			return reset
		}
		select {
		case <-time.After(wordInterval):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// wordInterval is how often it is looked for what becomes of a stream that is closed in one direction.
const wordInterval = 50 * time.Millisecond

// Info implements [transfers.Signaling]: there is no such thing here.
func (s *session) Info(jingle.Payload) {}

// Heard implements [transfers.Signaling].
func (s *session) Heard() {}

// Lasts implements [transfers.Signaling]: an offer says whether ranges are understood (XEP-0096 section 3), and a file whose
// offer does not begins anew.
func (s *session) Lasts() bool { return true }

// End implements [transfers.Signaling].
func (s *session) End(why *jingle.Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answering != nil {
		s.do(s.answering.Decline(why)) // if it was not answered yet
		s.breakStream(why)
	}
	s.end()
}

// breakStream ends the stream of a file that is not kept. One that ends in order says that everything is well.
func (s *session) breakStream(why *jingle.Reason) {
	if why.Condition == jingle.Success {
		return
	}
	switch c := s.conn.(type) {
	case *net.TCPConn:
		_ = c.SetLinger(0)
	case *ibb.Stream:
		if se := refusal(why); se != nil {
			c.Abort(se)
		}
	}
}
