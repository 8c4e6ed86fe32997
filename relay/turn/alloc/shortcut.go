package alloc

import (
	"net/netip"
	"time"
)

// Shortcut is a channel in the words of whoever relays its data in the table's stead. Client, relay and peer are UDP and
// of one family.
type Shortcut struct {
	// Client and Server are the two ends that speak ChannelData, Relay (where it is bound) and Peer those that speak plainly.
	Client, Server, Relay, Peer netip.AddrPort
	// Channel is the number.
	Channel uint16
	// ToPeer and ToClient are until when data may flow. Towards the client it takes the peer's permission too
	// (RFC 8656 section 11.3), which is renewed apart from the channel.
	ToPeer, ToClient time.Time
}

// Shortcuts yields a's channels that can be relayed without the table. The table must not be changed meanwhile.
func (t *Table) Shortcuts(a *Allocation, yield func(Shortcut) bool) {
	if a.dead || a.pend != nil || a.tcp || a.tuple.Transport != UDP {
		return
	}
	f := family(a.tuple.Client.Addr())
	r := a.relay[f]
	if r == nil {
		return
	}
	for i := range a.channels.list {
		ch := &a.channels.list[i]
		p := a.perms.find(ch.peer.Addr())
		// Peers at this server are reached by rules of their own.
		if _, local := t.local(ch.peer.Addr()); local || p == nil || family(ch.peer.Addr()) != f {
			continue
		}
		s := Shortcut{
			Client: a.tuple.Client, Server: a.tuple.Server, Relay: r.Bind, Peer: ch.peer, Channel: ch.number,
			ToPeer: t.time(ch.expires), ToClient: t.time(min(ch.expires, p.expires)),
		}
		if !yield(s) {
			return
		}
	}
}

// Relayed accounts for what was relayed in the table's stead. It has been paid for with Prepay.
func (t *Table) Relayed(now time.Time, a *Allocation, d Direction, packets, bytes uint64) {
	a.active = t.since(now)
	if d == ToPeer {
		a.usage.PacketsToPeer += packets
		a.usage.BytesToPeer += bytes
		t.Stats.PacketsToPeer += packets
		t.Stats.BytesToPeer += bytes
		return
	}
	a.usage.PacketsToClient += packets
	a.usage.BytesToClient += bytes
	t.Stats.PacketsToClient += packets
	t.Stats.BytesToClient += bytes
}

// Limited says whether a's bandwidth is limited at present. A Session that has a method Limited() bool is asked.
func (t *Table) Limited(a *Allocation) bool {
	if l, ok := a.sess.(interface{ Limited() bool }); ok {
		return l.Limited()
	}
	return a.sess != nil
}

// Prepay charges a's session for n bytes that are to be relayed in the table's stead. False: it has no more.
func (t *Table) Prepay(now time.Time, a *Allocation, d Direction, n int) bool {
	return a.sess == nil || a.sess.Charge(now, d, n)
}
