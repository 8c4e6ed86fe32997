package alloc

import (
	"encoding/binary"
	"net/netip"
)

const (
	budgetSlots = 1 << 14
	burstTime   = 4 // seconds of allowance that a prefix may save
)

// budget bounds what unauthenticated requests of one address prefix draw from the server: the bytes that
// came in, plus an allowance per second. The prefix is a /24 or a /56. Prefixes share slots by a keyed hash, so the
// memory is fixed; a collision makes two prefixes share one allowance.
type budget struct {
	rate  int64 // bytes per second; negative: none
	seed  uint64
	slots []bucket
}

type bucket struct {
	tokens int32
	at     uint32 // milliseconds since the table's epoch
}

func newBudget(rate int, seed uint64) budget {
	b := budget{rate: int64(rate), seed: seed | 1, slots: make([]bucket, budgetSlots)}
	for i := range b.slots {
		b.slots[i].tokens = b.full()
	}
	return b
}

func (b *budget) full() int32 {
	if b.rate < 0 {
		return 0
	}
	return int32(min(b.rate*burstTime, 1<<30)) // bounded
}

// spend accounts a request of in bytes and its answer of out bytes. False: do not answer.
func (b *budget) spend(now instant, client netip.Addr, in, out int) bool {
	if out <= in {
		return true
	}
	s := &b.slots[b.slot(client)]
	ms := uint32(now / 1e6) // wraps after 49 days, which refills a bucket once
	if b.rate > 0 {
		gain := int64(ms-s.at) * b.rate / 1000
		if gain > 0 {
			s.tokens = int32(min(int64(s.tokens)+gain, int64(b.full()))) // bounded by full
			s.at = ms
		}
	}
	if over := int32(out - in); over <= s.tokens { // a datagram
		s.tokens -= over
		return true
	}
	return false
}

func (b *budget) slot(client netip.Addr) uint64 {
	var x uint64
	if client.Is4() {
		a := client.As4()
		x = uint64(binary.BigEndian.Uint32(a[:]) >> 8)
	} else {
		a := client.As16()
		x = binary.BigEndian.Uint64(a[:])>>8 | 1<<63
	}
	// murmur's finisher, keyed: good enough to keep an attacker from choosing collisions blindly.
	x ^= b.seed
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= b.seed
	x ^= x >> 29
	return x % budgetSlots
}
