package xmpp

import (
	"slices"
	"sync"
	"time"

	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/sm"
)

// outbox is the queue before the writer: the text of the stanzas that wait to be sent. With stream management it outlives
// its connection: while that is away stanzas are kept, and what was not acknowledged is sent again.
type outbox struct {
	limits Limits
	sm     *sm.Stream // nil without stream management

	mu    sync.Mutex
	away  bool // there is no connection, but the stream may go on
	asked bool // the server owes us an acknowledgement
	owed  bool // we owe the server one
	later bool // somebody will wake the writer to ask
	// When we asked, and acknowledged, last.
	askedAt, ackedAt time.Time
	deaf             bool // it has not acknowledged anything since the stream was resumed, though asked to
	buf              []byte
	spare            []byte // the buffer that was written last
	count            int
	ending           bool
	accused          bool          // the server has been told that it is wrong: nothing but the end follows
	wake             chan struct{} // holds one token
}

func newOutbox(l Limits, s *sm.Stream) *outbox {
	return &outbox{limits: l, sm: s, wake: make(chan struct{}, 1)}
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
	if o.sm != nil {
		if n, bytes := o.sm.Waiting(); n >= o.limits.Outbox || bytes+len(stanza) > o.limits.OutboxBytes {
			return ErrQueueFull
		}
		o.sm.Sent(stanza)
	}
	if o.away {
		return nil
	}
	o.buf = append(o.buf, stanza...)
	o.count++
	o.signal()
	return nil
}

// putPlain queues what is no stanza. While there is no connection it is dropped.
func (o *outbox) putPlain(text []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending || o.away || len(o.buf)+len(text) > o.limits.OutboxBytes {
		return
	}
	o.buf = append(o.buf, text...)
	o.signal()
}

const (
	// ackDelay is how long an acknowledgement may wait for a stanza that it can go with. One record less, and see [record].
	ackDelay = 5 * time.Millisecond
	// ackPause is the least time between two acknowledgements, and between two requests for one: where much is said at once
	// they would cost the server as much as what is said.
	ackPause = 50 * time.Millisecond
)

// acknowledge tells the server soon what we have handled (XEP-0198 section 4).
func (o *outbox) acknowledge() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sm != nil && !o.owed && !o.away && !o.ending {
		o.owed = true
		time.AfterFunc(max(ackDelay, ackPause-time.Since(o.ackedAt)), o.signal)
	}
}

// manage adds what stream management has to say to what is being taken; o.mu is held.
func (o *outbox) manage() {
	if o.sm == nil || o.ending || o.away {
		return
	}
	now := time.Now()
	if n, _ := o.sm.Waiting(); n > 0 && !o.asked && !o.later {
		if rest := ackPause - now.Sub(o.askedAt); rest > 0 {
			o.later = true
			time.AfterFunc(rest, func() {
				o.mu.Lock()
				defer o.mu.Unlock()
				o.later = false
				o.signal()
			})
		} else {
			o.asked, o.askedAt = true, now
			o.buf = append(o.buf, "<r xmlns='"+sm.NS+"'/>"...)
		}
	}
	if o.owed && now.Sub(o.ackedAt) >= ackPause {
		o.owed, o.ackedAt = false, now
		o.buf = o.sm.Ack().AppendXML(o.buf, nsClient)
	}
}

// acknowledged takes the server's count.
func (o *outbox) acknowledged(h uint32) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sm == nil {
		return nil
	}
	o.asked, o.deaf = false, false
	err := o.sm.Acknowledge(h)
	if n, _ := o.sm.Waiting(); n > 0 {
		o.signal() // what is left is asked about again
	}
	return err
}

// suspend keeps what is not acknowledged until there is another connection.
func (o *outbox) suspend() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.away, o.asked, o.owed, o.buf, o.count = true, false, false, nil, 0
}

// resumed reads the server's answer to a request to resume the stream. Stanzas may be queued at the same time.
func (o *outbox) resumed(answer *xmltree.Element) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sm.Resumed(answer)
}

// unacknowledged returns what the server has not got, as far as we know.
func (o *outbox) unacknowledged() [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sm == nil {
		return nil
	}
	return slices.Clone(o.sm.Unacknowledged())
}

// resume sends again what the server has not got.
func (o *outbox) resume() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.away = false
	if n, _ := o.sm.Waiting(); n > 0 {
		// Asked before anything else, so that the answer does not wait for all that is sent again.
		o.asked, o.deaf = true, true
		o.buf = append(o.buf, "<r xmlns='"+sm.NS+"'/>"...)
	}
	for _, b := range o.sm.Unacknowledged() {
		o.buf = append(o.buf, b...)
		o.count++
	}
	o.signal()
}

// isDeaf reports whether the server has resumed the stream and does not hear us.
func (o *outbox) isDeaf() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.deaf
}

// end queues the end of the stream; nothing can be queued after it.
func (o *outbox) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.ending {
		o.ending = true
		if o.sm != nil && !o.accused {
			o.buf = o.sm.Ack().AppendXML(o.buf, nsClient) // so that nothing comes to us twice
		}
		o.buf = append(o.buf, "</stream:stream>"...)
		o.signal()
	}
}

// accuse tells the server in a stream error that its count is too high. The end of the stream follows.
func (o *outbox) accuse(h uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending {
		return
	}
	o.accused = true
	// With its namespace, as on a WebSocket no header declares it.
	o.buf = append(o.buf, "<stream:error xmlns:stream='"+nsStream+"'><undefined-condition xmlns='"+nsStreamErrs+"'/>"...)
	o.buf = append(o.sm.TooHigh(h).AppendXML(o.buf, nsClient), "</stream:error>"...)
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
	o.manage()
	buf = o.buf
	o.buf, o.count = o.spare[:0], 0
	if o.spare = buf; cap(buf) > 256<<10 {
		o.spare = nil
	}
	return buf, o.ending
}
