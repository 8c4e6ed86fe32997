package turn

import (
	"net"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"github.com/jingled/jingled/relay/turn/alloc"
)

// connections counts the sockets that are connected to peers.
func connections(s *Server) int {
	n := 0
	for _, sh := range s.shards {
		sh.mu.Lock()
		n += sh.io.(*fastIO).connections
		sh.mu.Unlock()
	}
	return n
}

// TestConnected: the peer that most packets go to gets a socket of its own, nobody else notices, the address of the relay stays the
// same, and the socket follows when another peer takes its place.
func TestConnected(t *testing.T) {
	c := testConfig(t)
	c.Loops = 1
	s := start(t, c)
	for _, host := range []string{"127.0.0.1", "::1"} {
		v6 := host == "::1"
		if v6 && !hasIPv6() {
			continue
		}
		t.Run(host, func(t *testing.T) {
			family := byte(1)
			if v6 {
				family = 2
			}
			var peers [2]*net.UDPConn
			a := rawUDP(t, addr(t, s, alloc.UDP, v6))
			relay := a.allocate(attribute{0x0017, []byte{family, 0, 0, 0}})
			for i := range peers {
				pc, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
				if err != nil {
					t.Fatal(err)
				}
				defer pc.Close()
				peers[i] = pc.(*net.UDPConn)
				if code := a.bind(0x4000+uint16(i), peers[i].LocalAddr().(*net.UDPAddr).AddrPort()); code != 0 {
					t.Fatal(code)
				}
			}
			buf := make([]byte, 4096)
			there := func(i int, what byte) {
				t.Helper()
				if _, err := a.conn.Write(channelData(0x4000+uint16(i), []byte{what, 2, 3, 4})); err != nil {
					t.Fatal(err)
				}
				_ = peers[i].SetReadDeadline(time.Now().Add(20 * time.Second))
				n, from, err := peers[i].ReadFromUDPAddrPort(buf)
				if err != nil || n != 4 || buf[0] != what || from != relay {
					t.Fatalf("peer %d: %d bytes of %d from %v, not %v: %v", i, n, buf[0], from, relay, err)
				}
			}
			back := func(i int, what byte) {
				t.Helper()
				if _, err := peers[i].WriteToUDPAddrPort([]byte{what}, relay); err != nil {
					t.Fatal(err)
				}
				b, err := a.next()
				if err != nil || len(b) < 5 || b[1] != byte(i) || b[4] != what {
					t.Fatalf("from peer %d: %v, %v", i, b, err)
				}
			}
			before := connections(s)
			for n := range 3 * steady {
				there(0, byte(n))
				back(0, byte(n))
				back(1, byte(n))
			}
			if got := connections(s) - before; got != 1 {
				t.Fatalf("%d sockets for one steady peer", got)
			}
			// A burst is more than a read of one packet takes.
			for n := range 50 {
				if _, err := peers[0].WriteToUDPAddrPort([]byte{byte(n)}, relay); err != nil {
					t.Fatal(err)
				}
			}
			for n := range 50 {
				if b, err := a.next(); err != nil || len(b) < 5 || b[4] != byte(n) {
					t.Fatalf("packet %d of a burst: %v, %v", n, b, err)
				}
			}
			for n := range 3 * steady {
				there(1, byte(n))
				back(1, byte(n))
				back(0, byte(n))
			}
			if got := connections(s) - before; got != 1 {
				t.Fatalf("%d sockets after another peer took over", got)
			}
			if _, code := a.do(stun.MethodRefresh, attribute{0x000d, []byte{0, 0, 0, 0}}); code != 0 {
				t.Fatalf("the allocation's end: %d", code)
			}
			if got := connections(s) - before; got != 0 {
				t.Errorf("%d sockets are left behind", got)
			}
		})
	}
}

// TestConnectedHasLimit: without room for more sockets everything goes on as before.
func TestConnectedHasLimit(t *testing.T) {
	c := testConfig(t)
	c.Loops = 1
	s := start(t, c)
	s.shards[0].mu.Lock()
	s.shards[0].io.(*fastIO).maxConnections = 0
	s.shards[0].mu.Unlock()
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	a := rawUDP(t, addr(t, s, alloc.UDP, false))
	a.allocate()
	if code := a.bind(0x4000, pc.LocalAddr().(*net.UDPAddr).AddrPort()); code != 0 {
		t.Fatal(code)
	}
	buf := make([]byte, 100)
	for n := range 3 * steady {
		if _, err := a.conn.Write(channelData(0x4000, []byte{byte(n)})); err != nil {
			t.Fatal(err)
		}
		_ = pc.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, _, err := pc.ReadFromUDPAddrPort(buf); err != nil || buf[0] != byte(n) {
			t.Fatalf("packet %d: %d, %v", n, buf[0], err)
		}
	}
	if got := connections(s); got != 0 {
		t.Errorf("%d sockets above the limit", got)
	}
}
