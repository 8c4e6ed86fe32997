// Package sm is the bookkeeping of stream management (XEP-0198 v1.6.3): which stanzas the other side has handled, and which
// have to be sent again when a stream is resumed. It does no I/O.
package sm

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jingled/jingled/xmltree"
)

// NS is the namespace of stream management.
const NS = "urn:xmpp:sm:3"

// DefaultMax is how long a stream is taken as resumable where the server does not say.
const DefaultMax = 5 * time.Minute

// ErrAck says that the other side acknowledged more than was sent (section 6, [TooHigh]).
var ErrAck = errors.New("stream management: more was acknowledged than sent")

// ErrMalformed says that an answer of the server makes no sense.
var ErrMalformed = errors.New("stream management: malformed answer")

// Stream counts the stanzas of one stream, over all connections that carry it. Handled and Received may be called from
// another goroutine than the rest.
type Stream struct {
	id       string // "" if it cannot be resumed
	max      time.Duration
	location string

	handled atomic.Uint32
	acked   uint32
	queue   [][]byte // sent and not acknowledged, the oldest first
	bytes   int
}

// Enable returns the element that asks for stream management with resumption.
func Enable() *xmltree.Element { return xmltree.New(NS, "enable").Set("resume", "true") }

// Enabled reads the server's answer to [Enable]. It returns nil for a refusal.
func Enabled(e *xmltree.Element) *Stream {
	if !e.Is(NS, "enabled") {
		return nil
	}
	s := &Stream{max: DefaultMax, location: e.Attr("location")}
	if r := e.Attr("resume"); r == "true" || r == "1" {
		s.id = e.Attr("id")
	}
	if n, err := strconv.ParseUint(e.Attr("max"), 10, 31); err == nil && n > 0 {
		s.max = time.Duration(n) * time.Second
	}
	return s
}

// Resumable reports whether the server lets the stream be resumed, and for how long after the connection was lost.
func (s *Stream) Resumable() (limit time.Duration, ok bool) { return s.max, s.id != "" }

// Location returns where the server would like the stream to be resumed (section 3), in its own words: a host, perhaps with a
// port; "" for where it was.
func (s *Stream) Location() string { return s.location }

// Resume returns the element that asks to resume the stream.
func (s *Stream) Resume() *xmltree.Element {
	return xmltree.New(NS, "resume").Set("previd", s.id).Set("h", s.h())
}

// Resumed reads the server's answer to [Stream.Resume]. If ok, the stanzas of [Stream.Unacknowledged] are to be sent
// again. Otherwise the stream is gone, and they are what the server has not handled, as far as it says.
func (s *Stream) Resumed(e *xmltree.Element) (ok bool, err error) {
	h, err := count(e)
	if !e.Is(NS, "resumed") {
		if err == nil { // section 5: a server that knows may tell it with the refusal
			_ = s.Acknowledge(h) // a count of some other stream tells nothing
		}
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if e.Attr("previd") != s.id {
		return false, fmt.Errorf("%w: another stream was resumed", ErrMalformed)
	}
	return true, s.Acknowledge(h)
}

// Sent takes note of a stanza that was queued to be sent. It keeps the slice.
func (s *Stream) Sent(stanza []byte) {
	s.queue = append(s.queue, stanza)
	s.bytes += len(stanza)
}

// Received takes note of a stanza that has been taken in.
func (s *Stream) Received() { s.handled.Add(1) }

// Ack returns the element that tells the other side what we have handled.
func (s *Stream) Ack() *xmltree.Element { return xmltree.New(NS, "a").Set("h", s.h()) }

func (s *Stream) h() string { return strconv.FormatUint(uint64(s.handled.Load()), 10) }

// ParseAck reads the <a/> of the other side.
func ParseAck(e *xmltree.Element) (uint32, error) { return count(e) }

func count(e *xmltree.Element) (uint32, error) {
	h, err := strconv.ParseUint(e.Attr("h"), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%w: 'h' is not a number", ErrMalformed)
	}
	return uint32(h), nil
}

// Acknowledge forgets what the other side has handled: everything up to its count h, which wraps at 2^32 (section 4).
func (s *Stream) Acknowledge(h uint32) error {
	n := h - s.acked
	if uint64(n) > uint64(len(s.queue)) {
		return fmt.Errorf("%w: %d of %d", ErrAck, n, len(s.queue))
	}
	for _, b := range s.queue[:n] {
		s.bytes -= len(b)
	}
	s.queue = slices.Delete(s.queue, 0, int(n))
	s.acked = h
	return nil
}

// TooHigh returns what tells the other side of [ErrAck] in a stream error of the kind undefined-condition (section 6).
func (s *Stream) TooHigh(h uint32) *xmltree.Element {
	return xmltree.New(NS, "handled-count-too-high").Set("h", strconv.FormatUint(uint64(h), 10)).
		Set("send-count", strconv.FormatUint(uint64(s.acked+uint32(len(s.queue))), 10))
}

// Unacknowledged returns what the other side has not confirmed, the oldest first.
func (s *Stream) Unacknowledged() [][]byte { return s.queue }

// Waiting returns how many stanzas and bytes are not confirmed.
func (s *Stream) Waiting() (stanzas, bytes int) { return len(s.queue), s.bytes }
