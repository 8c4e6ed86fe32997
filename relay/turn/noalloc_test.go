//go:build !race

package turn

import (
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/jingled/jingled/relay/turn/alloc"
)

// TestNoAllocationPerPacket counts the whole process while packets are relayed: server, client and peer. The race detector
// allocates on its own, so it is not asked.
func TestNoAllocationPerPacket(t *testing.T) {
	paths(t, func(t *testing.T, c Config) {
		c.Loops = 1
		s := start(t, c)
		pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
		to := pc.LocalAddr().(*net.UDPAddr).AddrPort()
		for _, tr := range []Transport{alloc.UDP, alloc.TCP} {
			network := "udp"
			if tr == alloc.TCP {
				network = "tcp"
			}
			a := rawDial(t, network, addr(t, s, tr, false))
			relay := a.allocate()
			if code := a.bind(0x4000, to); code != 0 {
				t.Fatal(code)
			}
			packet, plain, buf := channelData(0x4000, make([]byte, 172)), make([]byte, 172), make([]byte, 4096)
			_ = a.conn.SetDeadline(time.Now().Add(20 * time.Second))
			_ = pc.SetDeadline(time.Now().Add(20 * time.Second))
			round := func() {
				if _, err := a.conn.Write(packet); err != nil {
					t.Fatal(err)
				}
				if _, _, err := pc.ReadFromUDPAddrPort(buf); err != nil {
					t.Fatal(err)
				}
				if _, err := pc.WriteToUDPAddrPort(plain, relay); err != nil {
					t.Fatal(err)
				}
				if _, err := a.conn.Read(buf); err != nil {
					t.Fatal(err)
				}
			}
			for range 100 {
				round()
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			const n = 2000
			for range n {
				round()
			}
			runtime.ReadMemStats(&after)
			// Timers, the scheduler and the test's own deadline make a few; one per packet would be 4000.
			if got := after.Mallocs - before.Mallocs; got > n/10 {
				t.Errorf("%v: %d allocations for %d packets", tr, got, 2*n)
			}
		}
	})
}
