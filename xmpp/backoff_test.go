package xmpp

import (
	"testing"
	"time"
)

// TestBackoff: waits double up to the most, are at most the limit of the moment, and have a random part of up to a half.
func TestBackoff(t *testing.T) {
	none := func(int64) int64 { return 0 }
	all := func(n int64) int64 { return n - 1 }
	b := backoff{cfg: Backoff{Min: time.Second, Max: time.Minute}}
	for i, c := range []struct {
		limit  time.Duration
		random func(int64) int64
		want   time.Duration
	}{
		{time.Minute, none, time.Second},
		{time.Minute, all, time.Second},
		{time.Minute, none, 4 * time.Second},
		{time.Minute, none, 8 * time.Second},
		{resumeMost, none, 10 * time.Second},
		{resumeMost, all, 5 * time.Second},
		{time.Minute, none, time.Minute}, // it has grown all the same
		{time.Millisecond, none, time.Second},
	} {
		if got := b.next(c.limit, c.random); got != c.want {
			t.Errorf("attempt %d: %v, want %v", i+1, got, c.want)
		}
	}
	if b.reset(); b.next(time.Minute, none) != time.Second {
		t.Error("it does not begin anew")
	}
}
