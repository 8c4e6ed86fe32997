package turn

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
	"github.com/pion/turn/v5"
	"go.uber.org/goleak"

	"github.com/jingled/jingled/relay/policy"
	"github.com/jingled/jingled/relay/turn/alloc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testRealm = "example.org"

// passwords is an Authenticator over a map of plain passwords.
type passwords map[string]string

func (p passwords) Authenticate(r AuthRequest) (Credential, error) {
	pw, ok := p[r.Username]
	if !ok {
		return Credential{}, alloc.ErrUnauthorized
	}
	text := []byte(r.Username + ":" + r.Realm + ":" + pw)
	if r.Algorithm == alloc.SHA256 {
		k := sha256.Sum256(text)
		return Credential{Key: k[:], User: r.Username}, nil
	}
	k := md5.Sum(text)
	return Credential{Key: k[:], User: r.Username}, nil
}

func (p passwords) Failed(AuthRequest) {}

var testCertificate = sync.OnceValue(newCertificate)

// newCertificate makes a self-signed certificate for the loopback addresses.
func newCertificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "relay.test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// loopbackPolicy allows what tests need and nothing else.
func loopbackPolicy(t testing.TB) *policy.Policy {
	p, err := policy.New(policy.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func hasIPv6() bool {
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// testConfig listens on every transport of the loopback addresses.
func testConfig(t testing.TB) Config {
	c := Config{
		Settings: Settings{
			Realm: testRealm, Auth: passwords{"user": "secret"}, Peers: loopbackPolicy(t), TCPRelay: true,
			TLS:            &tls.Config{Certificates: []tls.Certificate{testCertificate()}},
			RelayAddresses: []RelayAddress{{Bind: netip.MustParseAddr("127.0.0.1")}},
		},
		Loops: 2,
	}
	hosts := []string{"127.0.0.1"}
	if hasIPv6() {
		hosts = append(hosts, "::1")
		c.RelayAddresses = append(c.RelayAddresses, RelayAddress{Bind: netip.MustParseAddr("::1")})
	}
	for _, h := range hosts {
		for tr := alloc.UDP; tr <= alloc.DTLS; tr++ {
			c.Listeners = append(c.Listeners, Listener{Transport: tr, Address: netip.AddrPortFrom(netip.MustParseAddr(h), 0)})
		}
	}
	if os.Getenv("TURN_TEST_LOG") != "" {
		c.Logger = nil
	}
	return c
}

// start runs a server until the test ends.
func start(t testing.TB, c Config) *Server {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-done:
		cancel()
		t.Fatalf("server did not start: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Run does not return")
		}
	})
	return s
}

// addr finds the listener of a transport and family.
func addr(t testing.TB, s *Server, tr Transport, v6 bool) netip.AddrPort {
	t.Helper()
	for _, l := range s.Addrs() {
		if l.Transport == tr && l.Address.Addr().Is6() == v6 {
			return l.Address
		}
	}
	t.Fatalf("no %v listener", tr)
	return netip.AddrPort{}
}

// echo answers every datagram to its sender until the test ends.
func echo(t testing.TB, host string) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteTo(buf[:n], from)
		}
	})
	t.Cleanup(func() { c.Close(); wg.Wait() })
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// dialTURN makes pion's client on a transport.
func dialTURN(t testing.TB, s *Server, tr Transport, v6 bool) *turn.Client {
	t.Helper()
	to := addr(t, s, tr, v6)
	var pc net.PacketConn
	var err error
	switch tr {
	case alloc.UDP:
		pc, err = net.ListenPacket("udp", net.JoinHostPort(to.Addr().String(), "0"))
	case alloc.TCP:
		var c net.Conn
		c, err = net.Dial("tcp", to.String())
		if err == nil {
			pc = turn.NewSTUNConn(c)
		}
	case alloc.TLS:
		var c net.Conn
		c, err = tls.Dial("tcp", to.String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpnTURN}})
		if err == nil {
			pc = turn.NewSTUNConn(c)
		}
	case alloc.DTLS:
		var c *dtls.Conn
		c, err = dtls.DialWithOptions("udp", net.UDPAddrFromAddrPort(to), dtls.WithInsecureSkipVerify(true))
		if err == nil {
			pc = turn.NewSTUNConn(c)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	family := turn.RequestedAddressFamilyIPv4
	if v6 {
		family = turn.RequestedAddressFamilyIPv6
	}
	lf := logging.NewDefaultLoggerFactory()
	lf.DefaultLogLevel = logging.LogLevelDisabled
	c, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: to.String(), TURNServerAddr: to.String(), Conn: pc, Username: "user", Password: "secret", Realm: testRealm,
		RequestedAddressFamily: family, LoggerFactory: lf,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); pc.Close() })
	return c
}

// TestPionClient is judged by pion's client: allocate, indications, then the channel that the client binds by itself.
func TestPionClient(t *testing.T) {
	for _, portable := range []bool{true, false} {
		if !portable && !fastPath {
			continue
		}
		c := testConfig(t)
		c.Portable = portable
		s := start(t, c)
		for tr := alloc.UDP; tr <= alloc.DTLS; tr++ {
			for _, v6 := range []bool{false, true} {
				if v6 && !hasIPv6() {
					continue
				}
				t.Run(fmt.Sprintf("portable=%v/%v/v6=%v", portable, tr, v6), func(t *testing.T) { pionEcho(t, s, tr, v6) })
			}
		}
		waitFor(t, "sessions to end", func() bool { return s.Counters().Allocations == 0 })
	}
}

func pionEcho(t *testing.T, s *Server, tr Transport, v6 bool) {
	host := "127.0.0.1"
	if v6 {
		host = "::1"
	}
	peer := echo(t, host)
	client := dialTURN(t, s, tr, v6)
	if mapped, err := client.SendBindingRequest(); err != nil || mapped.(*net.UDPAddr).IP.String() != host {
		t.Fatalf("binding: %v %v", mapped, err)
	}
	relay, err := client.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	to := net.UDPAddrFromAddrPort(peer)
	buf := make([]byte, 1<<16)
	// More than the client's first packets: it starts with indications and goes over to a channel.
	for i := range 50 {
		msg := fmt.Sprintf("packet %d %0*d", i, i*20, i)
		if _, err := relay.WriteTo([]byte(msg), to); err != nil {
			t.Fatal(err)
		}
		_ = relay.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, from, err := relay.ReadFrom(buf)
		if err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
		if string(buf[:n]) != msg || from.String() != to.String() {
			t.Fatalf("packet %d: got %q from %v", i, buf[:n], from)
		}
	}
	if err := relay.Close(); err != nil {
		t.Fatal(err)
	}
}

// waitFor polls an observable state of the server, which has no event for it.
func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
