package turn

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"github.com/jingled/jingled/relay/turn/alloc"
)

// recorder is an Observer that remembers.
type recorder struct {
	mu      sync.Mutex
	started int
	ended   map[EndReason][]Info
	refused []int
}

func (r *recorder) Started(Info) { r.mu.Lock(); r.started++; r.mu.Unlock() }
func (r *recorder) Ended(i Info, why EndReason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended == nil {
		r.ended = map[EndReason][]Info{}
	}
	r.ended[why] = append(r.ended[why], i)
}
func (r *recorder) Refused(_ string, _ netip.AddrPort, code int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = append(r.refused, code)
}

func paths(t *testing.T, f func(t *testing.T, c Config)) {
	for _, portable := range []bool{true, false} {
		if !portable && !fastPath {
			continue
		}
		t.Run(fmt.Sprintf("portable=%v", portable), func(t *testing.T) {
			c := testConfig(t)
			c.Portable = portable
			f(t, c)
		})
	}
}

// TestDrainKickReload: what lives goes on while the operator works, and ends on his word.
func TestDrainKickReload(t *testing.T) {
	paths(t, func(t *testing.T, c Config) {
		rec := &recorder{}
		c.Observer = rec
		s := start(t, c)
		peer := echo(t, "127.0.0.1")
		a := rawUDP(t, addr(t, s, alloc.UDP, false))
		a.allocate()
		if code := a.bind(0x4000, peer); code != 0 {
			t.Fatal(code)
		}
		ping := func(what string) {
			t.Helper()
			if _, err := a.conn.Write(channelData(0x4000, []byte("ping"))); err != nil {
				t.Fatal(err)
			}
			if b, err := a.next(); err != nil || !bytes.HasSuffix(b, []byte("ping")) {
				t.Fatalf("%s: %q %v", what, b, err)
			}
		}
		ping("before")
		s.Drain(true)
		b := rawUDP(t, addr(t, s, alloc.UDP, false))
		if _, code := b.do(stun.MethodAllocate, udpTransport); code != 508 {
			t.Errorf("allocate while draining: %d", code)
		}
		n := c.Settings
		n.Alternates = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.9:3478")}
		if err := s.Reload(n); err != nil {
			t.Fatal(err)
		}
		m, code := b.do(stun.MethodAllocate, udpTransport)
		if alt, err := m.Get(stun.AttrAlternateServer); code != 300 || err != nil || len(alt) != 8 {
			t.Errorf("allocate with an alternate: %d %v", code, err)
		}
		ping("while draining")
		n.Realm = "other.example"
		n.DefaultLifetime = time.Second
		if err := s.Reload(n); !errors.Is(err, ErrConfig) {
			t.Errorf("a lifetime of a second was accepted: %v", err)
		}
		s.Drain(false)
		ping("after reload")
		if list := s.Sessions(); len(list) != 1 || list[0].User != "user" || list[0].Channels != 1 || list[0].Usage.PacketsToPeer != 3 || list[0].Usage.BytesToClient != 12 {
			t.Errorf("sessions: %+v", list)
		}
		if n := s.Kick(func(i Info) bool { return i.User == "user" }); n != 1 {
			t.Errorf("%d kicked", n)
		}
		if got := s.Counters(); got.Allocations != 0 || got.AllocationsTotal != 1 || got.Requests["allocate"] == 0 || got.ErrorCodes[508] != 1 {
			t.Errorf("%+v", got)
		}
		rec.mu.Lock()
		defer rec.mu.Unlock()
		if rec.started != 1 || len(rec.ended[alloc.EndKicked]) != 1 || len(rec.refused) != 2 || rec.ended[alloc.EndKicked][0].Usage.PacketsToClient != 3 {
			t.Errorf("observer: %d started, %v ended, %v refused", rec.started, rec.ended, rec.refused)
		}
	})
}

