package policy

import (
	"errors"
	"net/netip"
	"testing"
)

// TestDefault has every form of address that a relay must not be tricked into, and some that it must reach.
func TestDefault(t *testing.T) {
	p := Default()
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "192.0.3.1": true, "172.32.0.1": true, "100.128.0.1": true, "223.255.255.254": true, "1.0.0.1": true,
		"2606:4700::1111": true, "2a00:1450::1": true, "2001:4860::8888": true, "2001:200::1": true,

		"0.0.0.0": false, "0.1.2.3": false, "10.1.2.3": false, "100.64.0.1": false, "100.100.100.200": false, "127.0.0.1": false,
		"127.255.255.255": false, "169.254.169.254": false, "169.254.170.2": false, "172.16.0.1": false, "172.31.255.255": false,
		"192.0.0.192": false, "192.0.2.1": false, "192.88.99.1": false, "192.168.1.1": false, "198.18.0.1": false, "198.19.255.255": false,
		"198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false,
		"255.255.255.255": false, "168.63.129.16": false,

		"::": false, "::1": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "fc00::1": false, "fd00:ec2::254": false,
		"ff02::1": false, "100::1": false, "2001:db8::1": false, "3fff::1": false, "2001:10::1": false, "2001:20::1": false,
		"5f00::1": false, "4000::1": false,

		// IPv4 in IPv6: mapped (CVE-2026-27624), compatible, translated.
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false, "::ffff:8.8.8.8": true,
		"::127.0.0.1": false, "::8.8.8.8": false, "::ffff:0:127.0.0.1": false,
		// NAT64: the well-known prefix by its content, the local-use one never.
		"64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b::808:808": true, "64:ff9b:1::808:808": false,
		"64:ff9b::1:808:808": false,
		// 6to4, Teredo (server 4.4.4.4, client inverted), ISATAP.
		"2002:7f00:1::1": false, "2002:a00:1::1": false, "2002:808:808::1": true,
		"2001:0:404:404:0:0:80ff:fffe": false, "2001:0:404:404:0:0:f7f7:f7f7": true, "2001:0:7f00:1:0:0:f7f7:f7f7": false,
		"2606:4700::5efe:10.0.0.1": false, "2606:4700::200:5efe:127.0.0.1": false, "2606:4700::5efe:8.8.8.8": true,
	} {
		if got := p.AllowedAddr(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: allowed %v, want %v", addr, got, want)
		}
	}
	if p.AllowedAddr(netip.Addr{}) {
		t.Error("the zero address is allowed")
	}
}

func TestPorts(t *testing.T) {
	p := Default()
	for port, want := range map[uint16]bool{1: false, 22: false, 443: false, 1023: false, 1024: true, 65535: true, 0: true} {
		if got := p.Allowed(netip.AddrPortFrom(netip.MustParseAddr("8.8.8.8"), port)); got != want {
			t.Errorf("port %d: %v", port, got)
		}
	}
	all, err := New(Config{MinPort: 1})
	if err != nil || !all.AllowedPort(22) || all.AllowedPort(0) {
		t.Error("MinPort 1 allows all ports but 0", err)
	}
}

func TestExceptions(t *testing.T) {
	prefixes := func(s ...string) (out []netip.Prefix) {
		for _, x := range s {
			out = append(out, netip.MustParsePrefix(x))
		}
		return out
	}
	p, err := New(Config{
		Allow: prefixes("10.0.0.0/8", "::ffff:192.168.7.0/120", "8.8.4.4/32"),
		Deny:  prefixes("10.9.0.0/16", "1.1.1.0/24", "10.0.0.0/8"),
		Own:   []netip.Addr{netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("8.8.4.4"), netip.MustParseAddr("10.1.0.1")},
		NAT64: prefixes("2606:4700:64::/48"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]bool{
		"10.0.0.1": false, // a tie denies
		"10.9.0.1": false, "192.168.7.9": true, "192.168.8.9": false, "1.1.1.1": false, "::ffff:1.1.1.1": false,
		"8.8.8.8": false, "::ffff:8.8.8.8": false, "64:ff9b::808:808": false, "2002:808:808::": false, // own, in any shape
		"8.8.4.4": true, // own, but named
		// RFC 6052 section 2.4's layout for /48: two bytes, the zero byte, two bytes.
		"2606:4700:64:c0a8:8:900::": false, "2606:4700:64:c0a8:7:900::": true, "2606:4700:64:909:9:900::": true,
	} {
		if got := p.AllowedAddr(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: allowed %v, want %v", addr, got, want)
		}
	}
	for _, bad := range []Config{
		{Allow: prefixes("0.0.0.0/0")}, {Allow: prefixes("::/0")}, {Allow: make([]netip.Prefix, 1)}, {Deny: make([]netip.Prefix, 1)},
		{NAT64: prefixes("2001:db8::/33")}, {NAT64: prefixes("10.0.0.0/32")},
	} {
		if _, err := New(bad); !errors.Is(err, ErrConfig) {
			t.Errorf("%v: accepted, %v", bad, err)
		}
	}
}

// FuzzShapes: whatever shape an IPv4 address is put in, it is not reachable when the plain one is not.
func FuzzShapes(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1})
	f.Add([]byte{8, 8, 8, 8})
	p := Default()
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != 4 {
			return
		}
		v4 := netip.AddrFrom4([4]byte(b))
		if p.AllowedAddr(v4) {
			return
		}
		shapes := [][16]byte{
			{10: 0xff, 11: 0xff, 12: b[0], 13: b[1], 14: b[2], 15: b[3]},
			{12: b[0], 13: b[1], 14: b[2], 15: b[3]},
			{0: 0, 1: 0x64, 2: 0xff, 3: 0x9b, 12: b[0], 13: b[1], 14: b[2], 15: b[3]},
			{0: 0x20, 1: 0x02, 2: b[0], 3: b[1], 4: b[2], 5: b[3], 15: 1},
			{0: 0x20, 1: 0x01, 4: 8, 5: 8, 6: 8, 7: 8, 12: ^b[0], 13: ^b[1], 14: ^b[2], 15: ^b[3]},
			{0: 0x26, 1: 0x06, 10: 0x5e, 11: 0xfe, 12: b[0], 13: b[1], 14: b[2], 15: b[3]},
		}
		for _, s := range shapes {
			if a := netip.AddrFrom16(s); p.AllowedAddr(a) {
				t.Errorf("%v is reachable as %v", v4, a)
			}
		}
	})
}

func BenchmarkAllowed(b *testing.B) {
	p := Default()
	peer := netip.MustParseAddrPort("8.8.8.8:5000")
	b.ReportAllocs()
	for b.Loop() {
		p.Allowed(peer)
	}
}
