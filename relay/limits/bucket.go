package limits

import (
	"sync/atomic"
	"time"
)

// bucket is a token bucket without a lock: tat is the time at which it would be empty of debt (the theoretical
// arrival time of the generic cell rate algorithm, ITU-T I.371).
type bucket struct {
	tat atomic.Int64 // unix nanoseconds
}

// take reports whether n bytes fit into rate bytes per second at the time now. rate <= 0 is no limit.
func (b *bucket) take(now, rate int64, n int) bool {
	if rate <= 0 {
		return true
	}
	cost := int64(float64(n) * (float64(time.Second) / float64(rate)))
	for {
		old := b.tat.Load()
		next := max(old, now-int64(burst)) + cost
		if next > now {
			return false
		}
		if b.tat.CompareAndSwap(old, next) {
			return true
		}
	}
}
