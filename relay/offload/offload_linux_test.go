//go:build linux && (amd64 || arm64 || riscv64 || loong64)

package offload

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jingled/jingled/relay/turn"
)

const channel = 0x4abc

// bed is one shortcut with its four sockets. What the program leaves alone arrives at server or relay.
type bed struct {
	t                               *testing.T
	dev                             turn.Offloader
	slot                            uint32
	cut                             turn.Shortcut
	client, peer, server, relaySock *net.UDPConn
}

func open(t *testing.T, mode string) turn.Offloader {
	t.Helper()
	dev, err := Open(Config{Mode: mode, Addresses: []netip.Addr{v4.relay, v6.relay}, Allocations: 16})
	mayFail(t, err)
	t.Cleanup(func() {
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	})
	return dev
}

func newBed(t *testing.T, w *world, dev turn.Offloader, a addresses, far bool) *bed {
	t.Helper()
	peer := a.peer
	if far {
		peer = a.far
	}
	b := &bed{
		t: t, dev: dev, client: w.listen(t, netip.AddrPortFrom(a.client, 0)), peer: w.listen(t, netip.AddrPortFrom(peer, 0)),
		server: listen(t, netip.AddrPortFrom(a.relay, 0)), relaySock: listen(t, netip.AddrPortFrom(a.relay, 0)),
	}
	slot, ok := dev.Acquire()
	if !ok {
		t.Fatal("no slot")
	}
	b.slot = slot
	later := time.Now().Add(time.Minute)
	b.cut = turn.Shortcut{
		Client: addrOf(b.client), Server: addrOf(b.server), Relay: addrOf(b.relaySock), Peer: addrOf(b.peer),
		Channel: channel, ToPeer: later, ToClient: later,
	}
	if err := dev.Put(slot, b.cut); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Remove(b.cut); dev.Release(slot) })
	return b
}

func payload(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + n)
	}
	if n > 0 {
		b[0] = 0x80 // RTP
	}
	return b
}

func frame(number uint16, b []byte, padding ...byte) []byte {
	out := make([]byte, 4, 4+len(b))
	binary.BigEndian.PutUint16(out, number)
	binary.BigEndian.PutUint16(out[2:], uint16(len(b)))
	return append(append(out, b...), padding...)
}

func send(t *testing.T, c *net.UDPConn, to netip.AddrPort, b []byte) {
	t.Helper()
	if _, err := c.WriteToUDPAddrPort(b, to); err != nil {
		t.Fatal(err)
	}
}

// expect reads exactly this from exactly there.
func expect(t *testing.T, c *net.UDPConn, from netip.AddrPort, want []byte) {
	t.Helper()
	buf := make([]byte, 1<<16)
	_ = c.SetReadDeadline(time.Now().Add(3 * time.Second))
	n, who, err := c.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatalf("%d bytes did not arrive: %v", len(want), err)
	}
	who = netip.AddrPortFrom(who.Addr().Unmap(), who.Port())
	if who != from || !bytes.Equal(buf[:n], want) {
		t.Fatalf("got %d bytes %.20x... from %v, want %d bytes %.20x... from %v", n, buf[:n], who, len(want), want, from)
	}
}

// relayed sends both ways and wants the kernel to relay it.
func (b *bed) relayed(n int, padding ...byte) {
	b.t.Helper()
	p := payload(n)
	send(b.t, b.client, b.cut.Server, frame(channel, p, padding...))
	expect(b.t, b.peer, b.cut.Relay, p)
	send(b.t, b.peer, b.cut.Relay, p)
	expect(b.t, b.client, b.cut.Server, frame(channel, p))
}

// left sends a client's packet that must arrive at the server's socket as it is.
func (b *bed) left(what string, packet []byte) {
	b.t.Helper()
	before := b.dev.Used(b.slot)
	send(b.t, b.client, b.cut.Server, packet)
	expect(b.t, b.server, b.cut.Client, packet)
	if after := b.dev.Used(b.slot); after != before {
		b.t.Errorf("%s: was counted: %+v, before %+v", what, after, before)
	}
}

var unlimited = [2]uint64{math.MaxUint64, math.MaxUint64}

// each runs a test for every mode, family and way of making checksums.
func each(t *testing.T, f func(t *testing.T, w *world, dev turn.Offloader, a addresses)) {
	for _, mode := range []string{TC, XDP} {
		for _, sums := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/card=%v", mode, sums), func(t *testing.T) {
				w := build(t, sums)
				dev := open(t, mode)
				for name, a := range map[string]addresses{"v4": v4, "v6": v6} {
					t.Run(name, func(t *testing.T) { f(t, w, dev, a) })
				}
			})
		}
	}
}

