package turn

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/jingled/jingled/relay/turn/alloc"
)

const (
	readBuffer   = 16 << 10
	maxRead      = 66 << 10 // the largest frame is 65,560 bytes
	maxOutput    = 512 << 10
	deadlineStep = time.Second
)

// stream is a client on TCP, TLS or DTLS. One goroutine reads, another writes when a direct write would block.
type stream struct {
	srv   *Server
	shard *shard
	conn  net.Conn
	tuple alloc.FiveTuple
	// direct writes without waiting; nil where the connection cannot.
	direct func([]byte) (int, error)
	// peer is set when an RFC 6062 connection takes the stream over. Guarded by the shard's lock.
	peer *peerConn

	mu      sync.Mutex
	cond    sync.Cond
	out     []byte
	sizes   []int // DTLS: lengths of the messages in out
	spare   []byte
	marked  bool // in shard.dirty
	writing bool
	closing bool // close when out is empty
	closed  bool
}

func newStream(s *Server, sh *shard, conn net.Conn, ft alloc.FiveTuple) *stream {
	st := &stream{srv: s, shard: sh, conn: conn, tuple: ft}
	st.cond.L = &st.mu
	if ft.Transport == alloc.TCP {
		st.direct = directWriter(conn)
	}
	return st
}

// serve reads until the stream ends. It returns when nothing of it is left.
func (st *stream) serve() {
	st.shard.mu.Lock()
	if st.shard.stopped || st.shard.streams[st.tuple] != nil {
		st.shard.mu.Unlock()
		st.conn.Close()
		return
	}
	st.shard.streams[st.tuple] = st
	st.shard.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(st.write)
	if st.tuple.Transport == alloc.DTLS {
		st.readMessages()
	} else {
		st.readFrames()
	}
	sh := st.shard
	sh.mu.Lock()
	delete(sh.streams, st.tuple)
	sh.perform(sh.table.ClientGone(time.Now(), st.tuple))
	peer := st.peer
	sh.flush()
	sh.mu.Unlock()
	if peer != nil {
		peer.pipe(st)
	}
	st.mu.Lock()
	st.closed = true
	st.cond.Broadcast()
	st.mu.Unlock()
	st.conn.Close()
	wg.Wait()
}

// deadline moves the read deadline: a stream without an allocation must send whole messages, one with an allocation
// may be silent as long as it lives.
type deadline struct {
	st  *stream
	set time.Time
}

func (d *deadline) extend(now time.Time, by time.Duration) {
	if until := now.Add(by); until.Sub(d.set) > deadlineStep {
		d.set = until
		_ = d.st.conn.SetReadDeadline(until)
	}
}

// more decides after a read error: true means to go on reading.
func (d *deadline) more(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	sh := d.st.shard
	sh.mu.Lock()
	alive := sh.table.Lookup(d.st.tuple) != nil
	sh.mu.Unlock()
	if alive {
		d.extend(time.Now(), d.st.srv.cfg.IdleTimeout)
	}
	return alive
}

// readFrames reads TCP and TLS.
func (st *stream) readFrames() {
	buf := make([]byte, readBuffer)
	n := 0
	dl := deadline{st: st}
	dl.extend(time.Now(), st.srv.cfg.HandshakeTimeout)
	for {
		k, err := st.conn.Read(buf[n:])
		n += k
		if k > 0 {
			used, ferr := st.frames(buf[:n])
			if st.taken(buf[used:n]) {
				return
			}
			if ferr != nil {
				return
			}
			if used > 0 {
				dl.extend(time.Now(), st.srv.cfg.IdleTimeout)
			}
			full := n == len(buf)
			n = copy(buf, buf[used:n])
			if full && len(buf) < maxRead {
				buf = append(buf, make([]byte, maxRead-len(buf))...)
			}
		}
		if err != nil && !dl.more(err) {
			return
		}
	}
}

// readMessages reads DTLS, where a read is a message.
func (st *stream) readMessages() {
	buf := make([]byte, readBuffer)
	dl := deadline{st: st}
	dl.extend(time.Now(), st.srv.cfg.HandshakeTimeout)
	for {
		n, err := st.conn.Read(buf)
		if err == nil {
			st.message(buf[:n:n])
			dl.extend(time.Now(), st.srv.cfg.IdleTimeout)
			continue
		}
		// A record that cannot be read is the sender's loss; pion reports few others as temporary.
		if !dl.more(err) {
			return
		}
	}
}

// frames handles every whole frame in b and says how much of b they were.
func (st *stream) frames(b []byte) (used int, err error) {
	now := time.Now()
	sh := st.shard
	sh.mu.Lock()
	defer func() {
		st.shard.flush()
		st.shard.mu.Unlock()
	}()
	a := sh.table.Lookup(st.tuple)
	for st.peer == nil {
		n, err := alloc.Frame(b[used:])
		if err != nil || n == 0 {
			if err != nil {
				st.shard.table.Stats.DroppedMalformed++
			}
			return used, err
		}
		st.one(now, a, b[used:used+n:used+n])
		used += n
		if a == nil || a.Dead() {
			a = st.shard.table.Lookup(st.tuple)
		}
	}
	return used, nil
}

