package congestion

import (
	"math"
	"time"
)

const (
	// decrease is what is left of the rate that arrives when the path is overused.
	decrease = 0.85
	// increase is by how much the rate grows in a second while nothing is known of the path's limit.
	increase = 1.08
	// ahead bounds the rate to what was seen to arrive: a source that sends less says nothing about more.
	ahead = 1.5
)

// rate follows the delay (section 5.5 of the draft).
type rate struct {
	target   float64
	state    usage // normal stands for increasing, under for holding
	updated  time.Duration
	limit    float64 // where the path was overused, on average, or 0
	variance float64 // of that, relative to it
}

func (r *rate) update(now time.Duration, u usage, arrives float64, rtt time.Duration) {
	elapsed := min(max((now-r.updated).Seconds(), 0), 1)
	if r.updated == 0 {
		elapsed = 0
	}
	switch {
	case u == over:
		if r.state == over && now-r.updated < rtt+100*time.Millisecond {
			return // the peer has not seen the last decrease yet
		}
		if arrives > 0 {
			r.overused(arrives)
			r.target = min(r.target, decrease*arrives)
		} else {
			r.target *= decrease
		}
		r.state = over
	case u == under:
		r.state = under
	case r.state != normal:
		r.state = normal // held for once
	default:
		r.grow(elapsed, arrives, rtt)
	}
	r.updated = now
}

// overused learns where the limit is.
func (r *rate) overused(arrives float64) {
	const weight = 0.05
	if r.limit == 0 {
		r.limit = arrives
	}
	d := arrives - r.limit
	r.limit += weight * d
	r.variance = min(max((1-weight)*r.variance+weight*d*d/max(r.limit, 1), 400), 2500)
}

func (r *rate) grow(elapsed, arrives float64, rtt time.Duration) {
	deviation := math.Sqrt(r.variance * r.limit)
	if r.limit > 0 && arrives > r.limit+3*deviation {
		r.limit = 0 // the path has become wider
	}
	grown := r.target * math.Pow(increase, elapsed)
	if r.limit > 0 && arrives > r.limit-3*deviation {
		// Near the limit: half a packet in a response time.
		const packetBits = 1200 * 8
		grown = r.target + max(packetBits/2/(rtt.Seconds()+0.1), 4000)*elapsed
	}
	if arrives > 0 {
		grown = min(grown, ahead*arrives+10_000)
	}
	r.target = max(r.target, grown)
}

// loss follows what is lost (section 6 of the draft).
type loss struct {
	target      float64
	lost, total int
	since       time.Duration
}

const (
	lossWindow           = 300 * time.Millisecond
	lossPackets          = 10
	lossLow, lossHigh    = 0.02, 0.10
	lossIncrease, lossBy = 1.08, 0.5
)

func (l *loss) update(now time.Duration, lost, total int, byDelay float64) {
	l.lost, l.total = l.lost+lost, l.total+total
	if l.total < lossPackets || now-l.since < lossWindow {
		return
	}
	share := float64(l.lost) / float64(l.total)
	switch {
	case share > lossHigh:
		l.target = min(l.target, byDelay) * (1 - lossBy*share)
	case share < lossLow:
		l.target *= lossIncrease
	}
	l.lost, l.total, l.since = 0, 0, now
}
