package congestion

import "time"

// usage is what the delay says of the path.
type usage int

const (
	normal usage = iota
	over         // packets wait longer and longer
	under        // a queue empties
)

const (
	// burst is what is sent at once, and so cannot tell about the path (section 5.2 of the draft).
	burst = 5 * time.Millisecond
	// trendWindow is how many bursts the line is laid through.
	trendWindow = 20
	smoothing   = 0.9
	gain        = 4.0
	// The threshold adapts to paths whose delay varies by itself (section 5.4 of the draft).
	firstThreshold               = 12.5
	minThreshold, maxThreshold   = 6.0, 600.0
	thresholdUp, thresholdDown   = 0.0087, 0.039
	overuseTime, maxThresholdGap = 10.0, 15.0
	// gap is how long a pause makes what came before it say nothing.
	gap = time.Second
)

// trend tells whether packets wait longer and longer on the way: it lays a line through how much later than they were sent the
// bursts arrive. Milliseconds are its unit, as in the draft.
type trend struct {
	usage     usage
	threshold float64

	cur, prev  group
	points     []point
	sum        float64 // of the delays
	smooth     float64
	n          int
	first      time.Duration
	overFor    float64
	last       float64
	lastUpdate time.Duration
}

// group is a burst of packets.
type group struct {
	firstSent, sent, arrived time.Duration
	ok                       bool
}

type point struct{ at, delay float64 }

func newTrend() trend { return trend{threshold: firstThreshold} }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (t *trend) add(a arrival) {
	switch {
	case !t.cur.ok:
	case a.sent < t.cur.firstSent:
		return // it was overtaken
	case a.sent-t.cur.sent > gap || a.arrived < t.cur.arrived-gap || a.arrived-t.cur.arrived > gap:
		*t = trend{threshold: t.threshold} // a pause, or another clock
	case a.sent-t.cur.firstSent <= burst:
		t.cur.sent, t.cur.arrived = max(a.sent, t.cur.sent), max(a.arrived, t.cur.arrived)
		return
	default:
		if t.prev.ok {
			t.burst(milliseconds(t.cur.arrived-t.prev.arrived)-milliseconds(t.cur.sent-t.prev.sent), t.cur.arrived,
				milliseconds(t.cur.sent-t.prev.sent))
		}
		t.prev = t.cur
	}
	t.cur = group{a.sent, a.sent, a.arrived, true}
}

// burst takes by how much more a burst was late than the one before, when it arrived, and how long after the other it was sent.
func (t *trend) burst(later float64, at time.Duration, apart float64) {
	if t.n == 0 {
		t.first = at
	}
	t.n++
	t.sum += later
	t.smooth = smoothing*t.smooth + (1-smoothing)*t.sum
	t.points = append(t.points, point{milliseconds(at - t.first), t.smooth})
	if len(t.points) > trendWindow {
		t.points = append(t.points[:0], t.points[1:]...)
	}
	if len(t.points) < trendWindow {
		return
	}
	slope, ok := slope(t.points)
	if !ok {
		return
	}
	t.detect(slope*float64(min(t.n, 60))*gain, at, apart)
}

// slope is that of the line of least squares.
func slope(points []point) (float64, bool) {
	var x, y float64
	for _, p := range points {
		x, y = x+p.at, y+p.delay
	}
	x, y = x/float64(len(points)), y/float64(len(points))
	var top, bottom float64
	for _, p := range points {
		top += (p.at - x) * (p.delay - y)
		bottom += (p.at - x) * (p.at - x)
	}
	return top / bottom, bottom > 0
}

func (t *trend) detect(m float64, at time.Duration, apart float64) {
	switch {
	case m > t.threshold:
		t.overFor += apart
		if t.overFor > overuseTime && m >= t.last {
			t.overFor, t.usage = 0, over
		}
	case m < -t.threshold:
		t.overFor, t.usage = 0, under
	default:
		t.overFor, t.usage = 0, normal
	}
	t.last = m
	if m < 0 {
		m = -m
	}
	if m <= t.threshold+maxThresholdGap {
		k := thresholdUp
		if m < t.threshold {
			k = thresholdDown
		}
		t.threshold += k * (m - t.threshold) * min(milliseconds(at-t.lastUpdate), 100)
		t.threshold = min(max(t.threshold, minThreshold), maxThreshold)
	}
	t.lastUpdate = at
}
