package alloc

import (
	"net/netip"

	"github.com/pion/stun/v4"
)

// few is how many entries a linear search handles well; beyond it a map is kept.
const few = 8

type permission struct {
	addr    netip.Addr
	expires instant
}

// permissions are an allocation's permissions, by peer address without port (RFC 8656 section 9).
type permissions struct {
	list  []permission
	index map[netip.Addr]int32
}

func (p *permissions) len() int { return len(p.list) }

func (p *permissions) find(a netip.Addr) *permission {
	if p.index != nil {
		if i, ok := p.index[a]; ok {
			return &p.list[i]
		}
		return nil
	}
	for i := range p.list {
		if p.list[i].addr == a {
			return &p.list[i]
		}
	}
	return nil
}

// allows says whether the permission of a is there and not expired.
func (p *permissions) allows(now instant, a netip.Addr) bool {
	e := p.find(a)
	return e != nil && e.expires > now
}

func (p *permissions) set(a netip.Addr, expires instant) {
	if e := p.find(a); e != nil {
		e.expires = expires
		return
	}
	p.list = append(p.list, permission{a, expires})
	p.reindex()
}

func (p *permissions) reindex() {
	if len(p.list) <= few {
		p.index = nil
		return
	}
	if p.index != nil && len(p.index) == len(p.list)-1 {
		p.index[p.list[len(p.list)-1].addr] = int32(len(p.list) - 1) // bounded
		return
	}
	p.index = make(map[netip.Addr]int32, 2*len(p.list))
	for i := range p.list {
		p.index[p.list[i].addr] = int32(i) // bounded
	}
}

// remove drops what match says.
func (p *permissions) remove(match func(*permission) bool) {
	kept := p.list[:0]
	for i := range p.list {
		if !match(&p.list[i]) {
			kept = append(kept, p.list[i])
		}
	}
	if len(kept) == len(p.list) {
		return
	}
	p.list, p.index = kept, nil
	p.reindex()
}

// shed drops what has expired and lowers next to the first expiry that is left.
func (p *permissions) shed(now instant, next *instant) {
	p.remove(func(e *permission) bool { return e.expires <= now })
	for i := range p.list {
		*next = min(*next, p.list[i].expires)
	}
}

// own says whether a peer is one of our relayed addresses that is taken now: two clients of this server call each other.
func (t *Table) own(peer netip.AddrPort) bool {
	_, local := t.local(peer.Addr())
	return local && (peer.Port() == 0 || t.seed.Ports.Live(netip.AddrPortFrom(t.bindOf(peer.Addr()), peer.Port())))
}

// local finds the relay address that is advertised as a.
func (t *Table) local(a netip.Addr) (RelayAddr, bool) {
	for _, r := range t.cfg.Relays {
		if r.Advertise == a {
			return r, true
		}
	}
	return RelayAddr{}, false
}

func (t *Table) bindOf(a netip.Addr) netip.Addr {
	if r, ok := t.local(a); ok {
		return r.Bind
	}
	return a
}

// reachable is the judgement on a peer: the operator's policy, or a relayed address of ours.
func (t *Table) reachable(peer netip.AddrPort) bool {
	// An IPv4 address in an IPv6 shape is never a peer: it is a way around somebody's list (CVE-2026-27624).
	if peer.Addr().Is4In6() {
		return false
	}
	return t.own(peer) || t.cfg.Peers != nil && t.cfg.Peers.Allowed(peer)
}

// createPermission follows RFC 8656 section 10.2.
func (t *Table) createPermission(c *context, m *message) {
	a := t.byTuple[c.tuple]
	if a == nil || a.pend != nil {
		t.refuse(c, codeAllocationMismatch)
		return
	}
	var peers [maxAttributes]netip.Addr
	n, fresh := 0, 0
	for _, at := range m.attrs {
		if at.Type != stun.AttrXORPeerAddress {
			continue
		}
		peer, ok := xorAddress(at.Value, m.TransactionID[:])
		if !ok {
			t.refuse(c, codeBadRequest)
			return
		}
		// Section 10.2: the peer's family must be the relayed address's.
		if a.relay[family(peer.Addr())] == nil {
			t.refuse(c, codePeerFamilyMismatch)
			return
		}
		if !t.reachable(netip.AddrPortFrom(peer.Addr(), 0)) {
			t.refuse(c, codeForbidden)
			return
		}
		if a.perms.find(peer.Addr()) == nil {
			fresh++
		}
		peers[n] = peer.Addr()
		n++
	}
	// Section 10.2: at least one address.
	if n == 0 {
		t.refuse(c, codeBadRequest)
		return
	}
	if a.perms.len()+fresh > t.cfg.MaxPermissions {
		t.refuse(c, codeInsufficientCapacity)
		return
	}
	// All or nothing: only now is anything installed.
	for _, p := range peers[:n] {
		t.permit(a, p)
	}
	t.send(t.reply(c, stun.ClassSuccessResponse))
}

func (t *Table) permit(a *Allocation, peer netip.Addr) {
	expires := t.now + instant(permissionLifetime)
	a.perms.set(peer, expires)
	t.wake(a, expires)
}