func (st *stream) message(b []byte) {
	st.shard.mu.Lock()
	st.one(time.Now(), st.shard.table.Lookup(st.tuple), b)
	st.shard.flush()
	st.shard.mu.Unlock()
}

// one handles one message with the shard's lock held. Afterwards another shard may own the stream, and its lock be held.
func (st *stream) one(now time.Time, a *alloc.Allocation, b []byte) {
	sh := st.shard
	switch sh.table.FromClient(now, a, b, &sh.route) {
	case alloc.Forward:
		sh.io.toPeer(&sh.route)
	case alloc.Control:
		effects := sh.table.Message(now, st.tuple, b)
		for i := range effects {
			if effects[i].Kind != alloc.EffectElsewhere {
				continue
			}
			if a != nil || !st.adopt(sh.srv.shards[effects[i].Shard]) {
				return
			}
			sh = st.shard
			effects = sh.table.Message(now, st.tuple, b)
			break
		}
		sh.perform(effects)
	case alloc.Drop:
	}
}

// adopt moves a stream without an allocation to the shard that its ticket or connection id names.
func (st *stream) adopt(to *shard) bool {
	from := st.shard
	delete(from.streams, st.tuple)
	from.flush()
	from.mu.Unlock()
	to.mu.Lock()
	st.shard = to
	if to.stopped || to.streams[st.tuple] != nil {
		st.finish()
		return false
	}
	to.streams[st.tuple] = st
	return true
}

// taken hands the rest of the input to the peer connection that took the stream over.
func (st *stream) taken(rest []byte) bool {
	st.shard.mu.Lock()
	defer st.shard.mu.Unlock()
	if st.peer == nil {
		return false
	}
	st.peer.early = append([]byte(nil), rest...)
	return true
}

// queue adds a message to the output, with the shard's lock held. Data is dropped when the client does not keep up; control
// messages have some more room.
func (st *stream) queue(head, payload []byte, pad int, control bool) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	size := len(head) + len(payload) + pad
	if st.closed || len(st.out)+size > maxOutput && (!control || len(st.out)+size > 2*maxOutput) {
		return false
	}
	st.out = append(append(st.out, head...), payload...)
	st.out = append(st.out, zeroPad[:pad]...)
	if st.tuple.Transport == alloc.DTLS {
		st.sizes = append(st.sizes, size)
	}
	if !st.marked {
		st.marked = true
		st.shard.dirty = append(st.shard.dirty, st)
	}
	return true
}

var zeroPad [4]byte

// flush writes what it can without waiting and leaves the rest to the writer.
func (st *stream) flush() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.marked = false
	if st.writing || st.closed || len(st.out) == 0 {
		return
	}
	if st.direct != nil {
		n, err := st.direct(st.out)
		if err == nil && n == len(st.out) {
			st.out = st.out[:0]
			return
		}
		st.out = st.out[:copy(st.out, st.out[n:])]
	}
	st.cond.Broadcast()
}

// finish closes the stream once its output is written.
func (st *stream) finish() {
	st.mu.Lock()
	st.closing = true
	st.cond.Broadcast()
	st.mu.Unlock()
}

// write is the writer: it takes all output that has gathered and writes it at once.
func (st *stream) write() {
	st.mu.Lock()
	defer st.mu.Unlock()
	for {
		for len(st.out) == 0 && !st.closed && !st.closing {
			st.cond.Wait()
		}
		if st.closed {
			return
		}
		if len(st.out) == 0 {
			st.conn.Close()
			st.closed = true
			return
		}
		out, sizes := st.out, st.sizes
		st.out, st.sizes, st.writing = st.spare[:0], nil, true
		st.mu.Unlock()
		_ = st.conn.SetWriteDeadline(time.Now().Add(st.srv.cfg.WriteTimeout))
		err := writeAll(st.conn, out, sizes)
		st.mu.Lock()
		st.writing = false
		st.spare = nil
		if cap(out) <= 64<<10 {
			st.spare = out
		}
		st.cond.Broadcast()
		if err != nil {
			st.closed = true
			st.conn.Close()
			return
		}
	}
}

// writeAll writes out, cut into messages when sizes are given.
func writeAll(w io.Writer, out []byte, sizes []int) error {
	if sizes == nil {
		_, err := w.Write(out)
		return err
	}
	for _, n := range sizes {
		if _, err := w.Write(out[:n]); err != nil {
			return err
		}
		out = out[n:]
	}
	return nil
}

// drained waits until everything queued is written. False: the stream is closed.
func (st *stream) drained() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	for (len(st.out) > 0 || st.writing) && !st.closed {
		st.cond.Wait()
	}
	return !st.closed
}

func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }
