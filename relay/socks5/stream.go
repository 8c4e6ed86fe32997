package socks5

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	pacedChunk = 64 << 10 // what a stream with a rate moves between two looks at the clock
	pacedPiece = 2048     // what is charged at once: limits promise to let this much through
	pacedPause = 5 * time.Millisecond
)

// stream is two joined connections. Each direction is one io.Copy between TCP connections, which on Linux is
// splice(2): data does not enter this process.
type stream struct {
	s                         *Server
	id                        uint64
	user                      string
	target, requester         *net.TCPConn
	targetAddr, requesterAddr netip.AddrPort
	targetHead, requesterHead uint64 // bytes of their handshakes
	hold                      Hold
	created                   time.Time

	toTarget, toRequester atomic.Uint64 // what finished copies have moved
	done                  atomic.Bool

	mu       sync.Mutex // guards what follows
	reason   EndReason  // "" while it runs
	active   time.Time  // when progress was last seen
	progress uint64     // what was seen then
	counted  uint64     // bytes that are in the server's total
}

func (st *stream) run() {
	if o := st.s.cfg.Observer; o != nil {
		o.Started(st.info())
	}
	var wg sync.WaitGroup
	wg.Go(func() { st.copy(st.target, st.requester, &st.toTarget) })
	st.copy(st.requester, st.target, &st.toRequester)
	wg.Wait()
	st.end(EndFinished)
	st.done.Store(true)
	if st.hold != nil {
		st.hold.End()
	}
	st.s.mu.Lock()
	delete(st.s.streams, st.id)
	st.s.mu.Unlock()
	st.count()
	i := st.info()
	if o := st.s.cfg.Observer; o != nil {
		st.mu.Lock()
		reason := st.reason
		st.mu.Unlock()
		o.Ended(i, reason)
	}
}

// copy moves one direction until its end, and passes the end on: a half-closed stream goes on the other way.
func (st *stream) copy(dst, src *net.TCPConn, moved *atomic.Uint64) {
	var err error
	if kernelCounts && st.s.cfg.MaxBytes == 0 && (st.hold == nil || !st.hold.Limited()) {
		var n int64
		n, err = io.Copy(dst, src)
		moved.Add(uint64(n))
	} else {
		err = st.copyPaced(dst, src, moved)
	}
	switch {
	case err == nil:
		_ = dst.CloseWrite()
	case errors.Is(err, errTooMuch):
		st.end(EndMaxBytes)
	default:
		st.end(EndBroken)
	}
}

var errTooMuch = errors.New("socks5: the stream has carried its limit")

func (st *stream) copyPaced(dst, src *net.TCPConn, moved *atomic.Uint64) error {
	limit := st.s.cfg.MaxBytes
	for {
		chunk := int64(pacedChunk)
		if limit > 0 {
			left := limit - int64(moved.Load())
			if left <= 0 {
				var one [1]byte // the limit may be reached exactly: only more is too much
				if n, err := src.Read(one[:]); n == 0 {
					if errors.Is(err, io.EOF) {
						return nil
					}
					return err
				}
				return errTooMuch
			}
			chunk = min(chunk, left)
		}
		n, err := move(dst, src, chunk)
		moved.Add(uint64(n))
		if st.hold != nil {
			st.pace(int(n))
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// pace waits until the limits allow what has been moved. The sender feels it as TCP's own back-pressure.
func (st *stream) pace(n int) {
	for n > 0 {
		piece := min(n, pacedPiece)
		for !st.hold.Charge(time.Now(), piece) {
			if st.ended() {
				return
			}
			time.Sleep(pacedPause)
		}
		n -= piece
	}
}

func (st *stream) ended() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.reason != ""
}

// end closes both connections. The first reason stays.
func (st *stream) end(r EndReason) {
	st.mu.Lock()
	first := st.reason == ""
	if first {
		st.reason = r
	}
	st.mu.Unlock()
	if first {
		st.target.Close()
		st.requester.Close()
	}
}

// check ends the stream if it has been idle or has lasted too long. Progress is what the kernel has received from
// both sides and got acknowledged by both: a receiver that stopped reading is idle however much waits for it.
func (st *stream) check(now time.Time) {
	st.count()
	p := st.seen()
	st.mu.Lock()
	if p != st.progress {
		st.progress, st.active = p, now
	}
	idle := now.Sub(st.active) > st.s.cfg.IdleTimeout
	st.mu.Unlock()
	if idle {
		st.end(EndIdle)
	} else if now.Sub(st.created) > st.s.cfg.MaxAge {
		st.end(EndMaxAge)
	}
}

func (st *stream) seen() uint64 {
	r1, a1, ok1 := tcpBytes(st.requester)
	r2, a2, ok2 := tcpBytes(st.target)
	if ok1 && ok2 {
		return r1 + a1 + r2 + a2
	}
	return st.toTarget.Load() + st.toRequester.Load()
}

// count adds what has been relayed since the last time to the server's total, which never falls.
func (st *stream) count() {
	i := st.info()
	st.mu.Lock()
	defer st.mu.Unlock()
	if n := i.ToTarget + i.ToRequester; n > st.counted {
		st.s.bytes.Add(n - st.counted)
		st.counted = n
	}
}

// info copies what is known. While the stream runs the kernel's numbers are taken, which may be ahead by what is on its
// way and by the end of stream, which counts as one.
func (st *stream) info() Info {
	i := Info{
		ID: st.id, User: st.user, Requester: st.requesterAddr, Target: st.targetAddr, Created: st.created,
		ToTarget: st.toTarget.Load(), ToRequester: st.toRequester.Load(),
	}
	if !st.done.Load() {
		if r, _, ok := tcpBytes(st.requester); ok {
			i.ToTarget = max(i.ToTarget, r-min(r, st.requesterHead))
		}
		if r, _, ok := tcpBytes(st.target); ok {
			i.ToRequester = max(i.ToRequester, r-min(r, st.targetHead))
		}
	}
	return i
}
