package turn

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"github.com/jingled/jingled/relay/turn/alloc"
)

const (
	dialTimeout = 25 * time.Second // RFC 6062 section 5.2 gives 30 for the answer
	pipeBuffer  = 32 << 10
)

// peerConn is a TCP connection to a peer (RFC 6062).
type peerConn struct {
	id    uint32
	shard *shard
	conn  *net.TCPConn
	early []byte // what the client sent right behind its ConnectionBind

	once sync.Once
	gone chan struct{}
}

// close ends both directions. The client's stream ends with them.
func (p *peerConn) close() {
	p.once.Do(func() {
		close(p.gone)
		p.conn.Close()
	})
}

// peerListener accepts peers of a TCP relay.
type peerListener struct {
	l      *net.TCPListener
	cancel context.CancelFunc
	ctx    context.Context // ends dials when the relay goes
}

// listenPeer opens a TCP relay (RFC 6062 section 5.1). TCP relays are few and off by default, so each may have a goroutine.
func (sh *shard) listenPeer(r *alloc.Relay) error {
	lc := net.ListenConfig{Control: reuse}
	ctx, cancel := context.WithCancel(context.Background())
	l, err := lc.Listen(ctx, "tcp", r.Bind.String())
	if err != nil {
		cancel()
		return err
	}
	pl := &peerListener{l: l.(*net.TCPListener), ctx: ctx, cancel: cancel}
	r.Attach = pl
	sh.srv.counts.wg.Go(func() { sh.acceptPeers(r, pl) })
	return nil
}

func (sh *shard) unlistenPeer(r *alloc.Relay) {
	if pl, ok := r.Attach.(*peerListener); ok {
		pl.l.Close()
		pl.cancel()
		r.Attach = nil
	}
}

func (sh *shard) acceptPeers(r *alloc.Relay, pl *peerListener) {
	for {
		c, err := pl.l.AcceptTCP()
		if err != nil {
			if isClosed(err) {
				return
			}
			// Out of file descriptors, or the like.
			select {
			case <-pl.ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		sh.mu.Lock()
		id, ok, effects := sh.table.Accepted(time.Now(), r, unmap(c.RemoteAddr().(*net.TCPAddr).AddrPort()))
		if ok {
			sh.peers[id] = &peerConn{id: id, shard: sh, conn: c, gone: make(chan struct{})}
			sh.perform(effects)
			sh.flush()
		}
		sh.mu.Unlock()
		if !ok {
			c.Close()
		}
	}
}

// dial connects to a peer, outside any loop (RFC 6062 section 5.2).
func (sh *shard) dial(e *alloc.Effect) {
	pl, ok := e.Relay.Attach.(*peerListener)
	if !ok {
		return
	}
	id, peer, local := e.Conn, e.Peer, e.Relay.Bind
	sh.srv.counts.wg.Go(func() {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(local), Control: reuse, Timeout: dialTimeout}
		c, err := d.DialContext(pl.ctx, "tcp", peer.String())
		sh.mu.Lock()
		defer sh.mu.Unlock()
		effects := sh.table.Dialed(time.Now(), id, err)
		if err == nil {
			if !sh.table.Live(id) {
				c.Close()
				return
			}
			sh.peers[id] = &peerConn{id: id, shard: sh, conn: c.(*net.TCPConn), gone: make(chan struct{})}
		}
		sh.perform(effects)
		sh.flush()
	})
}

// join gives the client's stream to the peer connection. The stream's reader sees it and starts the pipe.
func (sh *shard) join(id uint32, ft alloc.FiveTuple) {
	p, st := sh.peers[id], sh.streams[ft]
	if p == nil || st == nil {
		return
	}
	st.peer = p
}

// closePeer is the table's word that a peer connection is over.
func (sh *shard) closePeer(id uint32) {
	if p := sh.peers[id]; p != nil {
		delete(sh.peers, id)
		p.close()
	}
}

// pipe copies both ways until both have ended, or one failed. It runs on the stream's reader.
func (p *peerConn) pipe(st *stream) {
	// The answer to ConnectionBind comes first (RFC 6062 section 5.4).
	if !st.drained() {
		p.end()
		return
	}
	_ = st.conn.SetDeadline(time.Time{})
	stop := make(chan struct{})
	var watcher, back sync.WaitGroup
	watcher.Go(func() {
		// Whoever closes the peer connection closes the client's stream with it.
		select {
		case <-p.gone:
			st.conn.Close()
		case <-stop:
		}
	})
	back.Go(func() {
		if p.copy(st.conn, p.conn, nil, alloc.ToClient, st.srv.cfg.WriteTimeout) != nil {
			p.close()
			return
		}
		if cw, ok := st.conn.(interface{ CloseWrite() error }); !ok || cw.CloseWrite() != nil {
			p.close()
		}
	})
	if p.copy(p.conn, st.conn, p.early, alloc.ToPeer, st.srv.cfg.WriteTimeout) != nil || p.conn.CloseWrite() != nil {
		p.close()
	}
	back.Wait()
	close(stop)
	watcher.Wait()
	p.end()
}

// end tells the table.
func (p *peerConn) end() {
	p.close()
	sh := p.shard
	sh.mu.Lock()
	sh.perform(sh.table.ConnClosed(time.Now(), p.id))
	sh.flush()
	sh.mu.Unlock()
}

// copy moves bytes one way and accounts them. nil means that src ended.
func (p *peerConn) copy(dst, src net.Conn, early []byte, d alloc.Direction, timeout time.Duration) error {
	buf := make([]byte, pipeBuffer)
	for {
		n := len(early)
		var err error
		if n > 0 {
			n = copy(buf, early)
			early = early[n:]
		} else if n, err = src.Read(buf); n == 0 && err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		if err := p.account(d, n); err != nil {
			return err
		}
		_ = dst.SetWriteDeadline(time.Now().Add(timeout))
		if _, err := dst.Write(buf[:n]); err != nil {
			return err
		}
	}
}

// account charges n bytes and waits while the session is over its bandwidth: a stream loses nothing.
func (p *peerConn) account(d alloc.Direction, n int) error {
	for {
		p.shard.mu.Lock()
		ok, wait := p.shard.table.ConnData(time.Now(), p.id, d, n)
		p.shard.mu.Unlock()
		if !ok {
			return net.ErrClosed
		}
		if wait == 0 {
			return nil
		}
		select {
		case <-p.gone:
			return net.ErrClosed
		case <-time.After(wait):
		}
	}
}
