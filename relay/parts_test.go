package relay

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// writeCert makes a certificate with a serial number and writes it and its key.
func writeCert(t testing.TB, dir string, serial int64) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "relay.test"}, DNSNames: []string{"relay.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	kb, _ := x509.MarshalPKCS8PrivateKey(k)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for f, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: kb}} {
		if err := os.WriteFile(f, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func tlsListen(t testing.TB, backend string) (func(*Config), string) {
	dir := t.TempDir()
	return func(c *Config) {
		c.Listen = append(c.Listen, Listen{Transport: "tls", Address: netip.MustParseAddrPort("127.0.0.1:0"), HTTPBackend: backend})
		c.TLS.Certificate, c.TLS.Key = writeCert(t, dir, 1)
	}, dir
}

func (r *running) tlsAddr() string { return r.Addrs().TURN[len(r.Addrs().TURN)-1].Address.String() }

func serial(t testing.TB, addr string, protos ...string) int64 {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: protos}) // #nosec G402 -- a test's certificate
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// A renewed certificate is served after a reload and by itself; one that is broken changes nothing.
func TestCertificatesAreRenewed(t *testing.T) {
	change, dir := tlsListen(t, "")
	r := run(t, change)
	if n := serial(t, r.tlsAddr()); n != 1 {
		t.Errorf("serial %d", n)
	}
	writeCert(t, dir, 2)
	if _, err := r.Reload(r.cfg); err != nil {
		t.Fatal(err)
	}
	if n := serial(t, r.tlsAddr()); n != 2 {
		t.Errorf("after a reload: serial %d", n)
	}
	cert, _ := writeCert(t, dir, 3)
	later := time.Now().Add(time.Minute)
	_ = os.Chtimes(cert, later, later)
	r.certs.refresh()
	if n := serial(t, r.tlsAddr()); n != 3 {
		t.Errorf("after a look at the files: serial %d", n)
	}
	if err := os.WriteFile(cert, []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.certs.refresh()
	if _, err := r.Reload(r.cfg); err == nil {
		t.Error("a broken certificate was taken by a reload")
	}
	if n := serial(t, r.tlsAddr()); n != 3 {
		t.Errorf("after a broken file: serial %d", n)
	}
}

// One port for TURN and HTTPS (RFC 7443).
func TestPortSharedWithHTTPS(t *testing.T) {
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { _, _ = io.WriteString(w, "web "+q.URL.Path) })}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { _ = web.Serve(ln); close(served) }()
	defer func() { web.Close(); <-served }()
	change, _ := tlsListen(t, ln.Addr().String())
	r := run(t, change)
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}}} // #nosec G402 -- a test
	for range 3 {
		res, err := c.Get("https://" + r.tlsAddr() + "/hello")
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if string(b) != "web /hello" {
			t.Errorf("%q", b)
		}
	}
	for _, protos := range [][]string{{"stun.turn"}, nil} { // TURN on the same port
		tc, err := tls.Dial("tcp", r.tlsAddr(), &tls.Config{InsecureSkipVerify: true, NextProtos: protos}) // #nosec G402
		if err != nil {
			t.Fatal(err)
		}
		binding := append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...)
		if _, err := tc.Write(binding); err != nil {
			t.Fatal(err)
		}
		_ = tc.SetReadDeadline(time.Now().Add(5 * time.Second))
		head := make([]byte, 2)
		if _, err := io.ReadFull(tc, head); err != nil || head[0] != 1 || head[1] != 1 {
			t.Errorf("ALPN %v: %x, %v", protos, head, err)
		}
		tc.Close()
	}
	// A connection that stays open must not keep the relay from ending.
	idle, err := tls.Dial("tcp", r.tlsAddr(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) // #nosec G402
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

func TestBridgeWithoutBackend(t *testing.T) {
	change, _ := tlsListen(t, "127.0.0.1:1")
	r := run(t, change)
	c, err := tls.Dial("tcp", r.tlsAddr(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) // #nosec G402
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := bufio.NewReader(c).ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

type told struct{ got []string }

func (a *told) SetAdvertise(bind, adv netip.Addr) bool {
	a.got = append(a.got, bind.String()+" "+adv.String())
	return true
}

// A changed public address is noticed; a name server that is away or answers with several addresses changes nothing.
func TestExternalAddress(t *testing.T) {
	bind := netip.MustParseAddr("10.0.0.5")
	e := newExternal([]RelayAddress{{Bind: bind, AdvertiseHost: "relay.example"}, {Bind: netip.MustParseAddr("10.0.0.6")}}, slog.New(slog.DiscardHandler))
	var answer []netip.Addr
	var fail error
	e.lookup = func(_ context.Context, network, host string) ([]netip.Addr, error) {
		if network != "ip4" || host != "relay.example" {
			t.Errorf("looked up %s %s", network, host)
		}
		return answer, fail
	}
	a, b := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")
	var srv told
	for _, step := range []struct {
		answer []netip.Addr
		err    error
	}{{[]netip.Addr{a}, nil}, {[]netip.Addr{a}, nil}, {nil, errors.New("away")}, {[]netip.Addr{b, a}, nil}, {[]netip.Addr{b}, nil}, {nil, nil}} {
		answer, fail = step.answer, step.err
		e.refresh(t.Context(), &srv)
	}
	if got := strings.Join(srv.got, ", "); got != "10.0.0.5 198.51.100.1, 10.0.0.5 198.51.100.2" {
		t.Error(got)
	}
	p := (&Config{Relay: Relayed{Address: []RelayAddress{{Bind: bind, AdvertiseHost: "relay.example"}}}})
	pl, err := p.plan()
	if err != nil {
		t.Fatal(err)
	}
	if list := e.apply(pl.turn.RelayAddresses); list[0].Advertise != b { // a reload keeps what is known
		t.Errorf("%v", list)
	}
}

func TestDrainTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d drain
		d.init()
		sessions := 1
		done := make(chan time.Duration, 1)
		began := time.Now()
		go func() {
			if d.wait(t.Context(), func() int { return sessions }) == nil {
				done <- time.Since(began)
			}
		}()
		time.Sleep(time.Hour) // not draining
		d.set(true, time.Now().Add(time.Minute))
		time.Sleep(30 * time.Second)
		d.set(false, time.Time{})
		time.Sleep(time.Hour)
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("ended though the drain was taken back")
		default:
		}
		d.set(true, time.Now().Add(time.Minute))
		if got := <-done; got != 2*time.Hour+90*time.Second {
			t.Errorf("ended after %v", got)
		}
	})
}
