package xmppserver

import (
	"net"
	"sync"
	"time"
)

// outbox is what waits to be written to one client. Any goroutine may push; one writes.
type outbox struct {
	limit int
	cut   func() // breaks the connection; must not block

	mu     sync.Mutex
	buf    []byte
	closed bool
	broken bool          // the connection is to end without a word
	wake   chan struct{} // holds a token when there is something new
}

func newOutbox(limit int, cut func()) *outbox {
	return &outbox{limit: limit, cut: cut, wake: make(chan struct{}, 1)}
}

// push adds bytes to the queue and never blocks. A client whose queue is full is cut off: one that does not read must
// not hold up the others, nor fill the memory.
func (o *outbox) push(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	if len(o.buf)+len(b) > o.limit {
		o.breakLocked()
	} else {
		o.buf = append(o.buf, b...)
	}
	o.signal()
}

// breakOff ends the connection without a word, as a network does.
func (o *outbox) breakOff() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.breakLocked()
	o.signal()
}

func (o *outbox) breakLocked() {
	o.closed, o.broken, o.buf = true, true, nil
	o.cut()
}

func (o *outbox) isBroken() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.broken
}

// finish adds the last bytes. What is pushed later is lost.
func (o *outbox) finish(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.buf = append(o.buf, b...)
		o.closed = true
	}
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take returns what has been queued, and whether that was the last.
func (o *outbox) take(reuse []byte) (b []byte, last bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b, o.buf = o.buf, reuse[:0]
	return b, o.closed
}

// run writes until the queue is finished or the connection breaks.
func (o *outbox) run(c net.Conn, timeout time.Duration) error {
	var spare []byte
	for {
		<-o.wake
		b, last := o.take(spare)
		if len(b) > 0 {
			if err := c.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
				return err
			}
			if _, err := c.Write(b); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
		if spare = b; cap(spare) > 64<<10 {
			spare = nil // one large stanza does not hold its memory for ever
		}
	}
}
