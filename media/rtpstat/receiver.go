// Package rtpstat counts what happens to RTP streams: loss and jitter by RFC 3550, round trips from RTCP, and an
// estimate of how it sounds by the E-model of ITU-T G.107. It is pure: times are arguments.
package rtpstat

import "time"

// Receiver keeps the statistics of one stream that comes in (RFC 3550 appendix A).
type Receiver struct {
	clock int

	began      bool
	base       int64 // extended sequence numbers
	highest    int64
	received   uint64
	bytes      uint64
	discounted int64 // expected before the stream restarted

	transit int64 // of the last packet, in clock units
	jitter  float64

	// As of the last report.
	expectedPrior, receivedPrior int64

	// From the peer's last sender report.
	lastSR uint32
	srAt   time.Duration
	haveSR bool
}

// NewReceiver returns statistics for a stream with this RTP clock in Hz.
func NewReceiver(clock int) *Receiver { return &Receiver{clock: max(clock, 1)} }

// maxDropout is the gap in the sequence that is still taken for loss (RFC 3550 appendix A.1).
const maxDropout = 3000

// Packet counts a packet that arrived at the time now, which has any origin. size is that of its payload in bytes. A
// packet whose timestamp is not the time of its sound, such as a telephone-event, does not count for jitter: timed is
// false.
func (r *Receiver) Packet(seq uint16, timestamp uint32, size int, timed bool, now time.Duration) {
	r.received++
	r.bytes += uint64(size)
	if !r.began {
		r.began, r.base, r.highest = true, int64(seq), int64(seq)
	} else {
		ext := r.highest + int64(int16(seq-uint16(r.highest)))
		if gap := ext - r.highest; gap > maxDropout || gap < -maxDropout {
			r.discounted += r.highest - r.base + 1
			r.base, r.highest, r.transit = ext, ext, 0
		}
		r.highest = max(r.highest, ext)
	}
	if !timed {
		return
	}
	// RFC 3550 section 6.4.1; the difference wraps as timestamps do.
	transit := int64(uint32(int64(now)*int64(r.clock)/int64(time.Second)) - timestamp)
	if r.transit != 0 {
		d := int64(int32(uint32(transit) - uint32(r.transit)))
		r.jitter += (float64(max(d, -d)) - r.jitter) / 16
	}
	r.transit = transit
}

// Received counts packets, also those that came twice.
func (r *Receiver) Received() uint64 { return r.received }

// Bytes counts those of the payloads.
func (r *Receiver) Bytes() uint64 { return r.bytes }

// Lost counts packets that are missing; what came twice makes up for it, as in RFC 3550.
func (r *Receiver) Lost() uint64 { return uint64(max(0, r.expected()-int64(r.received))) }

func (r *Receiver) expected() int64 {
	if !r.began {
		return 0
	}
	return r.discounted + r.highest - r.base + 1
}

// Jitter is the interarrival jitter.
func (r *Receiver) Jitter() time.Duration {
	return time.Duration(r.jitter * float64(time.Second) / float64(r.clock))
}

// SenderReport takes the NTP time of a sender report that arrived at the time now.
func (r *Receiver) SenderReport(ntp uint64, now time.Duration) {
	r.lastSR, r.srAt, r.haveSR = uint32(ntp>>16), now, true
}

// Report is a reception report block (RFC 3550 section 6.4.1).
type Report struct {
	FractionLost uint8
	TotalLost    uint32 // 24 bits
	HighestSeq   uint32
	Jitter       uint32
	LastSR       uint32
	Delay        uint32 // since that, in 1/65536 s
}

// Report makes the next report at the time now; ok is false if nothing came yet.
func (r *Receiver) Report(now time.Duration) (rep Report, ok bool) {
	if !r.began {
		return rep, false
	}
	expected, received := r.expected(), int64(r.received)
	de, dr := expected-r.expectedPrior, received-r.receivedPrior
	r.expectedPrior, r.receivedPrior = expected, received
	if lost := de - dr; de > 0 && lost > 0 {
		rep.FractionLost = uint8(min(255, lost*256/de))
	}
	rep.TotalLost = uint32(min(r.Lost(), 0x7fffff))
	rep.HighestSeq = uint32(r.highest)
	rep.Jitter = uint32(r.jitter)
	if r.haveSR {
		rep.LastSR = r.lastSR
		rep.Delay = uint32((now - r.srAt) * 65536 / time.Second)
	}
	return rep, true
}

// RoundTrip computes the round trip from a report about our stream that arrives at the time ntp, as NTP time; ok is
// false if the peer had no sender report of ours (RFC 3550 section 6.4.1).
func RoundTrip(lastSR, delay uint32, ntp uint64) (rtt time.Duration, ok bool) {
	if lastSR == 0 {
		return 0, false
	}
	d := int32(uint32(ntp>>16) - lastSR - delay)
	if d < 0 || d > 60<<16 { // clocks that were set, or a peer that makes it up
		return 0, false
	}
	return time.Duration(d) * time.Second / 65536, true
}

// NTP is the time as a 64-bit NTP timestamp (RFC 3550 section 4).
func NTP(t time.Time) uint64 {
	const epoch = 2208988800 // 1900 to 1970 in seconds
	return uint64(t.Unix()+epoch)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}
