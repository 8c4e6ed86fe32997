package alloc

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"
)

// pending is what an allocation remembers until its sockets are bound.
type pending struct {
	ctx        context
	want       [2]bool // families
	even, pair bool
	claimed    bool // by RESERVATION-TOKEN: only this port will do
	tries      int
	waiting    int // binds not answered yet
	next       netip.AddrPort
}

// wanted is what an Allocate request asks for.
type wanted struct {
	tcp        bool
	families   [2]bool
	either     bool // of the families will do
	even, pair bool
	token      []byte // RESERVATION-TOKEN; nil for any port
}

// readAllocate checks the attributes by which a request chooses its relayed address: RFC 8656 section 7.2, whose steps the
// numbers are. The code is that of the error to answer with, 0 for none.
func readAllocate(m *message, overStream, tcpRelay bool) (w wanted, code int) {
	// 3: REQUESTED-TRANSPORT.
	proto, ok := m.get(stun.AttrRequestedTransport)
	if !ok || len(proto) != 4 {
		return w, codeBadRequest
	}
	w.tcp = proto[0] == protocolTCP
	if proto[0] != protocolUDP && !(w.tcp && tcpRelay) {
		return w, codeUnsupportedTransport
	}
	even, hasEven := m.get(stun.AttrEvenPort)
	token, hasToken := m.get(stun.AttrReservationToken)
	req, hasReq := m.get(stun.AttrRequestedAddressFamily)
	add, hasAdd := m.get(attrAdditionalFamily)
	bad := hasEven && len(even) != 1 || hasToken && len(token) != 8 || hasReq && len(req) != 4 || hasAdd && len(add) != 4
	// RFC 6062 section 5.1: TCP relays only for clients on TCP or TLS, and without these attributes.
	bad = bad || w.tcp && (!overStream || hasEven || hasToken || m.has(stun.AttrDontFragment))
	// 5: RESERVATION-TOKEN excludes the attributes that would choose a port or family.
	bad = bad || hasToken && (hasEven || hasReq || hasAdd)
	// 6: only one of the two family attributes, and an additional family can only be IPv6.
	bad = bad || hasReq && hasAdd || hasAdd && add[0] != familyIPv6
	w.even = hasEven
	w.pair = hasEven && len(even) == 1 && even[0]&0x80 != 0
	// 9: a reserved pair of two families would need two tokens.
	bad = bad || w.pair && hasAdd
	if bad {
		return w, codeBadRequest
	}
	if hasToken {
		w.token = token
	}
	switch {
	case hasAdd:
		w.families, w.either = [2]bool{true, true}, true
	case hasReq && req[0] == familyIPv6:
		w.families[1] = true
	case hasReq && req[0] != familyIPv4:
		return w, codeFamilyNotSupported
	default:
		// 6: without the attribute the relayed address is IPv4.
		w.families[0] = true
	}
	return w, 0
}

// allocate follows RFC 8656 section 7.2; the numbers are its steps.
func (t *Table) allocate(now time.Time, c *context, m *message, who identity) {
	// 1: authentication is done. 2: the 5-tuple must be free, unless this is a retransmission.
	if a := t.byTuple[c.tuple]; a != nil {
		if a.tid == c.tid && a.username == who.username && t.now-a.created < instant(retransmitWindow) {
			t.allocated(a, c)
			return
		}
		t.refuse(c, codeAllocationMismatch)
		return
	}
	w, code := readAllocate(m, c.tuple.Transport.Stream(), t.cfg.TCPRelay)
	switch code {
	case 0:
	case codeBadRequest:
		t.refuse(c, code)
		return
	default:
		t.refused(c, who, code)
		return
	}
	if t.cfg.Draining {
		t.alternate(c, who)
		return
	}
	p := &pending{want: w.families, even: w.even, pair: w.pair}
	if w.token != nil {
		// 5: an unknown or used token is 508.
		addr, ok := t.seed.Ports.Claim(now, [8]byte(w.token), who.cred.User)
		if !ok {
			t.refused(c, who, codeInsufficientCapacity)
			return
		}
		p.claimed, p.next = true, addr
		p.want = [2]bool{}
		p.want[family(addr.Addr())] = true
	}
	a := &Allocation{
		tuple: c.tuple, username: who.username, alg: who.alg, cred: who.cred, tid: c.tid, tcp: w.tcp, pend: p,
		created: t.now, heap: -1,
	}
	for f, want := range p.want {
		if want && !p.claimed && len(t.relayAddrs(c.tuple, f)) == 0 {
			if !w.either {
				// 6: a family we do not have.
				t.refused(c, who, codeFamilyNotSupported)
				return
			}
			a.failFamily(f, codeFamilyNotSupported)
		}
	}
	if !p.want[0] && !p.want[1] {
		t.refused(c, who, codeFamilyNotSupported)
		return
	}
	// 10: quota.
	if t.cfg.Limits != nil {
		sess, err := t.cfg.Limits.Begin(now, who.cred.User, c.tuple.Client)
		if err != nil {
			if p.claimed {
				t.seed.Ports.Give(p.next)
			}
			t.refused(c, who, admission(err))
			return
		}
		a.sess = sess
	}
	if v, ok := m.get(attrMobilityTicket); ok {
		// RFC 8016 section 3.1: an empty ticket asks for one.
		if len(v) != 0 || t.cfg.NoMobility {
			code := codeBadRequest
			if t.cfg.NoMobility {
				code = codeMobilityForbidden
			}
			t.abandon(a)
			t.refused(c, who, code)
			return
		}
		a.mobile = true
	}
	a.lifetime = t.lifetime(m)
	a.last = t.now + instant(t.cfg.MaxAge)
	if l := who.cred.MaxLifetime; l > 0 {
		a.last = min(a.last, t.now+instant(l))
	}
	a.expires = min(t.now+instant(a.lifetime), a.last)
	t.nextID++
	a.id = t.nextID
	p.ctx = *c
	t.byTuple[a.tuple] = a
	for f, want := range p.want {
		if want {
			p.waiting++
			t.bind(now, a, f)
		}
	}
	t.settle(a)
}

