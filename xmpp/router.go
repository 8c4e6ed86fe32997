package xmpp

import (
	"sync"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// router matches the replies to our requests. A reply counts only if it has the id and comes from whom was asked
// (RFC 6120 section 8.1.2.1): anybody can send a result with an id that has leaked.
type router struct {
	limit int

	mu   sync.Mutex
	open map[string]*request
}

type request struct {
	to    jid.JID // "": our server
	done  func(reply *xmltree.Element, err error)
	timer *time.Timer
}

func newRouter(limit int) *router {
	return &router{limit: limit, open: make(map[string]*request)}
}

// add registers a request before it is sent. done is called exactly once unless remove returns true: with the reply,
// ErrTimeout, or what failAll says. It must not block.
func (r *router) add(id string, to jid.JID, timeout time.Duration, done func(*xmltree.Element, error)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.open) >= r.limit {
		return ErrQueueFull
	}
	q := &request{to: to, done: done}
	r.open[id] = q
	q.timer = time.AfterFunc(timeout, func() {
		if r.remove(id) {
			done(nil, ErrTimeout)
		}
	})
	return nil
}

// remove forgets a request. It reports whether it was still open.
func (r *router) remove(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.open[id]
	if q == nil {
		return false
	}
	q.timer.Stop()
	delete(r.open, id)
	return true
}

// match takes a reply. from is "" if the stanza names no sender; me is our full address.
func (r *router) match(id string, from, me jid.JID, reply *xmltree.Element, err error) bool {
	r.mu.Lock()
	q := r.open[id]
	if q == nil || !mayAnswer(q.to, from, me) {
		r.mu.Unlock()
		return false
	}
	q.timer.Stop()
	delete(r.open, id)
	r.mu.Unlock()
	q.done(reply, err)
	return true
}

// mayAnswer reports whether a reply from this sender can be one to a request to this address.
func mayAnswer(to, from, me jid.JID) bool {
	if from == to && to != "" {
		return true
	}
	switch to {
	case "", me.Bare():
		// Our server answers for the account (RFC 6120 section 10.3.3), and servers differ in which name they use for
		// that. None of these names can be had by anybody else.
		return from == "" || from == me.Bare() || from == me || from == jid.JID(me.Domain())
	case jid.JID(me.Domain()), me:
		return from == "" // only our server can leave the sender out
	}
	return false
}

// failAll ends every open request.
func (r *router) failAll(err error) {
	r.mu.Lock()
	open := r.open
	r.open = make(map[string]*request)
	r.mu.Unlock()
	for _, q := range open {
		q.timer.Stop()
		q.done(nil, err)
	}
}