// TestMobility: a client's new address may belong to another loop; its packets still reach its allocation.
func TestMobility(t *testing.T) {
	c := testConfig(t)
	c.Loops = 4
	s := start(t, c)
	peer := echo(t, "127.0.0.1")
	server := addr(t, s, alloc.UDP, false)
	a := rawUDP(t, server)
	m, code := a.do(stun.MethodAllocate, udpTransport, attribute{0x8030, nil})
	if code != 0 {
		t.Fatal(code)
	}
	ticket, err := m.Get(0x8030)
	if err != nil {
		t.Fatal(err)
	}
	relay := relayed(t, m)
	if code := a.bind(0x4000, peer); code != 0 {
		t.Fatal(code)
	}
	// Sixteen moves meet every loop with all but 4^-16 likelihood.
	for i := range 16 {
		b := rawUDP(t, server)
		m, code := b.do(stun.MethodRefresh, attribute{0x8030, ticket})
		if code != 0 {
			t.Fatalf("move %d: %d", i, code)
		}
		if ticket, err = m.Get(0x8030); err != nil {
			t.Fatal(err)
		}
		if _, err := b.conn.Write(channelData(0x4000, []byte("moved"))); err != nil {
			t.Fatal(err)
		}
		if d, err := b.next(); err != nil || !bytes.Contains(d, []byte("moved")) {
			t.Fatalf("move %d: %q %v", i, d, err)
		}
		if _, code := b.do(stun.MethodRefresh); code != 0 {
			t.Fatalf("refresh after move %d: %d", i, code)
		}
	}
	// Streams too.
	b := rawDial(t, "tcp", addr(t, s, alloc.TCP, false))
	if _, code := b.do(stun.MethodRefresh, attribute{0x8030, ticket}); code != 0 {
		t.Fatalf("move to TCP: %d", code)
	}
	if _, err := b.conn.Write(channelData(0x4000, []byte("stream"))); err != nil {
		t.Fatal(err)
	}
	if d, err := b.next(); err != nil || !bytes.Contains(d, []byte("stream")) {
		t.Fatalf("after the move to TCP: %q %v", d, err)
	}
	list := s.Sessions()
	if len(list) != 1 || list[0].Relayed[0] != relay || list[0].Transport != alloc.TCP {
		t.Errorf("%+v", list)
	}
}

// TestBursts: many packets at once, of equal and of different sizes, arrive whole and in order, both ways, also where the
// kernel puts them into trains.
func TestBursts(t *testing.T) {
	paths(t, func(t *testing.T, c Config) {
		s := start(t, c)
		for _, tr := range []Transport{alloc.UDP, alloc.TCP} {
			peer, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			_ = peer.(*net.UDPConn).SetReadBuffer(4 << 20)
			to := peer.LocalAddr().(*net.UDPAddr).AddrPort()
			network := "udp"
			if tr == alloc.TCP {
				network = "tcp"
			}
			a := rawDial(t, network, addr(t, s, tr, false))
			if u, ok := a.conn.(*net.UDPConn); ok {
				_ = u.SetReadBuffer(4 << 20)
			}
			relay := a.allocate()
			if code := a.bind(0x4000, to); code != 0 {
				t.Fatal(code)
			}
			buf := make([]byte, 1<<16)
			// Bursts that a default socket buffer of this test holds.
			for burst := range 8 {
				var want [][]byte
				for i := range 40 {
					size := 1000
					switch {
					case i%7 == 0:
						size = 10 + i*3
					case i == 20:
						size = 0
					case i == 30:
						size = 9000 // fragments, or a train of its own
					}
					p := bytes.Repeat([]byte{byte(burst*40 + i)}, size)
					want = append(want, p)
					if _, err := a.conn.Write(channelData(0x4000, p)); err != nil {
						t.Fatal(err)
					}
				}
				for i, w := range want {
					_ = peer.SetReadDeadline(time.Now().Add(5 * time.Second))
					n, from, err := peer.ReadFrom(buf)
					if err != nil || !bytes.Equal(buf[:n], w) || from.(*net.UDPAddr).AddrPort() != relay {
						t.Fatalf("%v: packet %d to the peer: %d bytes, want %d, %v", tr, i, n, len(w), err)
					}
				}
				for _, w := range want {
					if _, err := peer.WriteTo(w, net.UDPAddrFromAddrPort(relay)); err != nil {
						t.Fatal(err)
					}
				}
				for i, w := range want {
					b, err := a.next()
					if err != nil || len(b) < 4 || !bytes.Equal(b[4:4+int(binary.BigEndian.Uint16(b[2:]))], w) {
						t.Fatalf("%v: packet %d to the client: %d bytes, want %d, %v", tr, i, len(b), len(w), err)
					}
				}
			}
		}
	})
}

