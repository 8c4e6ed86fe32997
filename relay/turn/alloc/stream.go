package alloc

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"
)

// connShardShift puts the table's number into a connection id's upper bits.
const connShardShift = 24

// conn is a peer connection of an RFC 6062 allocation.
type conn struct {
	a        *Allocation
	peer     netip.AddrPort
	client   FiveTuple // the client's data connection, once joined
	dialing  *context  // the Connect request, while dialing
	deadline instant   // for dialing or ConnectionBind; 0: joined
}

func connectionID(m *message) (uint32, bool) {
	v, ok := m.get(stun.AttrConnectionID)
	if !ok || len(v) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(v), true
}

func (t *Table) newConn(a *Allocation, c *conn) uint32 {
	for {
		id := uint32(t.seed.Shard)<<connShardShift | uint32(t.seed.Rand())&(1<<connShardShift-1) // random bits
		if t.conns[id] == nil {
			if a.conns == nil {
				a.conns = map[uint32]*conn{}
			}
			t.conns[id], a.conns[id] = c, c
			t.wake(a, c.deadline)
			return id
		}
	}
}

// connect follows RFC 6062 section 5.2.
func (t *Table) connect(c *context, m *message) {
	a := t.byTuple[c.tuple]
	if a == nil || a.pend != nil {
		t.refuse(c, codeAllocationMismatch)
		return
	}
	val, ok := m.get(stun.AttrXORPeerAddress)
	peer, valid := xorAddress(val, m.TransactionID[:])
	if !ok || !valid || peer.Port() == 0 || !a.tcp {
		t.refuse(c, codeBadRequest)
		return
	}
	if a.relay[family(peer.Addr())] == nil {
		t.refuse(c, codePeerFamilyMismatch)
		return
	}
	// The relay's own addresses are no peers here: TCP to ourselves is a way around firewalls.
	if peer.Addr().Is4In6() || t.cfg.Peers == nil || !t.cfg.Peers.Allowed(peer) {
		t.refuse(c, codeForbidden)
		return
	}
	for _, o := range a.conns {
		// Section 5.2: one connection per peer.
		if o.peer == peer {
			if o.dialing == nil || o.dialing.tid != c.tid {
				t.refuse(c, codeConnectionExists)
			}
			return
		}
	}
	if len(a.conns) >= t.cfg.MaxConns {
		t.refuse(c, codeInsufficientCapacity)
		return
	}
	ctx := *c
	id := t.newConn(a, &conn{a: a, peer: peer, dialing: &ctx, deadline: t.now + instant(connectTimeout)})
	t.emit(Effect{Kind: EffectDial, Alloc: a, Relay: a.relay[family(peer.Addr())], Conn: id, Peer: peer})
}

// Dialed is the driver's answer to EffectDial, any time later.
func (t *Table) Dialed(now time.Time, id uint32, err error) []Effect {
	t.begin(now)
	c := t.conns[id]
	if c == nil || c.dialing == nil {
		return nil
	}
	ctx := c.dialing
	c.dialing = nil
	if err != nil {
		t.drop(id, c)
		t.refuse(ctx, codeConnectionFailed)
		return t.out
	}
	c.deadline = t.now + instant(bindTimeout)
	t.wake(c.a, c.deadline)
	r := t.reply(ctx, stun.ClassSuccessResponse)
	r.uint32(stun.AttrConnectionID, id)
	t.send(r)
	return t.out
}

// Accepted tells of a connection from peer to the listener of r (RFC 6062 section 5.3). ok false: close it.
func (t *Table) Accepted(now time.Time, r *Relay, peer netip.AddrPort) (id uint32, ok bool, out []Effect) {
	t.begin(now)
	a := r.alloc
	if a.dead || a.pend != nil || !a.perms.allows(t.now, peer.Addr()) || len(a.conns) >= t.cfg.MaxConns {
		t.Stats.DroppedPermission++
		return 0, false, nil
	}
	id = t.newConn(a, &conn{a: a, peer: peer, deadline: t.now + instant(bindTimeout)})
	c := context{tuple: a.tuple, method: stun.MethodConnectionAttempt, trusted: true}
	binary.BigEndian.PutUint64(c.tid[:], t.seed.Rand())
	m := t.reply(&c, stun.ClassIndication)
	m.uint32(stun.AttrConnectionID, id)
	m.xorAddress(stun.AttrXORPeerAddress, peer)
	t.emit(Effect{Kind: EffectSend, To: a.tuple, Data: t.keep(m.Raw)})
	return id, true, t.out
}

// connectionBind follows RFC 6062 section 5.4.
func (t *Table) connectionBind(c *context, m *message, who identity) {
	id, ok := connectionID(m)
	peer := t.conns[id]
	// Over a stream without an allocation of its own, for a connection that waits, by the allocation's own user.
	if !ok || !c.tuple.Transport.Stream() || t.byTuple[c.tuple] != nil || peer == nil || peer.dialing != nil ||
		peer.deadline == 0 || peer.a.username != who.username {
		t.refuse(c, codeBadRequest)
		return
	}
	peer.deadline = 0
	peer.client = c.tuple
	t.send(t.reply(c, stun.ClassSuccessResponse))
	t.emit(Effect{Kind: EffectJoin, Alloc: peer.a, Conn: id, To: c.tuple})
}

func (t *Table) drop(id uint32, c *conn) {
	delete(t.conns, id)
	delete(c.a.conns, id)
}

// connTimeout ends a connection that was not made or not bound in time.
func (t *Table) connTimeout(a *Allocation, id uint32, c *conn) {
	t.drop(id, c)
	if c.dialing != nil {
		t.refuse(c.dialing, codeConnectionFailed)
	}
	t.emit(Effect{Kind: EffectCloseConn, Alloc: a, Conn: id})
}

// ConnData accounts bytes on a joined peer connection. False: the connection is gone. wait is how long the
// sender should pause because of the bandwidth limit.
func (t *Table) ConnData(now time.Time, id uint32, d Direction, n int) (ok bool, wait time.Duration) {
	c := t.conns[id]
	if c == nil {
		return false, 0
	}
	a := c.a
	if a.sess != nil && !a.sess.Charge(now, d, n) {
		// A stream loses nothing: the bytes wait and are charged again.
		return true, 10 * time.Millisecond
	}
	a.active = t.since(now)
	if d == ToPeer {
		a.usage.BytesToPeer += uint64(n) // a length
		t.Stats.BytesToPeer += uint64(n) // a length
	} else {
		a.usage.BytesToClient += uint64(n) // a length
		t.Stats.BytesToClient += uint64(n) // a length
	}
	return true, 0
}

// ConnClosed tells that a peer connection, or the client's side of it, was closed.
func (t *Table) ConnClosed(now time.Time, id uint32) []Effect {
	t.begin(now)
	if c := t.conns[id]; c != nil {
		t.drop(id, c)
		t.emit(Effect{Kind: EffectCloseConn, Alloc: c.a, Conn: id, To: c.client})
	}
	return t.out
}

// Live says whether a peer connection is known.
func (t *Table) Live(id uint32) bool { return t.conns[id] != nil }