// admission is the error code of a Limiter's refusal.
func admission(err error) int {
	switch {
	case errors.Is(err, ErrForbidden):
		return codeForbidden
	case errors.Is(err, ErrCapacity):
		return codeInsufficientCapacity
	}
	return codeAllocationQuota
}

// refused answers an authenticated Allocate with an error and tells the driver.
func (t *Table) refused(c *context, who identity, code int) {
	t.refuse(c, code)
	t.emit(Effect{Kind: EffectRefused, To: c.tuple, User: who.cred.User, Code: code})
}

// alternate answers 300 while draining (RFC 8489 section 10), or 508 when there is nowhere to send the client.
func (t *Table) alternate(c *context, who identity) {
	for i := range t.cfg.Alternates {
		a := t.cfg.Alternates[(int(t.turn)+i)%len(t.cfg.Alternates)]
		// Section 14.15: the alternate is of the request's address family.
		if a.Addr().Is4() != c.tuple.Client.Addr().Is4() {
			continue
		}
		t.turn++
		t.Stats.ErrorCodes[codeTryAlternate]++
		r := t.reply(c, stun.ClassErrorResponse)
		r.errorCode(codeTryAlternate)
		r.address(stun.AttrAlternateServer, a)
		t.send(r)
		t.emit(Effect{Kind: EffectRefused, To: c.tuple, User: who.cred.User, Code: codeTryAlternate})
		return
	}
	t.refused(c, who, codeInsufficientCapacity)
}

// lifetime grants what LIFETIME asks for within bounds: section 7.2, at least the default of 10 minutes.
func (t *Table) lifetime(m *message) time.Duration {
	v, ok := m.get(stun.AttrLifetime)
	if !ok || len(v) != 4 {
		return t.cfg.DefaultLifetime
	}
	want := time.Duration(binary.BigEndian.Uint32(v)) * time.Second
	return min(max(want, t.cfg.DefaultLifetime), t.cfg.MaxLifetime)
}

// relayAddrs lists the addresses of a family that relays may have.
func (t *Table) relayAddrs(ft FiveTuple, f int) []RelayAddr {
	var out []RelayAddr
	for _, r := range t.cfg.Relays {
		if family(r.Bind) == f {
			out = append(out, r)
		}
	}
	// Without configured addresses a client is relayed from the one it came to.
	if len(t.cfg.Relays) == 0 && family(ft.Server.Addr()) == f {
		out = append(out, RelayAddr{ft.Server.Addr(), ft.Server.Addr()})
	}
	return out
}

// bind asks the driver for the socket of family f, or gives the family up.
func (t *Table) bind(now time.Time, a *Allocation, f int) {
	p := a.pend
	var local netip.AddrPort
	var adv netip.Addr
	if p.claimed {
		local, adv = p.next, t.advertised(p.next.Addr())
	} else {
		addrs := t.relayAddrs(a.tuple, f)
		if len(addrs) == 0 {
			t.failBind(a, f, codeFamilyNotSupported)
			return
		}
		t.turn++
		r := addrs[t.turn%uint64(len(addrs))]
		port, ok := t.seed.Ports.Take(now, r.Bind, t.seed.Rand(), p.even, p.pair)
		if !ok {
			t.failBind(a, f, codeInsufficientCapacity)
			return
		}
		local, adv = netip.AddrPortFrom(r.Bind, port), r.Advertise
	}
	r := &Relay{Bind: local, Advertised: netip.AddrPortFrom(adv, local.Port()), TCP: a.tcp, alloc: a}
	if n := len(t.free); n > 0 {
		r.Handle = t.free[n-1]
		t.free = t.free[:n-1]
		t.relays[r.Handle] = r
	} else {
		r.Handle = int32(len(t.relays)) // bounded by ports
		t.relays = append(t.relays, r)
	}
	a.relay[f] = r
	t.emit(Effect{Kind: EffectBind, Relay: r, Alloc: a})
}

