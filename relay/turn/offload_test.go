package turn

import (
	"errors"
	"math"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/jingled/jingled/relay/turn/alloc"
)

// ledger is an Offloader that relays nothing and writes down what it is told.
type ledger struct {
	mu       sync.Mutex
	free     []uint32
	have     map[uint16]Shortcut
	grants   map[uint32][2]uint64
	used     [4]OffloadUsage
	released int
	closed   bool
}

func newLedger() *ledger {
	return &ledger{free: []uint32{3, 2}, have: map[uint16]Shortcut{}, grants: map[uint32][2]uint64{}}
}

func (l *ledger) Acquire() (uint32, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.free) == 0 {
		return 0, false
	}
	s := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	l.used[s] = OffloadUsage{}
	return s, true
}

func (l *ledger) Release(slot uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = append(l.free, slot)
	l.released++
}

func (l *ledger) Put(_ uint32, s Shortcut) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.have[s.Channel] = s
	return nil
}

func (l *ledger) Remove(s Shortcut) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.have, s.Channel)
}

func (l *ledger) Grant(slot uint32, bytes [2]uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.grants[slot] = bytes
}

func (l *ledger) Used(slot uint32) OffloadUsage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.used[slot]
}

func (l *ledger) Snapshot([]OffloadUsage) []OffloadUsage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]OffloadUsage(nil), l.used[:]...)
}

func (l *ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}

func (l *ledger) relay(slot uint32, d alloc.Direction, packets, bytes uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used[slot].Packets[d] += packets
	l.used[slot].Bytes[d] += bytes
}

func (l *ledger) channels() []Shortcut {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Shortcut
	for _, s := range l.have {
		out = append(out, s)
	}
	return out
}

// meter is a Limiter whose Session has so many bytes.
type meter struct {
	mu    sync.Mutex
	left  int
	spent int
}

func (m *meter) Begin(time.Time, string, netip.AddrPort) (Session, error) { return m, nil }
func (m *meter) End()                                                     {}
func (m *meter) Charge(_ time.Time, _ alloc.Direction, n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n > m.left {
		return false
	}
	m.left -= n
	m.spent += n
	return true
}

// TestOffloader: channels are handed over, what was relayed below is accounted for, and all is taken back at the end.
func TestOffloader(t *testing.T) {
	for _, limited := range []bool{false, true} {
		l := newLedger()
		t.Cleanup(func() { // after the server's end
			if !l.closed {
				t.Error("the offloader was not closed")
			}
		})
		c := testConfig(t)
		var addrs []netip.Addr
		c.Offload = func(a []netip.Addr) (Offloader, error) { addrs = a; return l, nil }
		m := &meter{left: 100 << 10}
		if limited {
			c.Limits = m
		}
		s := start(t, c)
		if len(addrs) == 0 || addrs[0] != netip.MustParseAddr("127.0.0.1") {
			t.Fatalf("asked to offload for %v", addrs)
		}
		// The relay's own address would not do: peers there are reached by other rules.
		peer := echo(t, "127.0.0.2")
		client := dialTURN(t, s, alloc.UDP, false)
		relay, err := client.Allocate()
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, "a channel to be offloaded", func() bool {
			_, _ = relay.WriteTo([]byte("hello"), net.UDPAddrFromAddrPort(peer))
			return len(l.channels()) == 1
		})
		cut := l.channels()[0]
		if cut.Peer != peer || cut.Server != addr(t, s, alloc.UDP, false) || cut.Relay.String() != relay.LocalAddr().String() {
			t.Errorf("offloaded %+v", cut)
		}
		// RFC 8656: permissions live for 5 minutes, channels for 10.
		if d := time.Until(cut.ToClient); d < 4*time.Minute || d > 5*time.Minute {
			t.Errorf("towards the client until %v", d)
		}
		if d := time.Until(cut.ToPeer); d < 9*time.Minute || d > 10*time.Minute {
			t.Errorf("towards the peer until %v", d)
		}
		want := [2]uint64{math.MaxUint64, math.MaxUint64}
		if limited {
			want = [2]uint64{minGrant, minGrant}
		}
		if l.grants[2] != want {
			t.Errorf("granted %v, want %v", l.grants[2], want)
		}
		before := s.Counters()
		l.relay(2, alloc.ToPeer, 10, 15000)
		l.relay(2, alloc.ToClient, 5, 500)
		waitFor(t, "the counters", func() bool { return s.Counters().OffloadPackets == 15 })
		after := s.Counters()
		if after.PacketsToPeer-before.PacketsToPeer < 10 || after.BytesToClient-before.BytesToClient < 500 {
			t.Errorf("counted %+v, before %+v", after, before)
		}
		if limited {
			// Twice what was used lately is paid for, and nothing beyond what the session has.
			waitFor(t, "a larger grant", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.grants[2][0] == 15000+30000 })
			l.mu.Lock()
			granted := l.grants[2][0] + l.grants[2][1]
			l.mu.Unlock()
			m.mu.Lock()
			if uint64(m.spent) < granted {
				t.Errorf("granted %d bytes, paid for %d", granted, m.spent)
			}
			m.mu.Unlock()
		}
		// What is relayed between the last look and the end counts too.
		l.relay(2, alloc.ToPeer, 1, 100)
		if err := relay.Close(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the end of the session", func() bool { return s.Counters().Allocations == 0 })
		if got := s.Counters().OffloadPackets; got != 16 {
			t.Errorf("%d packets offloaded, want 16", got)
		}
		l.mu.Lock()
		if len(l.have) != 0 || l.released != 1 {
			t.Errorf("left behind: %v, released %d", l.have, l.released)
		}
		l.mu.Unlock()
	}
}

// TestNoOffloader: without one the sockets do all.
func TestNoOffloader(t *testing.T) {
	c := testConfig(t)
	c.Offload = func([]netip.Addr) (Offloader, error) { return nil, errors.New("no such kernel") }
	s := start(t, c)
	pionEcho(t, s, alloc.UDP, false)
	if c := s.Counters(); c.OffloadPackets != 0 || c.PacketsToPeer == 0 {
		t.Errorf("%+v", c)
	}
}