// TestICMP: an unreachable peer is told with a Data indication (RFC 8656 section 11.5).
func TestICMP(t *testing.T) {
	if !fastPath {
		t.Skip("ICMP errors are read on Linux only")
	}
	s := start(t, testConfig(t))
	a := rawUDP(t, addr(t, s, alloc.UDP, false))
	a.allocate()
	closed := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), freePort(t))
	if code := a.bind(0x4000, closed); code != 0 {
		t.Fatal(code)
	}
	if _, err := a.conn.Write(channelData(0x4000, []byte("anybody?"))); err != nil {
		t.Fatal(err)
	}
	b, err := a.next()
	if err != nil {
		t.Fatal(err)
	}
	m := &stun.Message{Raw: b}
	if err := m.Decode(); err != nil {
		t.Fatal(err)
	}
	v, err := m.Get(0x8004)
	if err != nil || len(v) != 8 || v[2] != 3 || v[3] != 3 {
		t.Errorf("ICMP attribute %v, %v", v, err)
	}
}

// TestUnknownFiveTuple: requests without an allocation get 437, not silence.
func TestUnknownFiveTuple(t *testing.T) {
	s := start(t, testConfig(t))
	a := rawUDP(t, addr(t, s, alloc.UDP, false))
	for _, m := range []stun.Method{stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind} {
		if _, code := a.do(m); code != 437 {
			t.Errorf("%v: %d", m, code)
		}
	}
}

