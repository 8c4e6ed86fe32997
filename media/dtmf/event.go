package dtmf

import (
	"encoding/binary"
	"fmt"
)

// Event is the payload of a telephone-event packet (RFC 4733 section 2.3).
type Event struct {
	// Code is the event, 0 to 15 for the keys of [Digits].
	Code uint8
	// End is set in the last packets of an event.
	End bool
	// Volume is as in [Key].
	Volume uint8
	// Duration is how long the event lasts so far, in units of the RTP clock.
	Duration uint16
}

// EventSize is the length of an encoded [Event].
const EventSize = 4

// Append appends the payload to dst.
func (e Event) Append(dst []byte) []byte {
	flags := e.Volume & 0x3f
	if e.End {
		flags |= 0x80
	}
	return binary.BigEndian.AppendUint16(append(dst, e.Code, flags), e.Duration)
}

// ParseEvent reads a payload. Further bytes are ignored, as a packet may have several events only where they follow
// each other (RFC 4733 section 2.5.1.5), which keys do not need.
func ParseEvent(p []byte) (Event, error) {
	if len(p) < EventSize {
		return Event{}, fmt.Errorf("dtmf: a telephone-event of %d bytes", len(p))
	}
	return Event{
		Code: p[0], End: p[1]&0x80 != 0, Volume: p[1] & 0x3f, Duration: binary.BigEndian.Uint16(p[2:]),
	}, nil
}

// Digit returns the key of the event, and false if it is another event, e.g. flash.
func (e Event) Digit() (byte, bool) {
	if int(e.Code) >= len(Digits) {
		return 0, false
	}
	return Digits[e.Code], true
}
