package agent

import (
	"net"
	"testing"

	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
)

func TestOnlySix(t *testing.T) {
	iface := func(flags net.Flags, addrs ...string) *transport.Interface {
		i := transport.NewInterface(net.Interface{Flags: flags})
		for _, a := range addrs {
			ip, n, err := net.ParseCIDR(a)
			if err != nil {
				t.Fatal(err)
			}
			i.AddAddress(&net.IPNet{IP: ip, Mask: n.Mask})
		}
		return i
	}
	lo := iface(net.FlagUp|net.FlagLoopback, "127.0.0.1/8", "::1/128")
	for name, c := range map[string]struct {
		ifaces []*transport.Interface
		want   bool
	}{
		"nothing":              {[]*transport.Interface{lo}, false},
		"IPv4":                 {[]*transport.Interface{lo, iface(net.FlagUp, "192.168.1.5/24", "fe80::1/64")}, false},
		"both":                 {[]*transport.Interface{lo, iface(net.FlagUp, "192.168.1.5/24", "2001:db8::5/64")}, false},
		"IPv6":                 {[]*transport.Interface{lo, iface(net.FlagUp, "2001:db8::5/64", "fe80::1/64")}, true},
		"IPv6, IPv4 is down":   {[]*transport.Interface{iface(0, "192.168.1.5/24"), iface(net.FlagUp, "2001:db8::5/64")}, true},
		"only link-local IPv6": {[]*transport.Interface{iface(net.FlagUp, "fe80::1/64")}, false},
		"IPv6, autoconfigured": {[]*transport.Interface{iface(net.FlagUp, "169.254.3.4/16", "2001:db8::5/64")}, true},
	} {
		if got := onlySix(c.ifaces); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestDummyAddress: what is opened from the address that is none goes over IPv6, and says it were IPv4.
func TestDummyAddress(t *testing.T) {
	peer, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 on this machine: %v", err)
	}
	defer peer.Close()
	ln, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	n, err := newNet(Config{}, secureServers{})
	if err != nil {
		t.Fatal(err)
	}
	n.six = true
	defer n.giveUp()
	if _, err := n.ListenUDP("udp4", &net.UDPAddr{IP: dummy.AsSlice()}); err == nil {
		t.Error("a host candidate at an address that is none")
	}
	c, err := n.ListenPacket("udp4", "192.0.0.8:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if a, ok := c.LocalAddr().(*net.UDPAddr); !ok || a.IP.To4() == nil || a.Port == 0 {
		t.Errorf("it is at %v", c.LocalAddr())
	}
	to, err := n.ResolveUDPAddr("udp4", peer.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.WriteTo([]byte("hello"), to); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	if k, _, err := peer.ReadFrom(b); err != nil || string(b[:k]) != "hello" {
		t.Errorf("%q, %v", b[:k], err)
	}
	addr, err := n.ResolveTCPAddr("tcp4", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := n.DialTCP("tcp4", nil, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if a, ok := s.LocalAddr().(*net.TCPAddr); !ok || a.IP.To4() == nil {
		t.Errorf("it is at %v", s.LocalAddr())
	}
	std, err := stdnet.NewNet()
	if err != nil {
		t.Fatal(err)
	}
	before, _ := std.Interfaces()
	after, err := n.Interfaces()
	if err != nil || len(after) != len(before)+1 {
		t.Errorf("%d interfaces beside %d, %v", len(after), len(before), err)
	}
}
