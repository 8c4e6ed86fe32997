package httpupload

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// maxRedirects is how many redirects of a fetch are followed.
const maxRedirects = 3

// ErrNotPublic says that a name leads to an address that is not of the public internet, so that fetching from it would
// let a peer reach what only this machine can.
var ErrNotPublic = errors.New("the address is not a public one, nor in a network that is allowed (fetch_networks)")

// special are the blocks that are not of the public internet (the IANA's special-purpose registries) beyond those that
// netip tells, and those in which an address of IPv4 hides.
var special = func() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "240.0.0.0/4",
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
		"5f00::/16", "fec0::/10",
	} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}()

// Public reports whether an address is one of the public internet.
func Public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// newClient returns a client that speaks https only and connects only where allow says. nil allows everything.
func (c *Config) newClient(allow func(netip.Addr) bool, roots *x509.CertPool) *http.Client {
	d := &net.Dialer{Timeout: dialTimeout, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		// Here the name has been resolved, and this very address is connected to.
		a, err := netip.ParseAddrPort(address)
		if err != nil || allow != nil && !allow(a.Addr()) {
			return fmt.Errorf("%w: %s", ErrNotPublic, address)
		}
		return nil
	}}
	dial := d.DialContext
	if c.Proxy != nil {
		dial = (&connector{proxy: c.Proxy, direct: d.DialContext, allow: allow, lookup: net.DefaultResolver.LookupNetIP}).dial
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // it would connect in our place, unchecked
			DialContext:            dial,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    10 * time.Second,
			ResponseHeaderTimeout:  30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true, // the bytes that the hash is of
			DisableKeepAlives:      true,
			WriteBufferSize:        256 << 10,
			ReadBufferSize:         256 << 10,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if r.Method != http.MethodGet {
				return http.ErrUseLastResponse
			}
			if len(via) > maxRedirects {
				return fmt.Errorf("more than %d redirects", maxRedirects)
			}
			_, err := ParseURL(r.URL.String())
			return err
		},
	}
}
