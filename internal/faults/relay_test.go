package faults

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/relay"
)

const relaySecret = "a secret that relay and server share"

// turn starts a relay at an address of the loopback network and returns what ends it.
func turn(t *testing.T, ip string) (port uint16, kill func()) {
	t.Helper()
	addr := netip.MustParseAddr(ip)
	r, err := relay.New(relay.Config{
		Realm: "faults.test", Credentials: relay.Credentials{Secrets: []string{relaySecret}}, Admin: relay.Admin{Socket: "off"},
		Listen: []relay.Listen{{Transport: "udp", Address: netip.AddrPortFrom(addr, 0)}},
		Relay:  relay.Relayed{Address: []relay.RelayAddress{{Bind: addr}}},
		Peers:  relay.Peers{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	over := false
	kill = func() {
		if !over {
			over = true
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("relay: %v", err)
			}
		}
	}
	t.Cleanup(kill)
	select {
	case <-r.Ready():
	case err := <-ended:
		ended <- nil
		t.Fatalf("relay: %v", err)
	}
	return r.Addrs().TURN[0].Address.Port(), kill
}

// TestRelayDies: a call that goes through a relay that ends goes on through another one.
func TestRelayDies(t *testing.T) {
	t.Parallel() // most of it is waiting
	for _, kind := range testkit.Kinds(t) {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			relayDies(t, kind)
		})
	}
}

func relayDies(t *testing.T, kind testkit.Kind) {
	ips := []string{"127.0.0.2", "127.0.0.3"}
	kills := map[string]func(){}
	o := testkit.Options{Secret: relaySecret}
	for _, ip := range ips {
		port, kill := turn(t, ip)
		kills[ip] = kill
		o.Relays = append(o.Relays, testkit.Relay{Type: "turn", Transport: "udp", Host: ip, Port: int(port)})
	}
	srv := testkit.Start(t, kind, o)
	srv.AddUser(t, "romeo", "secret")
	srv.AddUser(t, "juliet", "secret")
	srv.Befriend(t, "romeo", "juliet")
	hidden := func(c *daemon.Config) { c.RelayOnly = true }
	a, b := stay(t, srv, "romeo", hidden), stay(t, srv, "juliet", hidden)
	sid, err := call(a, b)
	if err != nil {
		t.Fatal(err)
	}
	e, err := a.after(0, sid, "the connection", func(e *jingledv1.Event) bool { return e.GetCallConnected() != nil })
	if err != nil {
		t.Fatal(err)
	}
	pair := e.GetCallConnected().GetCandidatePair()
	killed := ""
	for _, ip := range ips {
		if strings.Contains(pair.GetLocal(), ip+":") {
			killed = ip
		}
	}
	if killed == "" {
		t.Fatalf("the path is %v", pair)
	}
	t.Logf("the path is %v, killing %s", pair, killed)
	kills[killed]()
	for _, p := range []*person{a, b} {
		if err := p.heard(sid); err != nil {
			t.Error(err)
		}
	}
	if err := hangUp(a, b, sid); err != nil {
		t.Error(err)
	}
}
