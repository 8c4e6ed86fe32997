package turn

import (
	"bytes"
	"crypto/tls"
	"net/netip"
	"testing"

	"github.com/pion/stun/v4"

	"github.com/jingled/jingled/relay/turn/alloc"
)

// TestReloadUnderTraffic: certificates, credentials and limits change, and a running session loses no packet.
func TestReloadUnderTraffic(t *testing.T) {
	paths(t, func(t *testing.T, c Config) {
		s := start(t, c)
		peer := echo(t, "127.0.0.1")
		to := addr(t, s, alloc.TLS, false)
		dial := func() *tls.Conn {
			conn, err := tls.Dial("tcp", to.String(), &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			return conn
		}
		old := dial()
		over := rawOver(t, old)
		over.allocate()
		if code := over.bind(0x4000, peer); code != 0 {
			t.Fatal(code)
		}
		udp := rawUDP(t, addr(t, s, alloc.UDP, false))
		udp.allocate()
		if code := udp.bind(0x4000, peer); code != 0 {
			t.Fatal(code)
		}
		n := c.Settings
		renewed := newCertificate()
		for i := range 20 {
			n.MaxChannels = 10 + i
			n.Auth = passwords{"another": "user"}
			n.TLS = &tls.Config{Certificates: []tls.Certificate{renewed}}
			if err := s.Reload(n); err != nil {
				t.Fatal(err)
			}
			for _, a := range []*rawClient{over, udp} {
				if _, err := a.conn.Write(channelData(0x4000, []byte{byte(i)})); err != nil {
					t.Fatal(err)
				}
				if b, err := a.next(); err != nil || b[4] != byte(i) {
					t.Fatalf("packet %d: %v %v", i, b, err)
				}
			}
		}
		// The session's own credentials stay good for it (its user has gone from the list), and for nobody else.
		if _, code := udp.do(stun.MethodRefresh); code != 0 {
			t.Errorf("refresh: %d", code)
		}
		stranger := rawUDP(t, addr(t, s, alloc.UDP, false))
		m, err := stranger.try(stun.MethodAllocate, stun.NewTransactionID(), udpTransport)
		if err != nil {
			t.Fatal(err)
		}
		if stranger.nonce, err = m.Get(stun.AttrNonce); err != nil {
			t.Fatal(err)
		}
		if _, code := stranger.do(stun.MethodAllocate, udpTransport); code != 401 {
			t.Errorf("allocate with the removed user: %d", code)
		}
		if got := dial().ConnectionState().PeerCertificates[0].Raw; !bytes.Equal(got, renewed.Certificate[0]) {
			t.Error("a new connection does not get the renewed certificate")
		}
	})
}

// TestSetAdvertise: new allocations are told the new outer address, old ones keep theirs.
func TestSetAdvertise(t *testing.T) {
	c := testConfig(t)
	s := start(t, c)
	a, b := rawUDP(t, addr(t, s, alloc.UDP, false)), rawUDP(t, addr(t, s, alloc.UDP, false))
	if got := a.allocate().Addr(); got != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("before: %v", got)
	}
	if !s.SetAdvertise(netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("198.51.100.9")) || s.SetAdvertise(netip.MustParseAddr("127.0.0.8"), netip.MustParseAddr("198.51.100.9")) {
		t.Error("SetAdvertise does not know the relay addresses")
	}
	if got := b.allocate().Addr(); got != netip.MustParseAddr("198.51.100.9") {
		t.Errorf("after: %v", got)
	}
	for _, i := range s.Sessions() {
		if i.Client.Port() == a.conn.LocalAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort().Port() && i.Relayed[0].Addr() != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("the old allocation moved to %v", i.Relayed)
		}
	}
}
