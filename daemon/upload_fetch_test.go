package daemon

import (
	"net/netip"
	"testing"
)

func TestFetches(t *testing.T) {
	usual, company, test := &Config{}, &Config{FetchNetworks: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("fd00:20::/32")}}, &Config{Loopback: true}
	for _, c := range []struct {
		address                string
		usual, company, inTest bool
	}{
		{"9.9.9.9", true, true, false},
		{"10.20.3.4", false, true, false},
		{"::ffff:10.20.3.4", false, true, false},
		{"10.21.0.1", false, false, false},
		{"fd00:20::1", false, true, false},
		{"fd00:21::1", false, false, false},
		{"169.254.169.254", false, false, false},
		{"127.0.0.1", false, false, true},
	} {
		a := netip.MustParseAddr(c.address)
		if u, o, i := usual.fetches(a), company.fetches(a), test.fetches(a); u != c.usual || o != c.company || i != c.inTest {
			t.Errorf("%s: %v, %v, %v", a, u, o, i)
		}
	}
}
