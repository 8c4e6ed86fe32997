package daemon

import (
	"context"
	"errors"
	"sync"
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

// numbered publishes n events whose account tells their number.
func numbered(h *hub, n int) {
	for range n {
		h.publish(&jingledv1.Event{Body: &jingledv1.Event_CallRinging{CallRinging: &jingledv1.CallRinging{}}})
	}
}

// take reads n events and returns the numbers.
func take(t *testing.T, s *Subscription, n int) []uint64 {
	t.Helper()
	var out []uint64
	for range n {
		e, err := s.Next(t.Context())
		if err != nil {
			t.Fatalf("after %v: %v", out, err)
		}
		out = append(out, e.GetSeq())
	}
	return out
}

// empty checks that nothing waits.
func empty(t *testing.T, s *Subscription) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if len(s.events) != 0 {
		e, err := s.Next(ctx)
		t.Errorf("more than expected: %v, %v", e, err)
	}
}

func TestEventsAreNumbered(t *testing.T) {
	var h hub
	numbered(&h, 3)
	s := h.subscribe(0, nil)
	defer s.Close()
	numbered(&h, 2)
	hello, err := s.Next(t.Context())
	if err != nil || hello.GetHello() == nil || hello.GetSeq() != 3 || hello.GetTime() == nil {
		t.Errorf("first %v, %v", hello, err)
	}
	if got := take(t, s, 2); got[0] != 4 || got[1] != 5 {
		t.Errorf("then %v", got)
	}
	empty(t, s)
}

func TestReplay(t *testing.T) {
	var h hub
	numbered(&h, 10)
	for _, c := range []struct {
		since uint64
		want  int // events replayed
		gap   bool
	}{{10, 0, false}, {9, 1, false}, {1, 9, false}, {0, 0, false},
		// Of a daemon before this one.
		{11, 10, true}, {1 << 60, 10, true}} {
		s := h.subscribe(c.since, nil)
		take(t, s, 1)
		if c.gap {
			if e, err := s.Next(t.Context()); err != nil || e.GetGap() == nil {
				t.Errorf("since %d: no gap but %v, %v", c.since, e, err)
			}
		}
		got := take(t, s, c.want)
		for i, seq := range got {
			if want := uint64(10 - c.want + i + 1); seq != want {
				t.Errorf("since %d: %v", c.since, got)
				break
			}
		}
		empty(t, s)
		s.Close()
	}
}

func TestGap(t *testing.T) {
	var h hub
	total := uint64(3*ringSize + 17)
	numbered(&h, int(total))
	s := h.subscribe(5, nil)
	defer s.Close()
	take(t, s, 1)
	gap, err := s.Next(t.Context())
	if err != nil || gap.GetGap() == nil {
		t.Fatalf("%v, %v", gap, err)
	}
	// What comes after the gap follows its number without another hole, to the last.
	at := gap.GetSeq()
	if kept := total - at; kept < ringSize/2 || kept > ringSize {
		t.Errorf("%d events are kept", kept)
	}
	for at < total {
		if seq := take(t, s, 1)[0]; seq != at+1 {
			t.Fatalf("%d after %d", seq, at)
		}
		at++
	}
	empty(t, s)
	// From a number that is just still there there is none.
	s2 := h.subscribe(gap.GetSeq(), nil)
	defer s2.Close()
	take(t, s2, 1)
	if e, err := s2.Next(t.Context()); err != nil || e.GetSeq() != gap.GetSeq()+1 || e.GetGap() != nil {
		t.Errorf("%v, %v", e, err)
	}
}

func TestSlowReaderIsCutOff(t *testing.T) {
	var h hub
	closed := false
	slow, quick := h.subscribe(0, func() { closed = true }), h.subscribe(0, nil)
	defer quick.Close()
	take(t, quick, 1)
	for range readerSize + 5 {
		numbered(&h, 1)
		take(t, quick, 1)
	}
	take(t, slow, readerSize) // what it was given before, in order
	var err error
	for range 5 {
		if _, err = slow.Next(t.Context()); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrSlowReader) {
		t.Errorf("%v", err)
	}
	if len(h.subs) != 1 {
		t.Errorf("%d subscriptions are left", len(h.subs))
	}
	slow.Close()
	slow.Close()
	if !closed {
		t.Error("the end of the subscription was not told")
	}
}

func TestManySubscribers(t *testing.T) {
	var h hub
	const readers, events = 100, 500
	var wg sync.WaitGroup
	var subs []*Subscription
	for range readers {
		s := h.subscribe(0, nil)
		subs = append(subs, s)
		wg.Go(func() {
			at := uint64(0)
			for at < events {
				e, err := s.Next(t.Context())
				if err != nil || (at > 0 && e.GetSeq() != at+1) {
					t.Errorf("%v, %v after %d", e, err, at)
					return
				}
				at = e.GetSeq()
			}
		})
	}
	var publishers sync.WaitGroup
	for range 5 {
		publishers.Go(func() { numbered(&h, events/5) })
	}
	publishers.Wait()
	wg.Wait()
	for _, s := range subs {
		s.Close()
		if _, err := s.Next(t.Context()); !errors.Is(err, context.Canceled) {
			t.Fatalf("after Close: %v", err)
		}
	}
	if len(h.subs) != 0 {
		t.Errorf("%d subscriptions are left", len(h.subs))
	}
}

func TestNextEndsWithItsContext(t *testing.T) {
	var h hub
	s := h.subscribe(0, nil)
	defer s.Close()
	take(t, s, 1)
	reason := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	if _, err := s.Next(ctx); !errors.Is(err, reason) {
		t.Error(err)
	}
}
