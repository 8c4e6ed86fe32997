package alloc

import (
	"encoding/binary"
	"net/netip"

	"github.com/pion/stun/v4"
)

// Channel numbers. RFC 8656 section 12 ends the range at 0x4FFF so that protocols can share a client's port. Clients of RFC 5766
// (section 11) go up to 0x7FFE; on a server's port nothing else lives, so they are served too.
const (
	minChannel = 0x4000
	maxChannel = 0x7FFE
)

type channel struct {
	peer    netip.AddrPort
	expires instant
	number  uint16
}

// channels are an allocation's channels, by number and by peer.
type channels struct {
	list     []channel
	byNumber map[uint16]int32
	byPeer   map[netip.AddrPort]int32
}

func (c *channels) len() int { return len(c.list) }

func (c *channels) number(n uint16) *channel {
	if c.byNumber != nil {
		if i, ok := c.byNumber[n]; ok {
			return &c.list[i]
		}
		return nil
	}
	for i := range c.list {
		if c.list[i].number == n {
			return &c.list[i]
		}
	}
	return nil
}

func (c *channels) peer(p netip.AddrPort) *channel {
	if c.byPeer != nil {
		if i, ok := c.byPeer[p]; ok {
			return &c.list[i]
		}
		return nil
	}
	for i := range c.list {
		if c.list[i].peer == p {
			return &c.list[i]
		}
	}
	return nil
}

func (c *channels) add(ch channel) {
	c.list = append(c.list, ch)
	c.reindex()
}

func (c *channels) reindex() {
	if len(c.list) <= few {
		c.byNumber, c.byPeer = nil, nil
		return
	}
	from := len(c.list) - 1
	if c.byNumber == nil || len(c.byNumber) != from {
		c.byNumber, c.byPeer, from = make(map[uint16]int32), make(map[netip.AddrPort]int32), 0
	}
	for i := from; i < len(c.list); i++ {
		c.byNumber[c.list[i].number], c.byPeer[c.list[i].peer] = int32(i), int32(i) // bounded
	}
}

func (c *channels) each(f func(*channel)) {
	for i := range c.list {
		f(&c.list[i])
	}
}

func (c *channels) remove(match func(*channel) bool) {
	kept := c.list[:0]
	for i := range c.list {
		if !match(&c.list[i]) {
			kept = append(kept, c.list[i])
		}
	}
	if len(kept) == len(c.list) {
		return
	}
	c.list, c.byNumber, c.byPeer = kept, nil, nil
	c.reindex()
}

func (c *channels) shed(now instant, next *instant, gone func(*channel)) {
	c.remove(func(ch *channel) bool {
		if ch.expires > now {
			return false
		}
		gone(ch)
		return true
	})
	for i := range c.list {
		*next = min(*next, c.list[i].expires)
	}
}

// channelBind follows RFC 8656 section 12.2.
func (t *Table) channelBind(c *context, m *message) {
	a := t.byTuple[c.tuple]
	if a == nil || a.pend != nil {
		t.refuse(c, codeAllocationMismatch)
		return
	}
	num, ok := m.get(stun.AttrChannelNumber)
	val, ok2 := m.get(stun.AttrXORPeerAddress)
	// Section 12.2: both attributes, and a number in range. RFC 6062 section 5: no channels on TCP relays.
	if !ok || !ok2 || len(num) != 4 || a.tcp {
		t.refuse(c, codeBadRequest)
		return
	}
	n := binary.BigEndian.Uint16(num)
	peer, ok := xorAddress(val, m.TransactionID[:])
	if !ok || n < minChannel || n > maxChannel || peer.Port() == 0 {
		t.refuse(c, codeBadRequest)
		return
	}
	if a.relay[family(peer.Addr())] == nil {
		t.refuse(c, codePeerFamilyMismatch)
		return
	}
	a.channels.remove(func(ch *channel) bool {
		if ch.expires > t.now {
			return false
		}
		t.unchannel(a, ch)
		return true
	})
	byNumber, byPeer := a.channels.number(n), a.channels.peer(peer)
	// Section 12.2: neither the number nor the peer may be bound to another.
	if byNumber != byPeer {
		t.refuse(c, codeBadRequest)
		return
	}
	// 403, not 401, for a peer that may not be reached.
	if !t.reachable(peer) {
		t.refuse(c, codeForbidden)
		return
	}
	if byNumber == nil && a.channels.len() >= t.cfg.MaxChannels ||
		a.perms.find(peer.Addr()) == nil && a.perms.len() >= t.cfg.MaxPermissions {
		t.refuse(c, codeInsufficientCapacity)
		return
	}
	expires := t.now + instant(channelLifetime)
	if byNumber != nil {
		byNumber.expires = expires
	} else {
		a.channels.add(channel{peer: peer, number: n, expires: expires})
	}
	// Section 12.2: a channel binding installs or refreshes the permission.
	t.permit(a, peer.Addr())
	t.wake(a, expires)
	t.emit(Effect{Kind: EffectChannel, Alloc: a, Relay: a.relay[family(peer.Addr())], Channel: n, Peer: peer})
	t.send(t.reply(c, stun.ClassSuccessResponse))
}

func (t *Table) unchannel(a *Allocation, ch *channel) {
	t.emit(Effect{Kind: EffectUnchannel, Alloc: a, Relay: a.relay[family(ch.peer.Addr())], Channel: ch.number, Peer: ch.peer})
}
