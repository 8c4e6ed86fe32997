package relay

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/selfsigned"
)

func freePort(t testing.TB) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// pebble starts Let's Encrypt's ACME server for tests, which validates at the given ports of this machine.
func pebble(t *testing.T, httpPort, tlsPort int) (directory, root string, issuers func() *x509.CertPool) {
	t.Helper()
	program, err := exec.LookPath("pebble")
	if err != nil {
		t.Skipf("pebble is not installed: %v", err)
	}
	chain, err := selfsigned.New("localhost")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	root = filepath.Join(dir, "root.pem")
	for name, pem := range map[string][]byte{cert: chain.Cert, key: chain.Key, root: chain.CA} {
		if err := os.WriteFile(name, pem, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	port, management := freePort(t), freePort(t)
	b, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": fmt.Sprintf("127.0.0.1:%d", port), "managementListenAddress": fmt.Sprintf("127.0.0.1:%d", management),
		"certificate": cert, "privateKey": key, "httpPort": httpPort, "tlsPort": tlsPort,
	}})
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(config, b, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "-config", config)
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=20")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: chain.Pool()}, DisableKeepAlives: true}}
	get := func(url string) ([]byte, error) {
		resp, err := client.Get(url)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return io.ReadAll(resp.Body)
	}
	directory = fmt.Sprintf("https://localhost:%d/dir", port)
	until(t, "the ACME server", func() bool { _, err := get(directory); return err == nil })
	return directory, root, func() *x509.CertPool {
		b, err := get(fmt.Sprintf("https://localhost:%d/roots/0", management))
		pool := x509.NewCertPool()
		if err != nil || !pool.AppendCertsFromPEM(b) {
			t.Fatalf("no root of the ACME server: %v", err)
		}
		return pool
	}
}

// TestACME gets a certificate from an ACME server that validates at our own TLS listener (RFC 8737), and serves it. A second
// start takes it from the disk.
func TestACME(t *testing.T) {
	httpPort, tlsPort := freePort(t), freePort(t)
	directory, root, issuers := pebble(t, httpPort, tlsPort)
	storage := t.TempDir()
	start := func() *running {
		return run(t, func(c *Config) {
			c.Listen = append(c.Listen, Listen{Transport: "tls", Address: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(tlsPort))})
			c.TLS.ACME = &ACME{
				Domains: []string{"localhost"}, Directory: directory, Root: root, Storage: storage,
				AgreeToTerms: true, HTTPPort: httpPort, TLSPort: tlsPort,
			}
		})
	}
	got := func(r *running, name string) *x509.Certificate {
		var leaf *x509.Certificate
		until(t, "a certificate for "+name, func() bool {
			c, err := tls.Dial("tcp", r.tlsAddr(), &tls.Config{RootCAs: issuers(), ServerName: "localhost"})
			if err != nil {
				return false
			}
			defer c.Close()
			leaf = c.ConnectionState().PeerCertificates[0]
			return true
		})
		return leaf
	}
	r := start()
	first := got(r, "the first start")
	if time.Until(first.NotAfter) < 24*time.Hour {
		t.Errorf("it ends at %v", first.NotAfter)
	}
	// TURN clients dial addresses too, and then name nobody.
	c, err := tls.Dial("tcp", r.tlsAddr(), &tls.Config{InsecureSkipVerify: true}) // #nosec G402 -- compared below
	if err != nil {
		t.Fatal(err)
	}
	if !c.ConnectionState().PeerCertificates[0].Equal(first) {
		t.Error("who names nobody gets another certificate")
	}
	c.Close()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.log.String(), "certificate obtained") {
		t.Error("the log does not say that there is a certificate")
	}
	if second := got(start(), "the second start"); !second.Equal(first) {
		t.Error("the second start got a new certificate instead of the one on disk")
	}
}
