package xmpp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// network is one where each address does something else.
type network struct {
	s *server

	mu    sync.Mutex
	asked []string
	began time.Time
	at    []time.Duration

	down, dead map[string]bool // refuses; does not answer
	slow       map[string]time.Duration
	names      map[string][]string
	srv        resolver

	silentAbout string // a network that DNS does not answer about
}

func newNetwork(s *server) *network {
	return &network{s: s, began: time.Now(), down: map[string]bool{}, dead: map[string]bool{}, slow: map[string]time.Duration{}}
}

func (n *network) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	n.mu.Lock()
	n.asked = append(n.asked, addr)
	n.at = append(n.at, time.Since(n.began))
	n.mu.Unlock()
	switch {
	case n.down[addr]:
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	case n.dead[addr]:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	select {
	case <-time.After(n.slow[addr]):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return n.s.dial(ctx, network, addr)
}

func (n *network) LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error) {
	return n.srv.LookupSRV(ctx, service, proto, name)
}

func (n *network) LookupNetIP(ctx context.Context, network, host string) (out []netip.Addr, err error) {
	if n.silentAbout == network {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, text := range n.names[host] {
		if a := netip.MustParseAddr(text); a.Is4() == (network == "ip4") {
			out = append(out, a)
		}
	}
	if out == nil {
		err = &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return out, err
}

// TestRace has servers and addresses that are down or do not answer, beside one that works, and looks at how long it takes
// to be online. Time is virtual.
func TestRace(t *testing.T) {
	two := resolver{"xmpps-client": {srv("one.test.", 5223, 1, 0), srv("two.test.", 5223, 2, 0)}}
	six, four := "2001:db8::1", "192.0.2.1"
	for _, tc := range []struct {
		name    string
		srv     resolver
		hosts   map[string][]string
		prepare func(n *network)
		asked   string
		within  time.Duration
	}{
		{"the first works", two, map[string][]string{"one.test": {four}, "two.test": {"192.0.2.2"}}, func(*network) {},
			"192.0.2.1:5223", 0},
		{"a server that is down", two, map[string][]string{"one.test": {four}, "two.test": {"192.0.2.2"}},
			func(n *network) { n.down["192.0.2.1:5223"] = true }, "192.0.2.1:5223 192.0.2.2:5223", 0},
		{"a server that does not answer", two, map[string][]string{"one.test": {four}, "two.test": {"192.0.2.2"}},
			func(n *network) { n.dead["192.0.2.1:5223"] = true }, "192.0.2.1:5223 192.0.2.2:5223", attemptDelay},
		{"a server without an address", two, map[string][]string{"two.test": {"192.0.2.2"}}, func(*network) {}, "192.0.2.2:5223", 0},
		{"IPv6 that leads nowhere", two, map[string][]string{"one.test": {four, six}},
			func(n *network) { n.dead["[2001:db8::1]:5223"] = true }, "[2001:db8::1]:5223 192.0.2.1:5223", attemptDelay},
		{"several dead addresses", two, map[string][]string{"one.test": {six, "2001:db8::2", four, "192.0.2.9"}},
			func(n *network) {
				n.dead["[2001:db8::1]:5223"], n.dead["192.0.2.1:5223"], n.down["[2001:db8::2]:5223"] = true, true, true
			}, "[2001:db8::1]:5223 192.0.2.1:5223 [2001:db8::2]:5223 192.0.2.9:5223", 2 * attemptDelay},
		{"DNS that is silent about IPv6", two, map[string][]string{"one.test": {four, six}}, func(n *network) { n.silentAbout = "ip6" },
			"192.0.2.1:5223", otherFamily},
		{"DNS that is silent about IPv4", two, map[string][]string{"one.test": {four, six}}, func(n *network) { n.silentAbout = "ip4" },
			"[2001:db8::1]:5223", otherFamily},
		{"one that is slow, not dead", two, map[string][]string{"one.test": {four}, "two.test": {"192.0.2.2"}},
			func(n *network) { n.slow["192.0.2.1:5223"] = 400 * time.Millisecond; n.dead["192.0.2.2:5223"] = true },
			"192.0.2.1:5223 192.0.2.2:5223", 400 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				n := newNetwork(s)
				n.srv, n.names = tc.srv, tc.hosts
				tc.prepare(n)
				ch := chain(t, "example.test")
				cfg := s.config()
				cfg.Connect, cfg.TLS, cfg.RootCAs, cfg.Dial, cfg.Resolver = "", TLSAuto, ch.Pool(), n.dial, n
				var took time.Duration
				c := mustNew(t, cfg)
				c.OnState(func(ch StateChange) {
					if ch.State == Online && took == 0 {
						took = time.Since(n.began) + 1
					}
				})
				stop := run(t, c)
				p, _ := s.overTLS(<-s.conns, &tls.Config{Certificates: []tls.Certificate{ch.TLS}})
				p.login()
				p.settle("")
				synctest.Wait()
				if asked := strings.Join(n.asked, " "); asked != tc.asked {
					t.Errorf("asked %s at %v, want %s", asked, n.at, tc.asked)
				}
				if took == 0 || took > tc.within+1 {
					t.Errorf("online after %v", took)
				}
				go p.goodbye()
				stop()
			})
		})
	}
}

// TestRaceGoesOn has a server that answers first but is none, while a better one takes its time.
func TestRaceGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := 0
		var mu sync.Mutex
		conn := func() net.Conn {
			a, b := net.Pipe()
			mu.Lock()
			open++
			mu.Unlock()
			go func() {
				_, _ = b.Read(make([]byte, 1)) // until the other end is closed
				b.Close()
				mu.Lock()
				open--
				mu.Unlock()
			}()
			return a
		}
		r := newRace(t.Context(), 4, func(ctx context.Context, i int) (net.Conn, error) {
			switch i {
			case 0:
				time.Sleep(time.Second)
				return conn(), nil
			case 1:
				return conn(), nil
			case 2:
				return nil, errors.New("down")
			}
			<-ctx.Done()
			return conn(), nil // comes too late
		})
		var order []int
		for range 3 {
			o, ok := r.next()
			if !ok {
				t.Fatal("it is over")
			}
			order = append(order, o.i)
			if o.conn != nil {
				o.conn.Close()
			}
		}
		if !slices.Equal(order, []int{1, 2, 0}) {
			t.Errorf("ended in the order %v", order)
		}
		r.close()
		synctest.Wait()
		if open != 0 {
			t.Errorf("%d connections are still open", open)
		}
		if _, ok := r.next(); ok {
			t.Error("it goes on")
		}
	})
}

func TestInterleave(t *testing.T) {
	var in []netip.Addr
	for _, a := range []string{"192.0.2.1", "192.0.2.2", "::ffff:192.0.2.3", "2001:db8::1", "2001:db8::2"} {
		in = append(in, netip.MustParseAddr(a))
	}
	var got []string
	for _, a := range interleave(in) {
		got = append(got, a.String())
	}
	if s := strings.Join(got, " "); s != "2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2 192.0.2.3" {
		t.Error(s)
	}
	if n := len(interleave(slices.Repeat(in, 10))); n != maxAddresses {
		t.Errorf("%d addresses", n)
	}
}
