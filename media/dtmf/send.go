package dtmf

import (
	"fmt"
	"strings"
	"time"
)

// Packet is a telephone-event to be sent. The caller adds sequence number and SSRC, which it shares with the audio
// (RFC 4733 section 2.5.1.1).
type Packet struct {
	// Timestamp is that of the event's start, in all of its packets.
	Timestamp uint32
	// Marker is set in the first packet of an event.
	Marker bool
	// Event is the payload.
	Event Event
}

// endPackets is how often the end of an event is sent, so that it survives a loss (RFC 4733 section 2.5.1.4).
const endPackets = 3

// Sender turns keys into packets. While a key is down, and until its end has been said three times, its packets take
// the place of the audio.
type Sender struct {
	clock int
	gap   time.Duration
	queue []Key

	state    sendState
	key      Key
	start    uint32 // timestamp of the event
	length   uint32 // of the event, or of the gap, in clock units
	ends     int    // end packets sent
	began    bool
	gapStart uint32
}

type sendState uint8

const (
	idle sendState = iota
	keyDown
	ending
	waiting // for the gap or the pause to be over
)

// NewSender returns a sender for an RTP clock of so many Hz, e.g. 8000 or 48000. A gap of zero is [DefaultGap].
func NewSender(clock int, gap time.Duration) *Sender {
	if gap == 0 {
		gap = DefaultGap
	}
	return &Sender{clock: clock, gap: max(gap, MinGap)}
}

// Queue adds keys behind those that wait. Keys come from [Parse], or are checked like there.
func (s *Sender) Queue(keys ...Key) error {
	if len(s.queue)+len(keys) > MaxDigits {
		return fmt.Errorf("dtmf: more than %d keys are waiting to be sent", MaxDigits)
	}
	for _, k := range keys {
		switch {
		case k.Digit == Pause:
		case strings.IndexByte(Digits, k.Digit) < 0:
			return fmt.Errorf("dtmf: %q is no key", k.Digit)
		case k.Duration < MinDuration || k.Duration > MaxDuration:
			return fmt.Errorf("dtmf: a key is down for %v to %v, not %v", MinDuration, MaxDuration, k.Duration)
		}
	}
	s.queue = append(s.queue, keys...)
	return nil
}

// Busy reports whether keys are being sent or wait.
func (s *Sender) Busy() bool { return s.state != idle || len(s.queue) > 0 }

// Tick is called once for each frame of audio, with the frame's timestamp, before the frame is sent. If ok is set, the
// packet is sent in its place.
func (s *Sender) Tick(timestamp uint32) (p Packet, ok bool) {
	for {
		switch s.state {
		case idle:
			if len(s.queue) == 0 {
				return Packet{}, false
			}
			s.next(timestamp)
		case waiting:
			if timestamp-s.gapStart < s.length {
				return Packet{}, false
			}
			s.state = idle
		case keyDown:
			// The event lasts until the frame after this one starts. RFC 4733 section 2.5.1.2: the duration grows from
			// packet to packet.
			frame := uint32(s.clock / 50)
			so := timestamp - s.start + frame
			p = s.packet(so)
			p.Marker = !s.began
			s.began = true
			if so >= s.length {
				p = s.packet(s.length)
				p.Marker = s.length <= frame
				p.Event.End = true
				s.state, s.ends = ending, 1
			}
			return p, true
		case ending:
			if s.ends == endPackets {
				s.wait(timestamp, s.gap)
				continue
			}
			s.ends++
			p = s.packet(s.length)
			p.Event.End = true
			return p, true
		}
	}
}

func (s *Sender) next(timestamp uint32) {
	s.key, s.queue = s.queue[0], s.queue[1:]
	if s.key.Digit == Pause {
		s.wait(timestamp, PauseDuration)
		return
	}
	s.state, s.began, s.start, s.length = keyDown, false, timestamp, s.units(s.key.Duration)
}

func (s *Sender) wait(timestamp uint32, d time.Duration) {
	s.state, s.gapStart, s.length = waiting, timestamp, s.units(d)
}

func (s *Sender) units(d time.Duration) uint32 {
	return uint32(int64(d) * int64(s.clock) / int64(time.Second))
}

func (s *Sender) packet(duration uint32) Packet {
	return Packet{Timestamp: s.start, Event: Event{
		Code: uint8(strings.IndexByte(Digits, s.key.Digit)), Volume: s.key.Volume, Duration: uint16(min(duration, 0xffff)),
	}}
}
