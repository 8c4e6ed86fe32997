package httpupload

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestByProxy says what a proxy is asked for, and that what it fetches is checked as what is fetched directly.
func TestByProxy(t *testing.T) {
	site := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "data") }))
	t.Cleanup(site.Close)
	roots := x509.NewCertPool()
	roots.AddCert(site.Certificate())
	direct := strings.TrimPrefix(site.URL, "https://")
	private := netip.MustParseAddr("10.0.0.7")
	names := map[string][]netip.Addr{
		"example.com":         {netip.MustParseAddr("9.9.9.9"), netip.MustParseAddr("2620:fe::9")},
		"partly.example.com":  {private, netip.MustParseAddr("::ffff:9.9.9.9")},
		"private.example.com": {private},
		"mostly.example.com":  append(slices.Repeat([]netip.Addr{private}, 10), netip.MustParseAddr("9.9.9.9")),
		"empty.example.com":   {},
		"many.example.com":    slices.Repeat([]netip.Addr{netip.MustParseAddr("8.8.8.8")}, 100),
	}
	lookup := func(_ context.Context, _, host string) ([]netip.Addr, error) {
		if a, err := netip.ParseAddr(host); err == nil {
			return []netip.Addr{a}, nil
		}
		if a, ok := names[host]; ok {
			return a, nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	for _, c := range []struct {
		name, to string
		allow    func(netip.Addr) bool
		asked    []string // of the proxy
		err      string
	}{
		{"an upload", "example.com:443", nil, []string{"example.com:443 to invalid AddrPort"}, ""},
		{"an upload to what only the proxy knows", "inside.example.com:443", nil, []string{"inside.example.com:443 to invalid AddrPort"}, ""},
		{"directly", direct, nil, []string{direct + " to invalid AddrPort"}, ""},
		{"a file", "example.com:443", Public, []string{"example.com:443 to 9.9.9.9:443"}, ""},
		{"a file at a port", "example.com:8443", Public, []string{"example.com:8443 to 9.9.9.9:8443"}, ""},
		{"one address is private", "partly.example.com:443", Public, []string{"partly.example.com:443 to 9.9.9.9:443"}, ""},
		{"most are", "mostly.example.com:443", Public, []string{"mostly.example.com:443 to 9.9.9.9:443"}, ""},
		{"none is there", "empty.example.com:443", Public, nil, "not a public one"},
		{"all are", "private.example.com:443", Public, nil, "not a public one"},
		{"what only the proxy knows", "inside.example.com:443", Public, nil, "what only the proxy could look up"},
		{"an address", "10.0.0.7:443", Public, nil, "not a public one"},
		{"this machine", direct, Public, nil, "not a public one"},
		{"does not answer", "many.example.com:443", Public, slices.Repeat([]string{"many.example.com:443 to 8.8.8.8:443"}, maxAddresses), "no way there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked []string
			by := &connector{direct: (&net.Dialer{}).DialContext, allow: c.allow, lookup: lookup,
				proxy: func(ctx context.Context, hostPort string, at netip.AddrPort) (net.Conn, error) {
					asked = append(asked, fmt.Sprintf("%s to %s", hostPort, at))
					switch {
					case hostPort == direct:
						return nil, ErrNoProxy
					case strings.HasPrefix(hostPort, "many."):
						return nil, errors.New("no way there")
					}
					return (&net.Dialer{}).DialContext(ctx, "tcp", direct)
				}}
			cfg := Config{}
			client := cfg.newClient(c.allow, roots)
			transport := client.Transport.(*http.Transport)
			transport.DialContext = by.dial
			transport.TLSClientConfig.ServerName = "example.com" // httptest's
			resp, err := client.Get("https://" + c.to + "/file")
			if err == nil {
				defer resp.Body.Close()
				if b, _ := io.ReadAll(resp.Body); string(b) != "data" {
					t.Errorf("got %q", b)
				}
			}
			if !slices.Equal(asked, c.asked) {
				t.Errorf("asked for %v, want %v", asked, c.asked)
			}
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("%v, want %q", err, c.err)
			}
		})
	}
}
