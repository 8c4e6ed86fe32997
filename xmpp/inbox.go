package xmpp

import (
	"sync"

	"github.com/jingled/jingled/jid"
)

// inbox is the queue before the dispatcher. What others send is bounded, as a whole and for each sender; what comes
// from ourselves (replies to our requests, which are bounded by the router, changes of state) always fits.
type inbox struct {
	limits Limits

	mu     sync.Mutex
	events []event
	places quota // of bounded events, those included that the dispatcher works on
	bytes  int
	wake   chan struct{} // holds one token
	closed bool
}

type event struct {
	run    func()
	sender jid.JID
	size   int // 0: not bounded
}

func newInbox(l Limits, own jid.JID) *inbox {
	return &inbox{limits: l, places: newQuota(l.Inbox, own), wake: make(chan struct{}, 1)}
}

// post queues what always fits. false means that nobody will run it any more.
func (b *inbox) post(run func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.put(event{run: run})
}

// offer queues a stanza of others. false means that there is no room for it.
func (b *inbox) offer(sender jid.JID, size int, run func()) bool {
	size = max(size, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.bytes+size > b.limits.InboxBytes || !b.places.take(sender) {
		return false
	}
	b.bytes += size
	return b.put(event{run, sender, size})
}

func (b *inbox) put(e event) bool {
	if b.closed {
		return false
	}
	b.events = append(b.events, e)
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return true
}

// drain is the dispatcher: it runs events one by one until close, and then what is left.
func (b *inbox) drain() {
	var batch []event
	for {
		b.mu.Lock()
		batch, b.events = b.events, batch[:0]
		closed := b.closed
		b.mu.Unlock()
		if len(batch) == 0 {
			if closed {
				return
			}
			<-b.wake
			continue
		}
		for i := range batch {
			e := batch[i]
			batch[i] = event{}
			e.run()
			if e.size > 0 {
				b.done(e)
			}
		}
		if cap(batch) > 4096 {
			batch = nil
		}
	}
}

func (b *inbox) done(e event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= e.size
	b.places.give(e.sender)
}

func (b *inbox) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}
