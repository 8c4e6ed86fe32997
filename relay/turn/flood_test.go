package turn

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"github.com/jingled/jingled/relay/turn/alloc"
)

// pings sends n numbered packets through an allocation to an echo and back, one every gap, and returns the round trips, sorted. Packets
// that do not come back within a second are missing from them.
func pings(t *testing.T, s *Server, peer netip.AddrPort, n int, gap time.Duration) []time.Duration {
	t.Helper()
	a := rawUDP(t, addr(t, s, alloc.UDP, false))
	a.allocate()
	if code := a.bind(0x4000, peer); code != 0 {
		t.Fatal(code)
	}
	var trips []time.Duration
	for i := range n {
		msg := binary.BigEndian.AppendUint32(nil, uint32(i))
		sent := time.Now()
		if _, err := a.conn.Write(channelData(0x4000, msg)); err != nil {
			t.Fatal(err)
		}
		_ = a.conn.SetReadDeadline(sent.Add(time.Second))
		for {
			k, err := a.conn.Read(a.buf)
			if err != nil {
				break
			}
			if bytes.Equal(a.buf[4:k], msg) {
				trips = append(trips, time.Since(sent))
				break
			}
		}
		if rest := gap - time.Since(sent); rest > 0 {
			time.Sleep(rest) // the pace of a call's packets
		}
	}
	slices.Sort(trips)
	return trips
}

// TestFlood: hostile clients of every kind at once, and a call that loses nothing. The flood is bounded: some thousand packets a
// second on loopback.
func TestFlood(t *testing.T) {
	paths(t, func(t *testing.T, c Config) {
		c.Auth = passwords{"user": "secret"}
		c.HandshakeTimeout = time.Second
		c.MaxStreamsPerAddress = 64
		s := start(t, c)
		peer := echo(t, "127.0.0.1")
		const n = 200
		quiet := pings(t, s, peer, n, 2*time.Millisecond)

		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var sent atomic.Int64
		server := addr(t, s, alloc.UDP, false)
		captured := rawUDP(t, server)
		captured.allocate()
		replay := captured.build(stun.MethodRefresh, stun.NewTransactionID())
		for i, junk := range []func(r *rand.Rand) []byte{
			func(r *rand.Rand) []byte { return random(r, r.IntN(200)) },
			func(r *rand.Rand) []byte { return corrupt(r, replay) },
			func(*rand.Rand) []byte { return replay },
			func(r *rand.Rand) []byte { return channelData(uint16(0x4000+r.IntN(0x1000)), random(r, 160)) },
			func(r *rand.Rand) []byte { return bareRequest(r, stun.MethodAllocate) },
			func(r *rand.Rand) []byte { return bareRequest(r, stun.MethodBinding) },
		} {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 1))
				// A /24 of its own each: many hosts of one prefix.
				for ctx.Err() == nil {
					d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 9, byte(i), byte(1+r.IntN(250)))}}
					conn, err := d.DialContext(ctx, "udp", server.String())
					if err != nil {
						continue
					}
					for range 20 {
						if _, err := conn.Write(junk(r)); err == nil {
							sent.Add(1)
						}
					}
					conn.Close()
					time.Sleep(5 * time.Millisecond) // bounds the flood
				}
			})
		}
		for _, tr := range []Transport{alloc.TCP, alloc.TLS} {
			to := addr(t, s, tr, false)
			wg.Go(func() {
				// Half-open, slow and broken streams.
				var open []net.Conn
				for i := 0; ctx.Err() == nil; i++ {
					d := net.Dialer{Timeout: 100 * time.Millisecond}
					if conn, err := d.DialContext(ctx, "tcp", to.String()); err == nil {
						_, _ = conn.Write([]byte{22, 3, 1, 2}[:1+i%4])
						open = append(open, conn)
					}
					if len(open) > 100 {
						open[0].Close()
						open = open[1:]
					}
					time.Sleep(2 * time.Millisecond) // bounds the flood
				}
				for _, conn := range open {
					conn.Close()
				}
			})
		}
		loud := pings(t, s, peer, n, 2*time.Millisecond)
		cancel()
		wg.Wait()
		if len(quiet) != n || len(loud) != n {
			t.Errorf("of %d packets %d came back before and %d during the flood", n, len(quiet), len(loud))
		}
		k := s.Counters()
		t.Logf("%d hostile packets; median %v before, %v during; 90th percentile %v and %v; malformed %d, unknown %d, over the rate %d, auth failures %d, handshakes %d",
			sent.Load(), quiet[len(quiet)/2], loud[len(loud)/2], quiet[len(quiet)*9/10], loud[len(loud)*9/10],
			k.DroppedMalformed, k.DroppedUnknown, k.DroppedRate, k.AuthFailures, k.HandshakeErrors)
		if k.DroppedMalformed == 0 || k.DroppedUnknown == 0 || k.DroppedRate == 0 || k.HandshakeErrors == 0 {
			t.Error("some of the flood did not arrive")
		}
		if k.Allocations > 4 {
			t.Errorf("%d allocations: a flood made some", k.Allocations)
		}
	})
}

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func corrupt(r *rand.Rand, b []byte) []byte {
	b = slices.Clone(b)
	for range 1 + r.IntN(4) {
		b[r.IntN(len(b))] ^= byte(1 + r.IntN(255))
	}
	return b
}

func bareRequest(r *rand.Rand, method stun.Method) []byte {
	m := stun.New()
	m.Type = stun.NewType(method, stun.ClassRequest)
	binary.BigEndian.PutUint64(m.TransactionID[:], r.Uint64())
	m.WriteHeader()
	return m.Raw
}

// TestNoAmplification counts bytes on the wire: in sum, strangers of one prefix get no more than they sent plus the
// allowance.
func TestNoAmplification(t *testing.T) {
	paths(t, func(t *testing.T, c Config) {
		c.UnauthenticatedRate = 1
		c.Loops = 1
		s := start(t, c)
		server := addr(t, s, alloc.UDP, false)
		r := rand.New(rand.NewPCG(1, 2))
		in, out := 0, 0
		for _, method := range []stun.Method{stun.MethodAllocate, stun.MethodBinding, stun.MethodRefresh} {
			for range 50 {
				a := rawUDP(t, server)
				b := bareRequest(r, method)
				if _, err := a.conn.Write(b); err != nil {
					t.Fatal(err)
				}
				in += len(b)
				_ = a.conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
				n, err := a.conn.Read(a.buf)
				if err == nil {
					out += n
				}
				a.conn.Close()
			}
		}
		if out > in+60 {
			t.Errorf("%d bytes in, %d out", in, out)
		}
		if s.Counters().DroppedRate == 0 {
			t.Error("nothing was held back")
		}
		// Whoever proves to be there is served: a padded request gets its challenge.
		a := rawUDP(t, server)
		if _, code := a.do(stun.MethodAllocate, udpTransport, attribute{stun.AttrPadding, make([]byte, 120)}); code != 0 {
			t.Errorf("a padded request: %d", code)
		}
	})
}
