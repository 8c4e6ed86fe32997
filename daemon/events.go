package daemon

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

// ErrSlowReader ends a subscription whose reader did not keep up.
var ErrSlowReader = errors.New("the reader of events is too slow and was cut off")

const (
	ringSize   = 4096 // events that can be replayed
	readerSize = 1024 // events that may wait for one reader
)

// hub numbers events, keeps the last of them and hands them to every subscriber. It never waits for one.
type hub struct {
	instance string // of this run; set once

	mu   sync.Mutex
	seq  uint64
	ring []*jingledv1.Event // the newest is the last
	subs map[*Subscription]struct{}
}

// Subscription is one reader of events.
type Subscription struct {
	hub    *hub
	events chan *jingledv1.Event
	slow   bool
	closed func()
}

// publish stamps an event and hands it out. The event must not be changed afterwards.
func (h *hub) publish(e *jingledv1.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	e.Seq, e.Time = h.seq, timestamppb.New(time.Now())
	if len(h.ring) == ringSize {
		h.ring = append(h.ring[:0:0], h.ring[ringSize/4:]...)
	}
	h.ring = append(h.ring, e)
	for s := range h.subs {
		select {
		case s.events <- e:
		default:
			s.slow = true
			h.drop(s)
		}
	}
}

// drop ends a subscription; h.mu is held.
func (h *hub) drop(s *Subscription) {
	if _, ok := h.subs[s]; ok {
		delete(h.subs, s)
		close(s.events)
	}
}

// subscribe begins with a Hello, then what came after since, if since is not 0.
func (h *hub) subscribe(since uint64, closed func()) *Subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	var replay []*jingledv1.Event
	if since > 0 {
		oldest := h.seq + 1 - uint64(len(h.ring))
		if since > h.seq {
			since = 0 // of a daemon before this one: all that is here is new to the reader
		}
		if since+1 < oldest || since == 0 {
			replay = append(replay, &jingledv1.Event{Seq: oldest - 1, Time: timestamppb.New(time.Now()),
				Body: &jingledv1.Event_Gap{Gap: &jingledv1.Gap{}}})
			since = oldest - 1
		}
		if since < h.seq {
			replay = append(replay, h.ring[len(h.ring)-int(h.seq-since):]...)
		}
	}
	s := &Subscription{hub: h, events: make(chan *jingledv1.Event, readerSize+len(replay)+1), closed: closed}
	s.events <- &jingledv1.Event{Seq: h.seq, Time: timestamppb.New(time.Now()),
		Body: &jingledv1.Event_Hello{Hello: &jingledv1.Hello{Instance: h.instance}}}
	for _, e := range replay {
		s.events <- e
	}
	if h.subs == nil {
		h.subs = make(map[*Subscription]struct{})
	}
	h.subs[s] = struct{}{}
	return s
}

// Next waits for the next event. It returns ErrSlowReader after a cut, and the context's cause when that ends.
func (s *Subscription) Next(ctx context.Context) (*jingledv1.Event, error) {
	select {
	case e, ok := <-s.events:
		if ok {
			return e, nil
		}
		s.hub.mu.Lock()
		defer s.hub.mu.Unlock()
		if s.slow {
			return nil, ErrSlowReader
		}
		return nil, context.Canceled
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Close ends the subscription, and with it what it let in.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	s.hub.drop(s)
	closed := s.closed
	s.closed = nil
	s.hub.mu.Unlock()
	if closed != nil {
		closed()
	}
}
