package alloc

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"
)

// Verdict is what to do with a packet on the data path.
type Verdict uint8

// The verdicts of FromClient and FromPeer.
const (
	Drop    Verdict = iota // counted by the table
	Forward                // send it on
	Control                // not data: give it to Message
)

// Route says where a client's data goes.
type Route struct {
	Relay   *Relay
	Peer    netip.AddrPort // to send to
	Payload []byte         // part of the packet
	DF      bool           // DONT-FRAGMENT was asked for (RFC 8656 section 15)
}

// ErrFrame means that a stream does not carry TURN.
var ErrFrame = errors.New("turn: neither a STUN message nor ChannelData on a stream")

// Frame finds the length of the first message on a stream, its padding included: 0 while too little of it is there.
func Frame(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	switch b[0] >> 6 {
	case 1: // ChannelData: RFC 8656 section 12.4, padded to 4 bytes over streams (section 12.5)
		if len(b) < 4 {
			return 0, nil
		}
		n := 4 + (int(binary.BigEndian.Uint16(b[2:]))+3)&^3
		if len(b) < n {
			return 0, nil
		}
		return n, nil
	case 0: // STUN: the first two bits are zero
		if len(b) < headerSize {
			return 0, nil
		}
		n := int(binary.BigEndian.Uint16(b[2:]))
		if !isSTUN(b) || n%4 != 0 {
			return 0, ErrFrame
		}
		if len(b) < headerSize+n {
			return 0, nil
		}
		return headerSize + n, nil
	}
	return 0, ErrFrame
}

// FromClient looks at one packet or frame of the client of a, which may be nil. On Forward r says where the payload goes.
func (t *Table) FromClient(now time.Time, a *Allocation, b []byte, r *Route) Verdict {
	if len(b) < 4 {
		t.Stats.DroppedMalformed++
		return Drop
	}
	if b[0]&0xC0 == 0 {
		if b[0] == 0 && b[1] == 0x16 {
			return t.sendIndication(now, a, b, r)
		}
		return Control
	}
	if b[0]>>6 != 1 {
		t.Stats.DroppedMalformed++
		return Drop
	}
	// RFC 8656 section 12.6: ChannelData.
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n > len(b)-4 {
		t.Stats.DroppedMalformed++
		return Drop
	}
	if a == nil || a.dead {
		t.Stats.DroppedUnknown++
		return Drop
	}
	i := t.since(now)
	ch := a.channels.number(binary.BigEndian.Uint16(b))
	if ch == nil || ch.expires <= i {
		t.Stats.DroppedUnknown++
		return Drop
	}
	r.Payload, r.DF = b[4:4+n:4+n], false
	return t.toPeer(now, i, a, ch.peer, r)
}

func (t *Table) toPeer(now time.Time, i instant, a *Allocation, peer netip.AddrPort, r *Route) Verdict {
	n := len(r.Payload)
	if a.sess != nil && !a.sess.Charge(now, ToPeer, n) {
		a.usage.DroppedBandwidth++
		t.Stats.DroppedBandwidth++
		return Drop
	}
	a.active = i
	a.usage.PacketsToPeer++
	a.usage.BytesToPeer += uint64(n)
	t.Stats.PacketsToPeer++
	t.Stats.BytesToPeer += uint64(n)
	r.Relay = a.relay[family(peer.Addr())]
	r.Peer = peer
	if t.hairpin {
		// Behind 1:1 NAT our own advertised addresses are reached directly.
		r.Peer = netip.AddrPortFrom(t.bindOf(peer.Addr()), peer.Port())
	}
	return Forward
}

// sendIndication follows RFC 8656 section 11.2: everything wrong is dropped silently.
func (t *Table) sendIndication(now time.Time, a *Allocation, b []byte, r *Route) Verdict {
	if !isSTUN(b) || headerSize+int(binary.BigEndian.Uint16(b[2:])) != len(b) {
		t.Stats.DroppedMalformed++
		return Drop
	}
	if a == nil || a.dead || a.tcp {
		t.Stats.DroppedUnknown++
		return Drop
	}
	var peerValue, data []byte
	df := false
	for at, count := headerSize, 0; at < len(b); count++ {
		if at+4 > len(b) || count == maxAttributes {
			t.Stats.DroppedMalformed++
			return Drop
		}
		typ, n := stun.AttrType(binary.BigEndian.Uint16(b[at:])), int(binary.BigEndian.Uint16(b[at+2:]))
		at += 4
		if n > len(b)-at {
			t.Stats.DroppedMalformed++
			return Drop
		}
		v := b[at : at+n : at+n]
		switch {
		case typ == stun.AttrXORPeerAddress && peerValue == nil:
			peerValue = v
		case typ == stun.AttrData && data == nil:
			data = v
		case typ == stun.AttrDontFragment:
			df = true
		case !understood(typ):
			// RFC 8489 section 6.3.2: an indication with an unknown required attribute is discarded.
			t.Stats.DroppedMalformed++
			return Drop
		}
		at += (n + 3) &^ 3
	}
	peer, ok := xorAddress(peerValue, b[8:headerSize])
	if !ok || data == nil {
		t.Stats.DroppedMalformed++
		return Drop
	}
	i := t.since(now)
	if a.relay[family(peer.Addr())] == nil || !a.perms.allows(i, peer.Addr()) || !t.port(peer) {
		a.usage.DroppedPermission++
		t.Stats.DroppedPermission++
		return Drop
	}
	r.Payload, r.DF = data, df
	return t.toPeer(now, i, a, peer, r)
}

