package alloc

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// A mobility ticket is the allocation's id (whose upper bits name the table), a generation, and a keyed
// hash of both: nothing to store, nothing to guess (RFC 8016 section 3.1.2 leaves the format to the server).
const (
	ticketMAC  = 16
	ticketSize = 8 + 4 + ticketMAC
)

func (t *Table) ticket(a *Allocation) []byte { return t.ticketOf(a.id, a.generation) }

func (t *Table) ticketOf(id uint64, generation uint32) []byte {
	out := make([]byte, 12, ticketSize)
	binary.BigEndian.PutUint64(out, id)
	binary.BigEndian.PutUint32(out[8:], generation)
	var sum [sha256.Size]byte
	h := hmac.New(sha256.New, t.ticketKey[:])
	h.Write(out)
	return append(out, h.Sum(sum[:0])[:ticketMAC]...)
}

// move finds the allocation of a ticket and binds it to the request's 5-tuple. nil: answered with an error.
func (t *Table) move(c *context, ticket []byte, who identity) *Allocation {
	// RFC 8016 section 3.2.2: mobility must be allowed, the ticket ours, and the credentials the same.
	if t.cfg.NoMobility {
		t.refuse(c, codeMobilityForbidden)
		return nil
	}
	if len(ticket) != ticketSize {
		t.refuse(c, codeBadRequest)
		return nil
	}
	id, gen := binary.BigEndian.Uint64(ticket), binary.BigEndian.Uint32(ticket[8:])
	a := t.byID[id]
	// The ticket before the last is good too: the answer with the new one may have been lost.
	if !hmac.Equal(t.ticketOf(id, gen), ticket) || a == nil || !a.mobile || gen > a.generation || gen+1 < a.generation {
		t.refuse(c, codeBadRequest)
		return nil
	}
	if a.username != who.username {
		t.refuse(c, codeWrongCredentials)
		return nil
	}
	if a.tuple == c.tuple {
		return a
	}
	// The new 5-tuple must not have an allocation of its own.
	if t.byTuple[c.tuple] != nil {
		t.refuse(c, codeAllocationMismatch)
		return nil
	}
	// RFC 6062's connections hang on the client's address; moving them is not defined.
	if a.tcp || a.tuple.Transport != c.tuple.Transport && (a.tuple.Transport.Stream() && len(a.conns) > 0) {
		t.refuse(c, codeMobilityForbidden)
		return nil
	}
	old := a.tuple
	delete(t.byTuple, old)
	a.tuple = c.tuple
	t.byTuple[a.tuple] = a
	a.generation = gen + 1
	t.emit(Effect{Kind: EffectMoved, Alloc: a, From: old, To: a.tuple})
	return a
}

// elsewhere finds the table that a ticket or connection id belongs to, and sends the packet there if it is not this one.
func (t *Table) elsewhere(from FiveTuple, m *message) bool {
	shard := t.seed.Shard
	if v, ok := m.get(attrMobilityTicket); ok && len(v) == ticketSize {
		// Only a real ticket is worth another table's time.
		if hmac.Equal(t.ticketOf(binary.BigEndian.Uint64(v), binary.BigEndian.Uint32(v[8:])), v) {
			shard = uint16(binary.BigEndian.Uint64(v) >> 48) // the upper 16 bits
		}
	} else if id, ok := connectionID(m); ok {
		shard = uint16(id >> connShardShift) // 8 bits
	}
	if shard == t.seed.Shard || shard >= t.seed.Shards {
		return false
	}
	t.emit(Effect{Kind: EffectElsewhere, To: from, Shard: shard})
	return true
}
