package xmpp

import "sync"

// outbox is the queue before the writer: the text of the stanzas that wait to be sent.
type outbox struct {
	limits Limits

	mu     sync.Mutex
	buf    []byte
	spare  []byte // the buffer that was written last
	count  int
	ending bool
	wake   chan struct{} // holds one token
}

func newOutbox(l Limits) *outbox {
	return &outbox{limits: l, wake: make(chan struct{}, 1)}
}

// put queues the text of a stanza. It never waits.
func (o *outbox) put(stanza []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.ending:
		return ErrOffline
	case o.count >= o.limits.Outbox || len(o.buf)+len(stanza) > o.limits.OutboxBytes:
		return ErrQueueFull
	}
	o.buf = append(o.buf, stanza...)
	o.count++
	o.signal()
	return nil
}

// end queues the end of the stream; nothing can be queued after it.
func (o *outbox) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.ending {
		o.ending = true
		o.buf = append(o.buf, "</stream:stream>"...)
		o.signal()
	}
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take returns everything that waits, valid until the next call, and whether the stream ends with it.
func (o *outbox) take() (buf []byte, last bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	buf = o.buf
	o.buf, o.count = o.spare[:0], 0
	if o.spare = buf; cap(buf) > 256<<10 {
		o.spare = nil
	}
	return buf, o.ending
}
