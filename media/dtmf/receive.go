package dtmf

import "time"

// Receiver tells keys from the packets of one RTP stream, each once. It goes by the timestamp: all packets of an event
// have that of its start (RFC 4733 section 2.2.1), and any of them may be the first to arrive. Chromium sends none but
// the three last ones.
type Receiver struct {
	clock int
	heard bool
	start uint32 // of the newest event
	event Event
	ended bool
}

// NewReceiver returns a receiver for an RTP clock of so many Hz.
func NewReceiver(clock int) *Receiver { return &Receiver{clock: clock} }

// Change is what a packet has told.
type Change uint8

// What [Receiver.Receive] tells of a packet.
const (
	// Nothing new: a repetition, a packet that came late, or an event that is no key.
	Nothing Change = iota
	// Down is a key that was not known yet. It may be up already.
	Down
	// Up is the end of the key that was Down; its duration is known now.
	Up
)

// Receive takes the payload of a packet. The key's duration is that of the whole; it is 0 for a key that is still [Down].
func (r *Receiver) Receive(timestamp uint32, payload []byte) (Key, Change) {
	e, err := ParseEvent(payload)
	if err != nil {
		return Key{}, Nothing
	}
	if r.heard {
		switch since := int32(timestamp - r.start); {
		case since == 0:
			return r.again(e)
		case since < 0:
			return Key{}, Nothing // late, of an event before
		case !r.ended && e.Code == r.event.Code && uint32(since) <= uint32(r.event.Duration)+uint32(r.clock/10):
			// RFC 4733 section 2.5.1.3: an event too long for its duration field goes on with a new timestamp. Some
			// gateways give each packet its own, which looks the same: the old part was never ended, and the new one
			// joins on to it.
			r.start, r.event = timestamp, e
			return r.end(e)
		}
	}
	r.heard, r.start, r.event, r.ended = true, timestamp, e, e.End
	if _, ok := e.Digit(); !ok {
		return Key{}, Nothing
	}
	k := r.key()
	if !r.ended {
		k.Duration = 0
	}
	return k, Down
}

// again takes a further packet of the newest event.
func (r *Receiver) again(e Event) (Key, Change) {
	if e.Code != r.event.Code {
		return Key{}, Nothing
	}
	if e.Duration > r.event.Duration {
		r.event.Duration = e.Duration
	}
	return r.end(e)
}

func (r *Receiver) end(e Event) (Key, Change) {
	if !e.End || r.ended {
		return Key{}, Nothing
	}
	r.ended = true
	if _, ok := r.event.Digit(); !ok {
		return Key{}, Nothing
	}
	return r.key(), Up
}

func (r *Receiver) key() Key {
	d, _ := r.event.Digit()
	return Key{
		Digit: d, Volume: r.event.Volume,
		Duration: time.Duration(r.event.Duration) * time.Second / time.Duration(r.clock),
	}
}