func (t *Table) advertised(bind netip.Addr) netip.Addr {
	for _, r := range t.cfg.Relays {
		if r.Bind == bind {
			return r.Advertise
		}
	}
	return bind
}

// Bound is the driver's answer to EffectBind. It returns what else is to do: the answer to the client, or
// another try.
func (t *Table) Bound(now time.Time, r *Relay, err error) []Effect {
	t.begin(now)
	a := r.alloc
	if a.dead || a.pend == nil || t.relays[r.Handle] != r {
		return nil
	}
	p, f := a.pend, family(r.Bind.Addr())
	if err == nil {
		p.waiting--
		t.settle(a)
		return t.out
	}
	// Something else on this machine holds the port.
	t.relays[r.Handle] = nil
	t.free = append(t.free, r.Handle)
	a.relay[f] = nil
	t.seed.Ports.Busy(now, r.Bind)
	if p.pair {
		t.seed.Ports.Give(netip.AddrPortFrom(r.Bind.Addr(), r.Bind.Port()+1))
	}
	p.tries++
	if p.claimed || p.tries >= bindTries {
		t.failBind(a, f, codeInsufficientCapacity)
	} else {
		t.bind(now, a, f)
	}
	t.settle(a)
	return t.out
}

func (a *Allocation) failFamily(f, code int) {
	a.pend.want[f] = false
	a.familyError = code | f<<16
}

func (t *Table) failBind(a *Allocation, f, code int) {
	a.pend.waiting--
	a.failFamily(f, code)
}

// abandon undoes an allocation that never was.
func (t *Table) abandon(a *Allocation) {
	a.dead = true
	if a.sess != nil {
		a.sess.End()
	}
	if a.pend.claimed && a.relay == [2]*Relay{} {
		t.seed.Ports.Give(a.pend.next)
	}
	if t.byTuple[a.tuple] == a {
		delete(t.byTuple, a.tuple)
	}
}

// settle finishes an allocation when no bind is outstanding.
func (t *Table) settle(a *Allocation) {
	p := a.pend
	if p == nil || p.waiting > 0 || a.dead {
		return
	}
	who := identity{username: a.username, cred: a.cred}
	// RFC 8656 section 7.2: with ADDITIONAL-ADDRESS-FAMILY one family is enough.
	if a.relay[0] == nil && a.relay[1] == nil {
		p.claimed = false // a port that failed to bind was given back already
		t.abandon(a)
		t.refused(&p.ctx, who, a.familyError&0xFFFF)
		return
	}
	if p.pair {
		r := a.relay[0]
		if r == nil {
			r = a.relay[1]
		}
		next := netip.AddrPortFrom(r.Bind.Addr(), r.Bind.Port()+1)
		binary.BigEndian.PutUint64(a.token[:], t.seed.Rand())
		a.hasToken = t.seed.Ports.Reserve(t.time(t.now), a.token, next, a.cred.User)
		if !a.hasToken {
			t.seed.Ports.Give(next)
			t.dropRelay(a, family(r.Bind.Addr()))
			t.abandon(a)
			t.refused(&p.ctx, who, codeInsufficientCapacity)
			return
		}
	}
	a.pend = nil
	t.byID[a.id] = a
	a.due = a.expires
	t.timers.add(a)
	t.Stats.Allocations++
	t.emit(Effect{Kind: EffectStarted, Alloc: a})
	t.allocated(a, &p.ctx)
}

// allocated sends the success answer (section 7.2, last step).
func (t *Table) allocated(a *Allocation, c *context) {
	r := t.reply(c, stun.ClassSuccessResponse)
	for _, rel := range a.relay {
		if rel != nil {
			r.xorAddress(stun.AttrXORRelayedAddress, rel.Advertised)
		}
	}
	r.uint32(stun.AttrLifetime, t.left(a))
	if a.hasToken {
		r.Add(stun.AttrReservationToken, a.token[:])
	}
	r.xorAddress(stun.AttrXORMappedAddress, c.tuple.Client)
	if a.familyError != 0 {
		// Section 18.12: why the other family is missing.
		code := a.familyError & 0xFFFF
		r.Add(attrAddressErrorCode, append([]byte{byte(familyIPv4 + a.familyError>>16), 0, byte(code / 100), byte(code % 100)}, reason(code)...))
	}
	if a.mobile {
		r.Add(attrMobilityTicket, t.ticket(a))
	}
	t.send(r)
}

// left is the allocation's remaining lifetime in seconds, rounded up.
func (t *Table) left(a *Allocation) uint32 {
	return uint32((a.expires - t.now + instant(time.Second) - 1) / instant(time.Second)) // a day at most
}