// TestFramesInPieces: a stream may cut messages anywhere; tiny ChannelData does not wait for more.
func TestFramesInPieces(t *testing.T) {
	s := start(t, testConfig(t))
	peer := echo(t, "127.0.0.1")
	a := rawDial(t, "tcp", addr(t, s, alloc.TCP, false))
	a.allocate()
	if code := a.bind(0x4000, peer); code != 0 {
		t.Fatal(code)
	}
	for size := range 9 {
		for _, b := range channelData(0x4000, bytes.Repeat([]byte{7}, size)) {
			if _, err := a.conn.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		d, err := a.next()
		if err != nil || int(binary.BigEndian.Uint16(d[2:])) != size {
			t.Fatalf("%d bytes: %v %v", size, d, err)
		}
	}
	// A frame that is no TURN ends the stream.
	if _, err := a.conn.Write([]byte{0x80, 1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.next(); !gone(err) {
		t.Errorf("the stream lives: %v", err)
	}
	waitFor(t, "the allocation to end with its stream", func() bool { return s.Counters().Allocations == 0 })
}

func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// TestIdleStreams: who sends nothing, or never a whole message, is cut off; who has an allocation may be silent.
func TestIdleStreams(t *testing.T) {
	c := testConfig(t)
	c.HandshakeTimeout, c.IdleTimeout = 300*time.Millisecond, 600*time.Millisecond
	s := start(t, c)
	alive := rawDial(t, "tcp", addr(t, s, alloc.TCP, false))
	alive.allocate()
	var wg sync.WaitGroup
	for name, hello := range map[string]func(net.Conn) error{
		"silent":     func(net.Conn) error { return nil },
		"half a tls": func(c net.Conn) error { _, err := c.Write([]byte{22, 3, 1}); return err },
		"slow": func(c net.Conn) error {
			for _, b := range make([]byte, 8) {
				if _, err := c.Write([]byte{b}); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		for _, tr := range []Transport{alloc.TCP, alloc.TLS} {
			wg.Go(func() {
				conn, err := net.Dial("tcp", addr(t, s, tr, false).String())
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				if err := hello(conn); err != nil {
					t.Error(err)
				}
				_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
				if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%s over %v is still there", name, tr)
				}
			})
		}
	}
	wg.Wait()
	// All of them were cut off by now, and the one with an allocation was silent as long.
	if _, code := alive.do(stun.MethodRefresh); code != 0 {
		t.Errorf("refresh: %d", code)
	}
}

// TestStreamLimits: one address cannot take all streams.
func TestStreamLimits(t *testing.T) {
	c := testConfig(t)
	c.MaxStreamsPerAddress = 3
	s := start(t, c)
	var open int
	for range 6 {
		a := rawDial(t, "tcp", addr(t, s, alloc.TCP, false))
		if m, err := a.try(stun.MethodBinding, stun.NewTransactionID()); err == nil && m.Type.Class == stun.ClassSuccessResponse {
			open++
		}
	}
	if open != 3 || s.Counters().StreamsRefused != 3 {
		t.Errorf("%d streams, %d refused", open, s.Counters().StreamsRefused)
	}
}

// TestSlowClient: a client that does not read loses packets, and nobody else does.
func TestSlowClient(t *testing.T) {
	paths(t, func(t *testing.T, c Config) {
		c.WriteTimeout = time.Second
		c.Loops = 1
		s := start(t, c)
		peer, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		to := peer.LocalAddr().(*net.UDPAddr).AddrPort()
		slow := rawDial(t, "tcp", addr(t, s, alloc.TCP, false))
		_ = slow.conn.(*net.TCPConn).SetReadBuffer(4096)
		relay := slow.allocate()
		if code := slow.bind(0x4000, to); code != 0 {
			t.Fatal(code)
		}
		other := echo(t, "127.0.0.1")
		good := rawUDP(t, addr(t, s, alloc.UDP, false))
		good.allocate()
		if code := good.bind(0x4000, other); code != 0 {
			t.Fatal(code)
		}
		for i := 0; s.Counters().DroppedSlowClient == 0 && s.Counters().Allocations == 2; i++ {
			for range 200 {
				_, _ = peer.WriteTo(make([]byte, 1400), net.UDPAddrFromAddrPort(relay))
			}
			if _, err := good.conn.Write(channelData(0x4000, []byte("still here"))); err != nil {
				t.Fatal(err)
			}
			if _, err := good.next(); err != nil {
				t.Fatalf("round %d: the other client gets nothing: %v", i, err)
			}
			if i > 500 {
				t.Fatal("nothing was dropped")
			}
		}
		waitFor(t, "the slow client to be cut off", func() bool { return s.Counters().Allocations == 1 })
	})
}

// TestALPN: port 443 is shared by what TLS negotiates (RFC 7443).
func TestALPN(t *testing.T) {
	c := testConfig(t)
	web := make(chan net.Conn, 1)
	for i := range c.Listeners {
		c.Listeners[i].Fallback = func(c net.Conn) { web <- c }
		c.Listeners[i].FallbackProtocols = []string{"http/1.1"}
	}
	s := start(t, c)
	dial := func(protos ...string) net.Conn {
		conn, err := tls.Dial("tcp", addr(t, s, alloc.TLS, false).String(), &tls.Config{InsecureSkipVerify: true, NextProtos: protos})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	for _, protos := range [][]string{nil, {"stun.turn"}, {"stun.turn", "http/1.1"}} {
		a := rawOver(t, dial(protos...))
		if m, err := a.try(stun.MethodBinding, stun.NewTransactionID()); err != nil || m.Type.Class != stun.ClassSuccessResponse {
			t.Errorf("ALPN %v: %v", protos, err)
		}
	}
	conn := dial("http/1.1")
	got := <-web
	defer got.Close()
	go func() { _, _ = io.WriteString(got, "HTTP/1.1 200 OK\r\n") }()
	buf := make([]byte, 15)
	if _, err := io.ReadFull(conn, buf); err != nil || string(buf) != "HTTP/1.1 200 OK" {
		t.Errorf("%q %v", buf, err)
	}
}

// TestProxyProtocol: the client's address comes from a trusted balancer and from nobody else.
func TestProxyProtocol(t *testing.T) {
	c := testConfig(t)
	c.MaxStreamsPerAddress = 2
	for i := range c.Listeners {
		if c.Listeners[i].Transport.Stream() {
			c.Listeners[i].ProxyProtocol, c.Listeners[i].ProxyTrusted = true, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		}
	}
	s := start(t, c)
	header := append([]byte(proxyMagic), 0x21, 0x11, 0, 12, 192, 0, 2, 77, 127, 0, 0, 1, 0x30, 0x39, 0x0D, 0x96)
	conn, err := net.Dial("tcp", addr(t, s, alloc.TCP, false).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(header); err != nil {
		t.Fatal(err)
	}
	m, err := rawOver(t, conn).try(stun.MethodBinding, stun.NewTransactionID())
	if err != nil {
		t.Fatal(err)
	}
	var x stun.XORMappedAddress
	if err := x.GetFrom(m); err != nil || x.String() != "192.0.2.77:12345" {
		t.Errorf("mapped %v, %v", x, err)
	}
	// A balancer's clients do not share one address's limit.
	for i := range 20 {
		conn, err := net.Dial("tcp", addr(t, s, alloc.TCP, false).String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		header[19] = byte(100 + i)
		if _, err := conn.Write(header); err != nil {
			t.Fatal(err)
		}
		if _, err := rawOver(t, conn).try(stun.MethodBinding, stun.NewTransactionID()); err != nil {
			t.Fatalf("client %d: %v", i, err)
		}
	}
	// Without a header the first message is taken for one, and refused.
	a := rawDial(t, "tcp", addr(t, s, alloc.TCP, false))
	if _, err := a.try(stun.MethodBinding, stun.NewTransactionID()); !gone(err) {
		t.Errorf("no header: %v", err)
	}
}

func FuzzProxyHeader(f *testing.F) {
	f.Add(append([]byte(proxyMagic), 0x21, 0x11, 0, 12, 192, 0, 2, 77, 127, 0, 0, 1, 0x30, 0x39, 0x0D, 0x96))
	f.Add(append([]byte(proxyMagic), 0x20, 0x00, 0, 0))
	f.Add(append(append([]byte(proxyMagic), 0x21, 0x21, 0, 36), make([]byte, 36)...))
	from := netip.MustParseAddrPort("127.0.0.1:5")
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := proxyHeader(bytes.NewReader(b), from, []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")})
		if err != nil && got != from {
			t.Error("an address together with an error")
		}
		if err == nil && !got.IsValid() {
			t.Error("no address and no error")
		}
		if _, err := proxyHeader(bytes.NewReader(b), netip.MustParseAddrPort("192.0.2.1:5"), []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}); err == nil {
			t.Error("a stranger was believed")
		}
	})
}

// TestConfigErrors: what cannot work is said before anything is bound.
func TestConfigErrors(t *testing.T) {
	udp := Listener{Address: netip.MustParseAddrPort("127.0.0.1:0")}
	for name, c := range map[string]Config{
		"nothing":       {},
		"tls without":   {Listeners: []Listener{{Transport: alloc.TLS, Address: udp.Address}}},
		"proxy on udp":  {Listeners: []Listener{{Address: udp.Address, ProxyProtocol: true, ProxyTrusted: []netip.Prefix{netip.MustParsePrefix("::/0")}}}},
		"low ports":     {Listeners: []Listener{udp}, MinPort: 80, MaxPort: 90},
		"port order":    {Listeners: []Listener{udp}, MinPort: 5000, MaxPort: 4000},
		"one address":   {Listeners: []Listener{udp}, Discovery: &Discovery{Primary: udp.Address.Addr(), Alternate: udp.Address.Addr(), PrimaryPort: 1, AlternatePort: 2}},
		"relay family":  {Listeners: []Listener{udp}, Settings: Settings{RelayAddresses: []RelayAddress{{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}}}},
		"no address":    {Listeners: []Listener{{}}},
		"bad transport": {Listeners: []Listener{{Transport: 9, Address: udp.Address}}},
	} {
		if _, err := New(c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A port that is taken is an error of Run, and nothing stays open.
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := New(Config{Listeners: []Listener{udp, {Address: c.LocalAddr().(*net.UDPAddr).AddrPort()}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil {
		t.Error("ran on a taken port")
	}
}