// TestRelaying: payloads of all shapes arrive as they were, both ways, and are counted.
func TestRelaying(t *testing.T) {
	if !inside(t) {
		return
	}
	each(t, func(t *testing.T, w *world, dev turn.Offloader, a addresses) {
		for _, far := range []bool{false, true} {
			b := newBed(t, w, dev, a, far)
			dev.Grant(b.slot, unlimited)
			var packets, size uint64
			for _, n := range []int{4, 5, 7, 8, 12, 13, 31, 172, 173, 500, 511, 512, 513, 1023, 1024, 1025, 1200, 1399, 1400} {
				b.relayed(n)
				packets, size = packets+1, size+uint64(n)
				// RFC 8656 section 12.5: padding over UDP is not required but allowed.
				if pad := -n & 3; pad > 0 {
					b.relayed(n, make([]byte, pad)...)
					packets, size = packets+1, size+uint64(n)
				}
			}
			want := turn.OffloadUsage{Packets: [2]uint64{packets, packets}, Bytes: [2]uint64{size, size}}
			// Towards the client, payloads that are smaller than ChannelData's header are left to the sockets.
			for n := 1; n < 4; n++ {
				send(t, b.client, b.cut.Server, frame(channel, payload(n)))
				expect(t, b.peer, b.cut.Relay, payload(n))
				want.Packets[0]++
				want.Bytes[0] += uint64(n)
			}
			if got := dev.Used(b.slot); got != want {
				t.Errorf("far=%v: used %+v, want %+v", far, got, want)
			}
			if all := dev.Snapshot(nil); all[b.slot] != want {
				t.Errorf("far=%v: snapshot %+v, want %+v", far, all[b.slot], want)
			}
		}
	})
}

