package turn

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jingled/jingled/relay/turn/alloc"
)

// sendTrain sends b as datagrams of size bytes with one call, as a network card's receive offload would hand them over.
func sendTrain(t *testing.T, c *net.UDPConn, b []byte, size int, to netip.AddrPort) {
	t.Helper()
	oob := make([]byte, unix.CmsgSpace(2))
	h := (*[unix.SizeofCmsghdr]byte)(oob)
	binary.NativeEndian.PutUint64(h[:], uint64(unix.CmsgLen(2)))
	binary.NativeEndian.PutUint32(h[8:], unix.IPPROTO_UDP)
	binary.NativeEndian.PutUint32(h[12:], unix.UDP_SEGMENT)
	binary.NativeEndian.PutUint16(oob[unix.CmsgLen(0):], uint16(size))
	var err error
	if to.IsValid() {
		_, _, err = c.WriteMsgUDPAddrPort(b, oob, to)
	} else {
		_, _, err = c.WriteMsgUDP(b, oob, nil)
	}
	if err != nil {
		t.Fatalf("the kernel does not segment: %v", err)
	}
}

// TestTrains: trains are relayed as trains, whole and in order, with channels and with indications, over IPv4 and IPv6, and cost one
// system call where the single packets would cost one each.
func TestTrains(t *testing.T) {
	c := testConfig(t)
	c.Loops = 1
	s := start(t, c)
	for _, v6 := range []bool{false, true} {
		if v6 && !hasIPv6() {
			continue
		}
		host, family := "127.0.0.1", byte(1)
		if v6 {
			host, family = "::1", 2
		}
		pc, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
		peer := pc.(*net.UDPConn)
		to := peer.LocalAddr().(*net.UDPAddr).AddrPort()
		a := rawUDP(t, addr(t, s, alloc.UDP, v6))
		relay := a.allocate(attribute{0x0017, []byte{family, 0, 0, 0}})
		if code := a.bind(0x4000, to); code != 0 {
			t.Fatal(code)
		}
		before := s.Counters()
		const packets, rounds = 16, 5
		buf := make([]byte, 1<<16)
		for round := range rounds {
			var train []byte
			for i := range packets {
				size := 1200
				if i == packets-1 {
					size = 500
				}
				train = append(train, channelData(0x4000, bytes.Repeat([]byte{byte(round*packets + i)}, size))...)
			}
			sendTrain(t, a.conn.(*net.UDPConn), train, 1204, netip.AddrPort{})
			for i := range packets {
				_ = peer.SetReadDeadline(time.Now().Add(5 * time.Second))
				n, _, err := peer.ReadFrom(buf)
				if err != nil || buf[0] != byte(round*packets+i) || (i < packets-1 && n != 1200) || (i == packets-1 && n != 500) {
					t.Fatalf("v6=%v to peer: packet %d has %d bytes, starts with %d: %v", v6, i, n, buf[0], err)
				}
			}
			// Back: a train of plain packets.
			var plain []byte
			for i := range packets {
				plain = append(plain, bytes.Repeat([]byte{byte(100 + i)}, 1200)...)
			}
			sendTrain(t, peer, plain[:len(plain)-700], 1200, relay)
			for i := range packets {
				b, err := a.next()
				want := 1200
				if i == packets-1 {
					want = 500
				}
				if err != nil || len(b) != 4+want || b[4] != byte(100+i) {
					t.Fatalf("v6=%v to client: packet %d has %d bytes: %v", v6, i, len(b), err)
				}
			}
		}
		after := s.Counters()
		if got := after.PacketsToPeer - before.PacketsToPeer; got != packets*rounds {
			t.Errorf("%d packets to the peer", got)
		}
		// A train may be split once by the kernel, not into packets.
		if got := after.BatchesToPeer - before.BatchesToPeer; got > 3*rounds {
			t.Errorf("v6=%v: %d packets to the peer took %d sends", v6, packets*rounds, got)
		}
		if got := after.BatchesToClient - before.BatchesToClient; got > 3*rounds {
			t.Errorf("v6=%v: %d packets to the client took %d sends", v6, packets*rounds, got)
		}
	}
}

// TestPacer: no sleep at low rates, none when rounds are long, a sleep in between.
func TestPacer(t *testing.T) {
	run := func(rate int, work time.Duration) time.Duration {
		p := pacer{max: 2 * time.Millisecond, above: 5000}
		now := time.Now()
		p.start = now.Add(-rateWindow)
		p.n = rate / int(time.Second/rateWindow)
		begun := now.Add(-work)
		// The window ends with this round.
		p.start = begun.Add(-rateWindow)
		start := time.Now()
		p.round(begun, 1, false)
		return time.Since(start)
	}
	if d := run(1000, 0); d > time.Millisecond {
		t.Errorf("slept %v at 1000 packets/s", d)
	}
	if d := run(100_000, 0); d < 2*time.Millisecond {
		t.Errorf("slept %v at 100,000 packets/s", d)
	}
	if d := run(100_000, 3*time.Millisecond); d > time.Millisecond {
		t.Errorf("slept %v when saturated", d)
	}
}