// port judges the port of a peer whose address has a permission.
func (t *Table) port(peer netip.AddrPort) bool {
	if _, local := t.local(peer.Addr()); local {
		return t.reachable(peer)
	}
	return t.cfg.Peers != nil && t.cfg.Peers.AllowedPort(peer.Port())
}

// MaxHead is the longest header that FromPeer writes.
const MaxHead = 4 + headerSize + 4 + 20

// FromPeer looks at a datagram of size bytes that came to r from peer (unmapped). On Forward the client of r.Alloc() gets
// head[:n], the payload, and pad zero bytes.
func (t *Table) FromPeer(now time.Time, r *Relay, peer netip.AddrPort, size int, head *[MaxHead]byte) (n, pad int, v Verdict) {
	a := r.alloc
	if a.dead || a.pend != nil {
		t.Stats.DroppedUnknown++
		return 0, 0, Drop
	}
	if t.hairpin {
		for _, l := range t.cfg.Relays {
			if l.Bind == peer.Addr() {
				peer = netip.AddrPortFrom(l.Advertise, peer.Port())
				break
			}
		}
	}
	i := t.since(now)
	// RFC 8656 section 11.3: only peers with a permission.
	if !a.perms.allows(i, peer.Addr()) {
		a.usage.DroppedPermission++
		t.Stats.DroppedPermission++
		return 0, 0, Drop
	}
	if a.sess != nil && !a.sess.Charge(now, ToClient, size) {
		a.usage.DroppedBandwidth++
		t.Stats.DroppedBandwidth++
		return 0, 0, Drop
	}
	a.active = i
	a.usage.PacketsToClient++
	a.usage.BytesToClient += uint64(size)
	t.Stats.PacketsToClient++
	t.Stats.BytesToClient += uint64(size)
	// Section 12.7: by channel where one is bound.
	if ch := a.channels.peer(peer); ch != nil && ch.expires > i {
		binary.BigEndian.PutUint16(head[0:], ch.number)
		binary.BigEndian.PutUint16(head[2:], uint16(size)) // a datagram
		if a.tuple.Transport != UDP {
			// Section 12.5: padding is required on streams and may be left out on datagrams. Over DTLS it stays: there are
			// clients that read DTLS like a stream.
			pad = -size & 3
		}
		return 4, pad, Forward
	}
	n, pad = t.dataIndication(head, peer, size)
	if n == 0 {
		t.Stats.DroppedMalformed++
		return 0, 0, Drop
	}
	return n, pad, Forward
}

// dataIndication writes the head of a Data indication: everything before the value of DATA, which comes last.
func (t *Table) dataIndication(head *[MaxHead]byte, peer netip.AddrPort, size int) (n, pad int) {
	pad = -size & 3
	t.indication(head)
	n = headerSize
	n += 4 + putXORAddress(head[n+4:], peer, head[8:headerSize])
	binary.BigEndian.PutUint16(head[headerSize:], uint16(stun.AttrXORPeerAddress))
	binary.BigEndian.PutUint16(head[headerSize+2:], uint16(n-headerSize-4)) // 8 or 20
	binary.BigEndian.PutUint16(head[n:], uint16(stun.AttrData))
	binary.BigEndian.PutUint16(head[n+2:], uint16(size)) // a datagram
	n += 4
	total := n - headerSize + size + pad
	// The length field, and a UDP datagram, hold no more.
	if total > 65507-headerSize {
		return 0, 0
	}
	binary.BigEndian.PutUint16(head[2:], uint16(total)) // checked
	return n, pad
}

// indication writes type, cookie and a random transaction id.
func (t *Table) indication(head *[MaxHead]byte) {
	binary.BigEndian.PutUint16(head[0:], stun.NewType(stun.MethodData, stun.ClassIndication).Value())
	binary.BigEndian.PutUint32(head[4:], magicCookie)
	binary.BigEndian.PutUint64(head[8:], t.seed.Rand())
	binary.BigEndian.PutUint32(head[16:], uint32(t.seed.Rand())) // random bits
}

// ICMP tells of an ICMP error for what r sent to peer: type and code as the peer's family has them, and for "packet too big" the
// next hop's MTU in data. RFC 8656 section 11.5.
func (t *Table) ICMP(now time.Time, r *Relay, peer netip.AddrPort, typ, code byte, data uint32) []Effect {
	t.begin(now)
	a := r.alloc
	if a.dead || a.pend != nil || !a.perms.allows(t.now, peer.Addr()) {
		return nil
	}
	// Section 11.5: destination unreachable and time exceeded (ICMPv6: and packet too big) are passed on, others not.
	v4 := peer.Addr().Is4() && (typ == 3 && code <= 4 || typ == 11)
	v6 := !peer.Addr().Is4() && (typ == 1 || typ == 2 || typ == 3)
	if !v4 && !v6 {
		return nil
	}
	c := context{tuple: a.tuple, method: stun.MethodData, trusted: true}
	binary.BigEndian.PutUint64(c.tid[:], t.seed.Rand())
	m := t.reply(&c, stun.ClassIndication)
	m.xorAddress(stun.AttrXORPeerAddress, peer)
	var v [8]byte
	v[2], v[3] = typ, code
	binary.BigEndian.PutUint32(v[4:], data)
	m.Add(attrICMP, v[:])
	t.emit(Effect{Kind: EffectSend, To: a.tuple, Data: t.keep(m.Raw)})
	return t.out
}