// TestLeftAlone: what is not plainly a channel's data goes to the sockets, unchanged and uncounted.
func TestLeftAlone(t *testing.T) {
	if !inside(t) {
		return
	}
	each(t, func(t *testing.T, w *world, dev turn.Offloader, a addresses) {
		b := newBed(t, w, dev, a, false)
		dev.Grant(b.slot, unlimited)
		p := payload(100)
		b.relayed(100)
		b.left("another channel", frame(channel+1, p))
		b.left("a STUN message", append([]byte{0, 1, 0, 80, 0x21, 0x12, 0xa4, 0x42}, p...))
		b.left("a length beyond the packet", frame(channel, p)[:90])
		b.left("more than padding behind it", frame(channel, p, 0, 0, 0, 0))
		b.left("padding that is no zeros", frame(channel, p[:99], 1))
		b.left("nothing in it", frame(channel, nil))
		b.left("fragments", frame(channel, payload(3000)))

		// What is as large as the path allows has no room for ChannelData's header.
		largest := 1500 - 28
		if a.client.Is6() {
			largest = 1500 - 48
		}
		for _, n := range []int{1, 2, 3, largest - 3, largest} {
			send(t, b.peer, b.cut.Relay, payload(n))
			expect(t, b.relaySock, b.cut.Peer, payload(n))
		}
		before := dev.Used(b.slot).Packets
		b.relayed(largest - 4)
		if after := dev.Used(b.slot).Packets; after[0] != before[0]+1 || after[1] != before[1]+1 {
			t.Errorf("packets %v, before %v", after, before)
		}

		// From a stranger to the relayed address, and from the peer to another port.
		other := w.listen(t, netip.AddrPortFrom(a.peer, 0))
		send(t, other, b.cut.Relay, p)
		expect(t, b.relaySock, addrOf(other), p)
		send(t, b.peer, b.cut.Server, p)
		expect(t, b.server, b.cut.Peer, p)

		// A packet that may not be forwarded once more.
		hops := func(n int) {
			raw, err := b.client.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			_ = raw.Control(func(fd uintptr) {
				if a.client.Is4() {
					err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, n)
				} else {
					err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, n)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		hops(1)
		b.left("one hop", frame(channel, p))
		hops(2)
		b.relayed(50)

		// IP options, and extension headers.
		raw, err := b.client.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.Control(func(fd uintptr) {
			if a.client.Is4() {
				err = unix.SetsockoptString(int(fd), unix.IPPROTO_IP, unix.IP_OPTIONS, "\x01\x01\x01\x00")
			} else {
				err = unix.SetsockoptString(int(fd), unix.IPPROTO_IPV6, unix.IPV6_DSTOPTS, "\x00\x00\x01\x04\x00\x00\x00\x00")
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		b.left("IP options", frame(channel, p))
	})
}

// TestNoWay: a peer whose next hop is not known, or that is on this machine.
func TestNoWay(t *testing.T) {
	if !inside(t) {
		return
	}
	each(t, func(t *testing.T, w *world, dev turn.Offloader, a addresses) {
		for _, peer := range []netip.Addr{a.far.Next().Next(), a.relay, lastOf(a.relay)} {
			b := newBed(t, w, dev, a, false)
			dev.Grant(b.slot, unlimited)
			dev.Remove(b.cut)
			b.cut.Peer = netip.AddrPortFrom(peer, 40000)
			if err := dev.Put(b.slot, b.cut); err != nil {
				t.Fatal(err)
			}
			if peer.Compare(a.far) > 0 && peer.Is4() == a.far.Is4() && peer != a.relay && sameNet(peer, a.far) {
				continue // behind the gateway everything has a next hop
			}
			b.left(fmt.Sprintf("to %v", peer), frame(channel, payload(60)))
		}
	})
}

func sameNet(a, b netip.Addr) bool {
	p, _ := b.Prefix(16)
	return p.Contains(a)
}

// lastOf is an address of the relay's network that nobody has.
func lastOf(a netip.Addr) netip.Addr {
	b := a.AsSlice()
	b[len(b)-1] = 0xEE
	x, _ := netip.AddrFromSlice(b)
	return x
}

// TestLimits: a slot relays what it was granted and not a byte more.
func TestLimits(t *testing.T) {
	if !inside(t) {
		return
	}
	each(t, func(t *testing.T, w *world, dev turn.Offloader, a addresses) {
		b := newBed(t, w, dev, a, false)
		p := payload(100)
		b.left("nothing granted", frame(channel, p))
		dev.Grant(b.slot, [2]uint64{250, 99})
		for range 2 {
			send(t, b.client, b.cut.Server, frame(channel, p))
			expect(t, b.peer, b.cut.Relay, p)
		}
		b.left("200 of 250 used", frame(channel, p))
		send(t, b.peer, b.cut.Relay, p)
		expect(t, b.relaySock, b.cut.Peer, p)
		dev.Grant(b.slot, [2]uint64{300, 100})
		b.relayed(100)
		b.left("300 of 300 used", frame(channel, p))
	})
}

// TestExpiry: routes end by their own time, each direction by its own, and when they are taken away.
func TestExpiry(t *testing.T) {
	if !inside(t) {
		return
	}
	each(t, func(t *testing.T, w *world, dev turn.Offloader, a addresses) {
		b := newBed(t, w, dev, a, false)
		dev.Grant(b.slot, unlimited)
		p := payload(100)
		b.relayed(100)
		// The permission has run out, the channel has not.
		b.cut.ToClient = time.Now().Add(-time.Second)
		if err := dev.Put(b.slot, b.cut); err != nil {
			t.Fatal(err)
		}
		send(t, b.client, b.cut.Server, frame(channel, p))
		expect(t, b.peer, b.cut.Relay, p)
		send(t, b.peer, b.cut.Relay, p)
		expect(t, b.relaySock, b.cut.Peer, p)
		// Time passes in the kernel, without anybody's doing.
		b.cut.ToPeer = time.Now().Add(150 * time.Millisecond)
		if err := dev.Put(b.slot, b.cut); err != nil {
			t.Fatal(err)
		}
		send(t, b.client, b.cut.Server, frame(channel, p))
		expect(t, b.peer, b.cut.Relay, p)
		time.Sleep(time.Until(b.cut.ToPeer))
		b.left("expired", frame(channel, p))
		b.cut.ToPeer, b.cut.ToClient = time.Now().Add(time.Minute), time.Now().Add(time.Minute)
		if err := dev.Put(b.slot, b.cut); err != nil {
			t.Fatal(err)
		}
		b.relayed(100)
		dev.Remove(b.cut)
		b.left("removed", frame(channel, p))
		send(t, b.peer, b.cut.Relay, p)
		expect(t, b.relaySock, b.cut.Peer, p)
	})
}

// TestSlots: slots run out, come back, and begin at nothing.
func TestSlots(t *testing.T) {
	if !inside(t) {
		return
	}
	build(t, true)
	dev := open(t, TC)
	var got []uint32
	for {
		s, ok := dev.Acquire()
		if !ok {
			break
		}
		got = append(got, s)
	}
	if len(got) != 16 {
		t.Fatalf("%d slots, want 16", len(got))
	}
	dev.Release(got[3])
	if s, ok := dev.Acquire(); !ok || s != got[3] || dev.Used(s) != (turn.OffloadUsage{}) {
		t.Errorf("slot %d %v, used %+v", s, ok, dev.Used(s))
	}
}

// TestRefusals: what cannot work is said at once.
func TestRefusals(t *testing.T) {
	if _, err := Open(Config{Mode: "gpu"}); !errors.Is(err, ErrConfig) {
		t.Errorf("mode gpu: %v", err)
	}
	if _, err := Open(Config{Mode: TC, Interfaces: []string{"no-such-if"}}); !errors.Is(err, ErrConfig) {
		t.Errorf("no such interface: %v", err)
	}
	if _, err := Open(Config{Mode: TC, Interfaces: []string{"lo"}}); !errors.Is(err, ErrConfig) {
		t.Errorf("loopback: %v", err)
	}
	if _, err := Open(Config{Mode: XDP, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.77")}}); !errors.Is(err, ErrConfig) {
		t.Errorf("an address that is not here: %v", err)
	}
}

// TestForwardingIsNeeded: without it the kernel tells no next hops, and Open says so.
func TestForwardingIsNeeded(t *testing.T) {
	if !inside(t) {
		return
	}
	build(t, true)
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+relayIf+"/forwarding", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Mode: TC, Addresses: []netip.Addr{v6.relay}}); !errors.Is(err, ErrConfig) {
		t.Errorf("without forwarding: %v", err)
	}
}
