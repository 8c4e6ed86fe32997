package alloc

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// FuzzMessage: no packet makes the decoder or the table panic, and nothing unauthenticated gets an answer that has no
// place in the budget.
func FuzzMessage(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		w := newWorld(t)
		w.cfg.UnauthRate = -1
		w.table.Reconfigure(w.cfg)
		before := slices.Clone(b)
		var r Route
		if w.table.FromClient(w.now, nil, b, &r) == Forward {
			t.Error("data without an allocation was forwarded")
		}
		for _, e := range w.table.Message(w.now, tuple("c1"), b) {
			if e.Kind == EffectSend && len(e.Data) > len(b) {
				t.Errorf("answer of %d bytes to %d unauthenticated bytes", len(e.Data), len(b))
			}
		}
		if !slices.Equal(before, b) {
			t.Error("the packet was changed")
		}
		n, err := Frame(b)
		if n > len(b) || err != nil && n != 0 {
			t.Errorf("frame of %d in %d bytes, %v", n, len(b), err)
		}
	})
}

func seeds() [][]byte {
	var out [][]byte
	add := func(m *stun.Message) { out = append(out, slices.Clone(m.Raw)) }
	for _, typ := range []stun.Method{stun.MethodBinding, stun.MethodAllocate, stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind, stun.MethodConnect} {
		m := stun.New()
		m.Type = stun.NewType(typ, stun.ClassRequest)
		m.WriteHeader()
		m.Add(stun.AttrRequestedTransport, []byte{17, 0, 0, 0})
		m.Add(stun.AttrXORPeerAddress, []byte{0, 1, 1, 2, 3, 4, 5, 6})
		m.Add(stun.AttrUsername, []byte("alice"))
		m.Add(stun.AttrRealm, []byte("example.org"))
		m.Add(stun.AttrNonce, []byte("0123456789abcdef"))
		sign(m, testKey("alice", "example.org", MD5), false)
		_ = stun.Fingerprint.AddTo(m)
		add(m)
	}
	return append(out, []byte{0x40, 0, 0, 4, 1, 2, 3, 4}, []byte{0x40, 0, 0xff, 0xff}, make([]byte, 20))
}

// FuzzSession plays whole sessions: the bytes choose inputs of several clients and peers, corrupted or not, and the passing of time.
// The table's invariants hold after each.
func FuzzSession(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13})
	f.Add([]byte{0, 0, 16, 2, 32, 3, 48, 4, 64, 5, 80, 9, 96, 13, 112, 12, 1, 10})
	f.Fuzz(func(t *testing.T, script []byte) {
		w := newWorld(t)
		w.cfg.TCPRelay = true
		w.table.Reconfigure(w.cfg)
		clients := []string{"c1", "c2", "c1b", "t1", "t2", "v1"}
		peers := []string{"203.0.113.5:5000", "203.0.113.6:6000", "[2001:db8:5::1]:5000", "10.0.0.1:5000", "[::ffff:10.0.0.1]:5000", "198.51.100.1:49152"}
		rng := rand.New(rand.NewPCG(3, 4))
		for i := 0; i+1 < len(script) && i < 400; i += 2 {
			op, arg := script[i], script[i+1]
			c := clients[int(op>>4)%len(clients)]
			p := peers[int(arg)%len(peers)]
			num := []string{"0x4000", "0x4001", "0x4002"}[int(arg>>4)%3]
			switch op & 0x0F {
			case 0:
				w.play("allocate " + c)
			case 1:
				w.play("allocate " + c + " additional=2 mobility save=m")
			case 2:
				w.play("allocate " + c + " pair save=m")
			case 3:
				w.play("refresh " + c)
			case 4:
				w.play("refresh " + c + " lifetime=0")
			case 5:
				w.play("permit " + c + " peer=" + netip.MustParseAddrPort(p).Addr().String())
			case 6:
				w.play("channel " + c + " number=" + num + " peer=" + p)
			case 7:
				w.play("data " + c + " " + num + " hello")
			case 8:
				w.play("send " + c + " peer=" + p + " data=x")
			case 9:
				w.play("allocate " + c + " transport=6")
			case 10:
				w.play("connect " + c + " peer=" + p)
			case 11:
				w.now = w.now.Add(time.Duration(arg) * 3 * time.Second)
				w.run(w.table.Expire(w.now))
			case 12:
				w.run(w.table.ClientGone(w.now, tuple(c)))
			case 13:
				// A corrupted request: some bytes of a good one are changed.
				m := slices.Clone(seeds()[int(arg)%6])
				m[rng.IntN(len(m))] ^= byte(1 + rng.IntN(255))
				w.client(c, m)
			case 14:
				if w.saved["m"] != nil {
					w.play("refresh " + c + " mobility=m")
				}
			case 15:
				for _, r := range w.bound {
					var head [MaxHead]byte
					peer := netip.MustParseAddrPort(p)
					if _, _, v := w.table.FromPeer(w.now, r, peer, 10, &head); v == Forward && w.denied[peer.Addr()] {
						t.Error("a denied peer reached a client")
					}
					break
				}
			}
			w.invariants()
		}
		for a := range w.table.All {
			for _, p := range a.perms.list {
				if w.denied[p.addr] || p.addr.Is4In6() {
					t.Errorf("permission for %v", p.addr)
				}
			}
		}
		for a := range w.table.All {
			w.run(w.table.Kick(w.now, a, EndShutdown))
		}
		w.invariants()
	})
}

