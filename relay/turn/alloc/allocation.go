package alloc

import (
	"net/netip"
	"time"
)

// Allocation is one client's allocation. Only its Table touches it, but for Attach.
type Allocation struct {
	// Attach is the driver's own, e.g. the client's connection.
	Attach any

	id       uint64
	tuple    FiveTuple
	username string
	alg      Algorithm
	cred     Credential
	tid      [12]byte // of the Allocate request, to know its retransmissions
	relay    [2]*Relay
	perms    permissions
	channels channels
	sess     Session
	usage    Usage
	conns    map[uint32]*conn

	created, expires, last, active instant
	token                          [8]byte // RESERVATION-TOKEN
	hasToken                       bool
	lifetime                       time.Duration // granted by Allocate
	familyError                    int           // ADDRESS-ERROR-CODE's code for the second family
	mobile                         bool
	generation                     uint32 // of the mobility ticket
	tcp                            bool
	pend                           *pending // while sockets are being bound
	dead                           bool
	due                            instant
	heap                           int
}

// Relay is one relayed transport address.
type Relay struct {
	// Handle is a small number, unique among the table's live relays.
	Handle int32
	// Bind is the local address, Advertised what clients are told.
	Bind, Advertised netip.AddrPort
	// TCP: listen instead of binding a datagram socket.
	TCP bool
	// Attach is the driver's own, e.g. the socket.
	Attach any

	alloc *Allocation
}

// Alloc is the allocation the relay belongs to.
func (r *Relay) Alloc() *Allocation { return r.alloc }

// Tuple is the client of the allocation.
func (a *Allocation) Tuple() FiveTuple { return a.tuple }

// ID is unique in the process.
func (a *Allocation) ID() uint64 { return a.id }

// Dead says that the allocation has ended.
func (a *Allocation) Dead() bool { return a.dead }

// family is the index of a relay: 0 for IPv4, 1 for IPv6.
func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// Info copies what is known about a.
func (t *Table) Info(a *Allocation) Info {
	i := Info{
		ID: a.id, User: a.cred.User, Client: a.tuple.Client, Server: a.tuple.Server, Transport: a.tuple.Transport,
		RelayTCP: a.tcp, Created: t.time(a.created), Expires: t.time(a.expires), LastActivity: t.time(max(a.active, a.created)),
		Permissions: a.perms.len(), Channels: a.channels.len(), PeerStreams: len(a.conns), Usage: a.usage,
	}
	for _, r := range a.relay {
		if r != nil {
			i.Relayed = append(i.Relayed, r.Advertised)
		}
	}
	return i
}

// Expire does what is due at now.
func (t *Table) Expire(now time.Time) []Effect {
	t.begin(now)
	for {
		a := t.timers.first()
		if a == nil || a.due > t.now {
			break
		}
		t.tick(a)
	}
	return t.out
}

// Deadline is when Expire has something to do next; zero: never.
func (t *Table) Deadline() time.Time {
	a := t.timers.first()
	if a == nil {
		return time.Time{}
	}
	return t.time(a.due)
}

// tick ends a or sheds what of it has expired, and sets its next deadline.
func (t *Table) tick(a *Allocation) {
	if a.expires <= t.now {
		reason := EndExpired
		if a.last <= a.expires {
			reason = EndMaxAge
		}
		t.end(a, reason)
		return
	}
	next := a.expires
	a.perms.shed(t.now, &next)
	a.channels.shed(t.now, &next, func(ch *channel) { t.unchannel(a, ch) })
	for id, c := range a.conns {
		switch {
		case c.deadline == 0:
		case c.deadline <= t.now:
			t.connTimeout(a, id, c)
		default:
			next = min(next, c.deadline)
		}
	}
	a.due = next
	t.timers.fix(a)
}

// wake makes sure that a is looked at no later than due.
func (t *Table) wake(a *Allocation, due instant) {
	if due < a.due {
		a.due = due
		t.timers.fix(a)
	}
}

// end removes an allocation.
func (t *Table) end(a *Allocation, why EndReason) {
	if a.dead {
		return
	}
	a.dead = true
	t.timers.remove(a)
	delete(t.byTuple, a.tuple)
	delete(t.byID, a.id)
	a.channels.each(func(ch *channel) { t.unchannel(a, ch) })
	for id, c := range a.conns {
		delete(t.conns, id)
		delete(a.conns, id)
		t.emit(Effect{Kind: EffectCloseConn, Conn: id, To: c.client, Alloc: a})
	}
	for i := range a.relay {
		t.dropRelay(a, i)
	}
	if a.sess != nil {
		a.sess.End()
	}
	t.emit(Effect{Kind: EffectEnded, Alloc: a, Reason: why})
}

// dropRelay gives one relayed address back.
func (t *Table) dropRelay(a *Allocation, i int) {
	r := a.relay[i]
	if r == nil {
		return
	}
	t.emit(Effect{Kind: EffectUnbind, Relay: r, Alloc: a})
	t.relays[r.Handle] = nil
	t.free = append(t.free, r.Handle)
	t.seed.Ports.Give(r.Bind)
	// The pointer stays for Info of an ended allocation.
	if !a.dead {
		a.relay[i] = nil
	}
}

// Kick ends the allocation, whatever the reason.
func (t *Table) Kick(now time.Time, a *Allocation, why EndReason) []Effect {
	t.begin(now)
	t.end(a, why)
	if a.tuple.Transport != UDP {
		t.emit(Effect{Kind: EffectCloseClient, To: a.tuple})
	}
	return t.out
}

// ClientGone tells that a client's stream was closed. RFC 8656 section 3.1 lets the allocation go with its connection; with
// mobility it waits for its client to come back until it expires (RFC 8016 section 3).
func (t *Table) ClientGone(now time.Time, ft FiveTuple) []Effect {
	t.begin(now)
	if a := t.byTuple[ft]; a != nil && !a.mobile {
		t.end(a, EndClosed)
	}
	return t.out
}
