package playout

import (
	"slices"
	"time"
)

// jitter measures how much later than the fastest ones packets come, and from that the delay to aim for.
type jitter struct {
	// base is the smallest transit (arrival minus media time) of the last seconds, by second: a change of route or a
	// drifting clock is followed within that time.
	base  [10]time.Duration
	slot  int64
	lates [256]time.Duration // ring of transit minus base
	n     int
	sort  [256]time.Duration
	aim   time.Duration
}

// quantile is the share of packets that the delay is long enough for.
const quantile = 0.97

// add takes a packet's transit time at the time now; both have any origin.
func (j *jitter) add(now, transit time.Duration) {
	slot := int64(now / time.Second)
	if j.n == 0 {
		for i := range j.base {
			j.base[i] = transit
		}
		j.slot = slot
	}
	for ; j.slot < slot; j.slot++ {
		if slot-j.slot > int64(len(j.base)) {
			j.slot = slot - int64(len(j.base))
		}
		j.base[(j.slot+1)%int64(len(j.base))] = transit
	}
	if b := &j.base[slot%int64(len(j.base))]; transit < *b {
		*b = transit
	}
	j.lates[j.n%len(j.lates)] = transit - j.fastest()
	j.n++
	// Sorting at each packet would be a waste; a sudden rise must count at once.
	if late := j.lates[(j.n-1)%len(j.lates)]; j.n < 32 || j.n%25 == 0 || late > j.aim {
		k := min(j.n, len(j.lates))
		s := j.sort[:copy(j.sort[:], j.lates[:k])]
		slices.Sort(s)
		j.aim = s[min(k-1, int(quantile*float64(k)))]
	}
}

// fastest is the transit time that the delay is counted from.
func (j *jitter) fastest() time.Duration { return slices.Min(j.base[:]) }

// reset forgets the transit times, whose origin has changed, but not how uneven they were.
func (j *jitter) reset() { j.n = 0 }