// TestPortsProperties: every port is handed out once, none outside the range, and all come back.
func TestPortsProperties(t *testing.T) {
	addr := netip.MustParseAddr("198.51.100.1")
	now := time.Unix(1, 0)
	for _, r := range [][2]uint16{{49152, 65535}, {1025, 1025}, {1025, 1100}, {65000, 65535}, {50001, 50063}} {
		p := NewPorts(r[0], r[1])
		rng := rand.New(rand.NewPCG(1, uint64(r[0])))
		seen := map[uint16]bool{}
		for {
			port, ok := p.Take(now, addr, rng.Uint64(), false, false)
			if !ok {
				break
			}
			if seen[port] || port < r[0] || port > r[1] {
				t.Fatalf("port %d twice or outside %v", port, r)
			}
			seen[port] = true
		}
		// The range is used to the last port: no "full" at half of it.
		if want := int(r[1]) - int(r[0]) + 1; len(seen) != want {
			t.Errorf("%v: %d ports of %d", r, len(seen), want)
		}
		for port := range seen {
			p.Give(netip.AddrPortFrom(addr, port))
			p.Give(netip.AddrPortFrom(addr, port)) // twice is harmless
		}
		if p.Free() != len(seen) {
			t.Errorf("%v: %d free of %d", r, p.Free(), len(seen))
		}
		// Pairs are even and next to each other.
		for range 1000 {
			port, ok := p.Take(now, addr, rng.Uint64(), true, true)
			if !ok {
				break
			}
			if port%2 != 0 || !p.Live(netip.AddrPortFrom(addr, port+1)) || port+1 > r[1] {
				t.Errorf("pair at %d", port)
			}
		}
	}
}

// TestNoAllocations: the data path allocates nothing.
func TestNoAllocations(t *testing.T) {
	w := newWorld(t)
	w.play("allocate c1")
	w.play("channel c1 number=0x4000 peer=203.0.113.5:5000")
	w.play("permit c1 peer=203.0.113.6")
	a := w.table.Lookup(tuple("c1"))
	data := append([]byte{0x40, 0, 0, 160}, make([]byte, 160)...)
	send := w.sendIndication([]string{"peer=203.0.113.6:6000", "big=160"})
	peer, other := netip.MustParseAddrPort("203.0.113.5:5000"), netip.MustParseAddrPort("203.0.113.6:6000")
	var r Route
	var head [MaxHead]byte
	for name, f := range map[string]func() Verdict{
		"channel data":    func() Verdict { return w.table.FromClient(w.now, a, data, &r) },
		"send indication": func() Verdict { return w.table.FromClient(w.now, a, send, &r) },
		"channel peer":    func() Verdict { _, _, v := w.table.FromPeer(w.now, a.relay[0], peer, 160, &head); return v },
		"data indication": func() Verdict { _, _, v := w.table.FromPeer(w.now, a.relay[0], other, 160, &head); return v },
		"lookup": func() Verdict {
			if w.table.Lookup(a.tuple) == nil {
				return Drop
			}
			return Forward
		},
	} {
		if n := testing.AllocsPerRun(100, func() {
			if f() != Forward {
				t.Fatalf("%s is not forwarded", name)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// TestBudget: over a second, unauthenticated answers to one prefix exceed what it sent by no more than burst and rate.
func TestBudget(t *testing.T) {
	b := newBudget(1000, 12345)
	a, c := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.200")
	over := 0
	for ms := range 10_000 {
		for _, x := range []netip.Addr{a, c} {
			if b.spend(instant(ms)*1e6, x, 28, 100) {
				over += 72
			}
		}
	}
	if limit := 1000*burstTime + 1000*10; over > limit || over < limit*9/10 {
		t.Errorf("%d bytes over, limit %d", over, limit)
	}
	if !b.spend(1e10, a, 100, 100) {
		t.Error("an answer no larger than its request was held back")
	}
}

var errInUse = errors.New("in use")

// TestExhaustion: with every port taken, new clients get 508 and the old ones live on.
func TestExhaustion(t *testing.T) {
	w := newWorld(t)
	w.quota = 1000
	for i := range 40 {
		ft := tuple("c1")
		ft.Client = netip.AddrPortFrom(ft.Client.Addr(), uint16(2000+i))
		m := stun.New()
		m.Type = stun.NewType(stun.MethodAllocate, stun.ClassRequest)
		binary.BigEndian.PutUint64(m.TransactionID[:], uint64(i))
		m.WriteHeader()
		m.Add(stun.AttrRequestedTransport, []byte{17, 0, 0, 0})
		m.Add(stun.AttrUsername, []byte("alice"))
		m.Add(stun.AttrRealm, []byte("example.org"))
		m.Add(stun.AttrNonce, w.table.nonce(w.now, ft.Client.Addr()))
		sign(m, testKey("alice", "example.org", MD5), false)
		w.run(w.table.Message(w.now, ft, m.Raw))
	}
	if w.table.Len() != 12 || w.table.Stats.ErrorCodes[508] != 28 {
		t.Errorf("%d allocations, errors %v", w.table.Len(), w.table.Stats.ErrorCodes)
	}
	w.invariants()
	for _, r := range w.bound {
		if len(w.table.Bound(w.now, r, errInUse)) != 0 {
			t.Error("a second Bound did something")
		}
		break
	}
}
