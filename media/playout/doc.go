// Package playout turns packets that arrive when they like into sound that goes on without a break.
//
// [Buffer] is the pure core: it orders packets, measures how unevenly they come, and decides for each step what is
// played: a packet, a substitute for a lost one, a packet made longer or shorter. Times are arguments.
// [Player] drives it with a decoder, and makes frames of 20 ms.
package playout

import "time"

// Packet is an RTP packet of one stream.
type Packet struct {
	Seq       uint16
	Timestamp uint32
	// Duration is the length of what is in it; 0 for a packet that takes a place in the sequence but is not sound,
	// such as a telephone-event.
	Duration time.Duration
	// Payload is kept until it is played; the caller must not change it.
	Payload []byte
}

// Kind is what is to be played next.
type Kind uint8

// The kinds of steps.
const (
	// Silence: nothing has come yet, or the peer has paused.
	Silence Kind = iota
	// Play is a packet as it is.
	Play
	// PlayLonger is a packet that is to be stretched by half, so that the delay grows.
	PlayLonger
	// PlayShorter is a packet that is to be shortened by half, so that the delay shrinks.
	PlayShorter
	// Lost is sound that is missing for good; Next may help to recover it.
	Lost
	// Late is sound that should be here and may come yet: time does not go on in the stream.
	Late
)

// Step is what is to be played next.
type Step struct {
	Kind Kind
	// Packet is set for the kinds Play.
	Packet Packet
	// Duration is how long the step is, before it is stretched or shortened.
	Duration time.Duration
	// Next is the payload right after what is [Lost], or nil.
	Next []byte
}

// Config has the limits of a buffer. Zero values are the defaults.
type Config struct {
	// ClockRate of the RTP timestamps in Hz; 48000.
	ClockRate int
	// MinDelay and MaxDelay bound the delay that the buffer aims for; 20 ms and 400 ms.
	MinDelay, MaxDelay time.Duration
	// Capacity is how many packets are kept; 128.
	Capacity int
}

func (c Config) withDefaults() Config {
	if c.ClockRate <= 0 {
		c.ClockRate = 48000
	}
	if c.MinDelay <= 0 {
		c.MinDelay = 20 * time.Millisecond
	}
	if c.MaxDelay <= 0 {
		c.MaxDelay = 400 * time.Millisecond
	}
	c.MaxDelay = max(c.MaxDelay, c.MinDelay)
	if c.Capacity <= 0 {
		c.Capacity = 128
	}
	return c
}
