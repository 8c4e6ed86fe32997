package alloc

import (
	"github.com/pion/stun/v4"
)

// refresh follows RFC 8656 section 8.2, and RFC 8016 section 3.2 when a mobility ticket comes along.
func (t *Table) refresh(c *context, m *message, who identity) {
	var a *Allocation
	if ticket, ok := m.get(attrMobilityTicket); ok {
		if a = t.move(c, ticket, who); a == nil {
			return
		}
	} else if a = t.byTuple[c.tuple]; a == nil || a.pend != nil {
		// Section 4 of RFC 8656: no allocation on this 5-tuple.
		t.refuse(c, codeAllocationMismatch)
		return
	}
	fam := -1
	if v, ok := m.get(stun.AttrRequestedAddressFamily); ok {
		if len(v) != 4 {
			t.refuse(c, codeBadRequest)
			return
		}
		fam = int(v[0]) - familyIPv4
		// Section 8.2: a family the allocation does not have.
		if fam < 0 || fam > 1 || a.relay[fam] == nil {
			t.refuse(c, codePeerFamilyMismatch)
			return
		}
	}
	v, ok := m.get(stun.AttrLifetime)
	if ok && len(v) != 4 {
		t.refuse(c, codeBadRequest)
		return
	}
	if ok && v[0]|v[1]|v[2]|v[3] == 0 {
		// Section 8.2: lifetime 0 deletes; of a dual allocation only the named family.
		if fam >= 0 && a.relay[1-fam] != nil {
			t.forget(a, fam)
		} else {
			t.end(a, EndDeleted)
		}
		r := t.reply(c, stun.ClassSuccessResponse)
		r.uint32(stun.AttrLifetime, 0)
		t.send(r)
		return
	}
	a.expires = min(t.now+instant(t.lifetime(m)), a.last)
	// Shrinking is possible: the heap must not look too late.
	t.wake(a, a.expires)
	r := t.reply(c, stun.ClassSuccessResponse)
	r.uint32(stun.AttrLifetime, t.left(a))
	if m.has(attrMobilityTicket) {
		r.Add(attrMobilityTicket, t.ticket(a))
	}
	t.send(r)
}

// forget removes one family of a dual allocation with its permissions and channels.
func (t *Table) forget(a *Allocation, fam int) {
	t.dropRelay(a, fam)
	a.perms.remove(func(p *permission) bool { return family(p.addr) == fam })
	a.channels.remove(func(ch *channel) bool {
		if family(ch.peer.Addr()) != fam {
			return false
		}
		t.unchannel(a, ch)
		return true
	})
}
