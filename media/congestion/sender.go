// Package congestion estimates at the sender how much a path takes, by when and whether its packets have arrived: Google's congestion
// control (draft-ietf-rmcat-gcc-02, with the trendline filter that came after it) over the feedback of transport-wide congestion
// control (draft-holmer-rmcat-transport-wide-cc-extensions-01).
//
// A [Sender] is a function of what it is given: it has neither a clock nor a goroutine.
package congestion

import (
	"iter"
	"time"

	"github.com/pion/rtcp"
)

// Config bounds the estimate, in bit/s.
type Config struct {
	// Start is the estimate before anything is known; Min and Max are what it never leaves.
	Start, Min, Max int
}

// Sender is the sending side of one transport. It is not safe for concurrent use.
type Sender struct {
	cfg   Config
	next  uint16
	sent  [history]packet
	trend trend
	rate  rate
	loss  loss
	acked meter
	begun bool  // feedback has come
	last  int64 // the reference time of the last feedback, unwrapped, in its units
	rtt   time.Duration
}

// history is how many packets feedback can be about; a power of two. It is 8 seconds at 4 Mbit/s and 2000 bytes a packet.
const history = 2048

type packet struct {
	seq  uint16
	size int // 0 once it was reported
	at   time.Duration
}

// arrival is a packet that the peer has seen, with its own clock.
type arrival struct {
	sent, arrived time.Duration
	size          int
}

// NewSender returns the sender of a transport.
func NewSender(cfg Config) *Sender {
	return &Sender{cfg: cfg, rate: rate{target: float64(cfg.Start)}, loss: loss{target: float64(cfg.Max)}, trend: newTrend()}
}

// Sent says that a packet of size bytes goes out, and returns the number that it goes with.
func (s *Sender) Sent(now time.Duration, size int) uint16 {
	seq := s.next
	s.next++
	s.sent[seq%history] = packet{seq, max(size, 1), now}
	return seq
}

// Bitrate returns the estimate, and false if the peer has reported nothing yet.
func (s *Sender) Bitrate() (bps int, known bool) {
	return int(min(max(min(s.rate.target, s.loss.target), float64(s.cfg.Min)), float64(s.cfg.Max))), s.begun
}

const (
	referenceUnit = 64 * time.Millisecond
	referenceBits = 24
)

// Feedback takes what the peer reports. Numbers that were never sent, or were reported before, do not count.
func (s *Sender) Feedback(now time.Duration, f *rtcp.TransportLayerCC) {
	arrivals, lost := s.match(f)
	if len(arrivals)+lost == 0 {
		return
	}
	s.begun = true
	for _, a := range arrivals {
		s.rtt = now - a.sent
		s.acked.add(a.arrived, a.size)
		s.trend.add(a)
	}
	bounds := func(v *float64) { *v = min(max(*v, float64(s.cfg.Min)), float64(s.cfg.Max)) }
	s.rate.update(now, s.trend.usage, s.acked.bitrate(), s.rtt)
	bounds(&s.rate.target)
	s.loss.update(now, lost, lost+len(arrivals), s.rate.target)
	bounds(&s.loss.target)
}

// match finds the packets that feedback is about: those that have arrived, and how many have not.
func (s *Sender) match(f *rtcp.TransportLayerCC) (arrivals []arrival, lost int) {
	at, seq, deltas := s.reference(f.ReferenceTime), f.BaseSequenceNumber, f.RecvDeltas
	for symbol := range symbols(f) {
		received := symbol != rtcp.TypeTCCPacketNotReceived
		if received {
			if len(deltas) == 0 {
				break // it is cut off
			}
			at += time.Duration(deltas[0].Delta) * time.Microsecond
			deltas = deltas[1:]
		}
		p := &s.sent[seq%history]
		known := p.size > 0 && p.seq == seq
		seq++
		switch {
		case !known:
			continue
		case received:
			arrivals = append(arrivals, arrival{p.at, at, p.size})
		default:
			lost++
		}
		p.size = 0
	}
	return arrivals, lost
}

// reference is the time on the peer's clock from which feedback counts. It has 24 bits and comes round after twelve days.
func (s *Sender) reference(units uint32) time.Duration {
	step := int64(units) - s.last&(1<<referenceBits-1)
	if step < -1<<(referenceBits-1) {
		step += 1 << referenceBits
	}
	s.last += step
	return time.Duration(s.last) * referenceUnit
}

// symbols are what feedback says of one packet after the other, without the padding of the last chunk.
func symbols(f *rtcp.TransportLayerCC) iter.Seq[uint16] {
	return func(yield func(uint16) bool) {
		left := int(f.PacketStatusCount)
		for _, c := range f.PacketChunks {
			n, symbol := 0, func(int) uint16 { return 0 }
			switch c := c.(type) {
			case *rtcp.RunLengthChunk:
				n, symbol = int(c.RunLength), func(int) uint16 { return c.PacketStatusSymbol }
			case *rtcp.StatusVectorChunk:
				n, symbol = len(c.SymbolList), func(i int) uint16 { return c.SymbolList[i] }
			}
			n = min(n, left)
			left -= n
			for i := range n {
				if !yield(symbol(i)) {
					return
				}
			}
		}
	}
}

// meter is the rate at which packets arrive, over half a second of the peer's clock.
type meter struct {
	packets []arrival
	bytes   int
}

const (
	meterWindow = 500 * time.Millisecond
	maxMetered  = 4096
)

func (m *meter) add(at time.Duration, size int) {
	m.packets = append(m.packets, arrival{arrived: at, size: size})
	m.bytes += size
	drop := 0
	for drop < len(m.packets)-1 && (at-m.packets[drop].arrived > meterWindow || len(m.packets)-drop > maxMetered) {
		m.bytes -= m.packets[drop].size
		drop++
	}
	m.packets = append(m.packets[:0], m.packets[drop:]...)
}

// bitrate returns 0 while too little is known.
func (m *meter) bitrate() float64 {
	if len(m.packets) < 10 {
		return 0
	}
	span := m.packets[len(m.packets)-1].arrived - m.packets[0].arrived
	if span < meterWindow/4 {
		return 0
	}
	return float64(m.bytes-m.packets[0].size) * 8 / span.Seconds()
}
