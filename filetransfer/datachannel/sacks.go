package datachannel

import (
	"encoding/binary"
	"net"
	"sync"
	"time"
)

// sackTime is how long an acknowledgement of SCTP waits for a later one, which says all that it says. SCTP acknowledges every
// second packet, in a packet of its own that is encrypted, sent, received and counted: a third of what bulk costs. At the
// speed of a network nothing is held back long enough to be replaced.
const sackTime = 200 * time.Microsecond

// thinned is a DTLS connection below SCTP that leaves out acknowledgements which others make superfluous.
type thinned struct {
	net.Conn
	later *later

	mu   sync.Mutex
	sack []byte // that waits; empty if none does
}

func thin(c net.Conn) *thinned {
	t := &thinned{Conn: c}
	t.later = newLater(sackTime, &t.mu, t.flush)
	return t
}

// Write implements [net.Conn].
func (t *thinned) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if replaceable(p) {
		waits := len(t.sack) > 0
		t.sack = append(t.sack[:0], p...)
		if !waits {
			t.later.waits()
		}
		return len(p), nil
	}
	if err := t.flush(); err != nil {
		return 0, err
	}
	return t.Conn.Write(p)
}

// flush sends what waits; t.mu is held.
func (t *thinned) flush() error {
	if len(t.sack) == 0 {
		return nil
	}
	_, err := t.Conn.Write(t.sack)
	t.sack = t.sack[:0]
	return err
}

// Close implements [net.Conn].
func (t *thinned) Close() error {
	t.later.stop()
	return t.Conn.Close()
}

const (
	sctpHeader = 12 // RFC 9260 section 3.1
	sackChunk  = 3  // section 3.3.4
	sackSize   = 16
)

// replaceable reports whether an SCTP packet is nothing but a cumulative acknowledgement, without gaps and duplicates: of
// these the last one counts (RFC 9260 section 3.3.4). Losses are told at once.
func replaceable(p []byte) bool {
	return len(p) == sctpHeader+sackSize && p[sctpHeader] == sackChunk &&
		binary.BigEndian.Uint16(p[sctpHeader+2:]) == sackSize && binary.BigEndian.Uint32(p[sctpHeader+12:]) == 0
}
