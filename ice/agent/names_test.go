package agent

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/jingled/jingled/ice"
)

// book is a DNS with some names.
type book map[string][]string

func (b book) LookupNetIP(_ context.Context, network, host string) (out []netip.Addr, err error) {
	for _, text := range b[host] {
		a := netip.MustParseAddr(text)
		if network == "ip" || (network == "ip4") == a.Is4() {
			out = append(out, a)
		}
	}
	return out, nil
}

func TestLookup(t *testing.T) {
	names := book{"both.test": {"2001:db8::1", "192.0.2.1", "192.0.2.2"}, "six.test": {"2001:db8::1"}, "four.test": {"192.0.2.1"}}
	for _, tc := range []struct {
		network, address string
		six              bool
		want             string
	}{
		{"udp", "both.test:3478", false, "192.0.2.1:3478"},
		{"udp4", "both.test:3478", false, "192.0.2.1:3478"},
		{"tcp6", "both.test:3478", false, "[2001:db8::1]:3478"},
		{"udp", "six.test:3478", false, "[2001:db8::1]:3478"},
		{"udp4", "six.test:3478", false, ""},
		{"udp4", "both.test:3478", true, "[2001:db8::1]:3478"},
		{"udp4", "four.test:3478", true, "192.0.2.1:3478"},
		{"udp6", "four.test:3478", true, ""},
		{"udp4", "192.0.2.9:1", false, "192.0.2.9:1"},
		{"tcp4", "[2001:db8::9]:1", false, ""},
		{"tcp4", "[2001:db8::9]:1", true, "[2001:db8::9]:1"},
		{"udp6", "192.0.2.9:1", false, ""},
		{"udp", "nobody.test:1", false, ""},
		{"udp", "both.test", false, ""},
		{"udp", "both.test:70000", false, ""},
	} {
		n, err := newNet(Config{Names: names}, secureServers{})
		if err != nil {
			t.Fatal(err)
		}
		n.six = tc.six
		got, err := n.ResolveUDPAddr(tc.network, tc.address)
		if err == nil != (tc.want != "") || err == nil && got.String() != tc.want {
			t.Errorf("%s %s (only IPv6: %v) is %v, %v, want %q", tc.network, tc.address, tc.six, got, err, tc.want)
		}
		n.giveUp()
	}
}

// silence is a DNS that does not answer. It notes why nobody waits any more.
type silence struct {
	mu    sync.Mutex
	asked chan struct{}
	ends  []error
}

func (s *silence) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	s.asked <- struct{}{}
	<-ctx.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends = append(s.ends, ctx.Err())
	return nil, ctx.Err()
}

// TestDNSIsSilent has a call whose relays cannot be looked up: it has the paths that there are without them, and its end waits
// for no answer.
func TestDNSIsSilent(t *testing.T) {
	dns := &silence{asked: make(chan struct{}, 64)}
	servers := []Server{{URI: "stun:stun.example.test:3478"}}
	for _, uri := range []string{"turn:turn.example.test:3478?transport=udp", "turn:turn.example.test:3478?transport=tcp", "turns:turn.example.test:443?transport=tcp"} {
		servers = append(servers, Server{URI: uri, Username: "user", Password: "secret"})
	}
	a := newPeer(t, Config{LoopbackOnly: true, Servers: servers, Names: dns})
	b := newPeer(t, Config{LoopbackOnly: true})
	for _, p := range []*peer{a, b} {
		if err := p.Gather(); err != nil {
			t.Fatal(err)
		}
	}
	for range servers {
		<-dns.asked
	}
	<-b.gathered
	for _, x := range [][2]*peer{{a, b}, {b, a}} {
		ufrag, pwd := x[1].Credentials()
		if _, err := x[0].Start(x[0] == a, ufrag, pwd); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range b.candidates {
		if err := a.AddRemote(c); err != nil {
			t.Error(err)
		}
	}
	if err := a.Wait(t.Context()); err != nil {
		t.Errorf("%v; %s", err, a.Report())
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	dns.mu.Lock()
	defer dns.mu.Unlock()
	if len(dns.ends) < len(servers) {
		t.Errorf("%d lookups have ended of %d", len(dns.ends), len(servers))
	}
	for _, err := range dns.ends {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the end waited for a lookup: %v", err)
		}
	}
}

// TestServersByName asks for the names of servers where the configuration says.
func TestServersByName(t *testing.T) {
	server := turnServer(t)
	server.URI = strings.Replace(server.URI, "127.0.0.1", "relay.example.test", 1)
	a := newPeer(t, Config{LoopbackOnly: true, Policy: RelayOnly, Servers: []Server{server}, Names: book{"relay.example.test": {"127.0.0.1"}}})
	b := newPeer(t, Config{LoopbackOnly: true})
	connect(t, a, b)
	if pair := <-a.paired; pair.Local.Type != ice.Relayed {
		t.Errorf("the path is %v", pair)
	}
}
