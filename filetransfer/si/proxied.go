package si

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/jingled/jingled/filetransfer/s5b"
)

// otherGrace is how long a receiver waits for an in-band bytestream after a proxy has broken one that was agreed on.
const otherGrace = 15 * time.Second

// joined takes a connection to the streamhost that the requester is told of. s.mu is held, but not all the time.
//
// A proxy is not in use yet: the requester activates the stream there only now (XEP-0065 section 6.3.5), and a proxy may
// refuse that. ejabberd's has a number of streams for each user, and closes the connection. Whoever has offered an in-band
// bytestream, too, then opens one; what was broken counts as never opened.
func (s *session) joined(ctx context.Context, conn *net.TCPConn, used string) {
	missing := *orZero(s.driver.Transfer().File().Size) - s.from
	switch {
	case missing == 0:
		// Nothing will come, and who closes at once has gone before the requester can activate the stream at a proxy.
		s.mu.Unlock()
		_ = awaitEnd(ctx, conn)
		s.mu.Lock()
	case used != s.key.peer.String() && s.expected != nil:
		s.mu.Unlock()
		err := awaitBegin(ctx, conn)
		s.mu.Lock()
		if err != nil {
			_ = conn.Close()
			s.m.cfg.Log.Debug("SOCKS5 bytestream", "sid", s.key.id, "err", err)
			s.do(s.answering.StreamFailed(err))
			s.mu.Unlock()
			select {
			case <-time.After(otherGrace):
			case <-ctx.Done():
			}
			s.mu.Lock()
			if !s.over {
				s.do(s.answering.NoOther(err))
			}
			return
		}
	}
	s.opened(conn, s5b.NSBytestreams)
}

// awaitBegin waits until there is something to read, which it leaves there, or ctx is done. The error says that nothing will
// come. It is only waited for where one can look without reading.
func awaitBegin(ctx context.Context, c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_ = c.SetReadDeadline(time.Unix(1, 0))
	})
	var n int
	var looked error
	err = raw.Read(func(fd uintptr) (done bool) {
		n, done, looked = look(fd)
		return done
	})
	if !stop() {
		<-woken
		return c.SetReadDeadline(time.Time{})
	}
	switch {
	case err != nil:
		return err
	case looked != nil:
		return looked
	case n == 0:
		return io.ErrUnexpectedEOF
	}
	return nil
}

func orZero(n *int64) *int64 {
	if n == nil {
		return new(int64)
	}
	return n
}
