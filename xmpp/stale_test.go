package xmpp

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// moodyDNS knows everything about example.test, when it is well.
type moodyDNS struct {
	mu    sync.Mutex
	takes time.Duration // forever: it does not answer
	err   error
	addr  string
	asked int
}

func (d *moodyDNS) be(takes time.Duration, err error, addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.takes, d.err, d.addr = takes, err, addr
}

func (d *moodyDNS) answer(ctx context.Context) (netip.Addr, error) {
	d.mu.Lock()
	d.asked++
	takes, err, addr := d.takes, d.err, d.addr
	d.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return netip.Addr{}, &net.DNSError{Err: ctx.Err().Error(), IsTimeout: true}
	}
	if err != nil {
		return netip.Addr{}, err
	}
	return netip.MustParseAddr(addr), nil
}

func (d *moodyDNS) LookupSRV(ctx context.Context, service, _, name string) (string, []*net.SRV, error) {
	if _, err := d.answer(ctx); err != nil {
		return "", nil, err
	}
	if service != "xmpps-client" {
		return "", nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return "", []*net.SRV{{Target: "one.test.", Port: 5223}}, nil
}

func (d *moodyDNS) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	a, err := d.answer(ctx)
	if err != nil {
		return nil, err
	}
	if network == "ip6" {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return []netip.Addr{a}, nil
}

var (
	errServFail = &net.DNSError{Err: "server misbehaving", IsTemporary: true}
	errNoName   = &net.DNSError{Err: "no such host", IsNotFound: true}
)

// TestStaleDNS asks a resolver in each of its moods, after it has answered once.
func TestStaleDNS(t *testing.T) {
	const was, is = "192.0.2.1", "192.0.2.2"
	for _, tc := range []struct {
		name   string
		takes  time.Duration
		err    error
		later  time.Duration // since the first answer
		want   string        // "": none
		within time.Duration
		next   string // what is answered then, DNS being silent
	}{
		{"well", 0, nil, 0, is, 0, is},
		{"slow", 1700 * time.Millisecond, nil, 0, is, 1700 * time.Millisecond, is},
		{"too slow", 3 * time.Second, nil, 0, was, staleAfter, is},
		{"silent", forever, nil, 0, was, staleAfter, was},
		{"failing", 0, errServFail, 0, was, 0, was},
		{"failing after a while", time.Second, errServFail, 2 * 24 * time.Hour, was, time.Second, was},
		{"failing after too long a while", 0, errServFail, 4 * 24 * time.Hour, "", 0, ""},
		{"without the name", 0, errNoName, 0, "", 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &moodyDNS{addr: was}
				d := newStaleDNS(m, m)
				defer d.close()
				say := func() (string, time.Duration) {
					began := time.Now()
					got, err := d.LookupNetIP(t.Context(), "ip", "one.test")
					if err != nil {
						return "", time.Since(began)
					}
					return got[0].String(), time.Since(began)
				}
				if got, _ := say(); got != was {
					t.Fatalf("at first: %q", got)
				}
				time.Sleep(tc.later)
				m.be(tc.takes, tc.err, is)
				if got, took := say(); got != tc.want || took != tc.within {
					t.Errorf("%q after %v, want %q after %v", got, took, tc.want, tc.within)
				}
				time.Sleep(askFor)
				m.be(forever, nil, "")
				if tc.next == "" && tc.err != errNoName {
					return // it would be asked for ever
				}
				if got, _ := say(); got != tc.next {
					t.Errorf("then %q, want %q", got, tc.next)
				}
			})
		})
	}
}

// TestStaleIsBounded remembers the newest names only, and what comes last of each.
func TestStaleIsBounded(t *testing.T) {
	var s shelf[int]
	now := time.Now()
	for i := range 2 * maxStale {
		s.put(fmt.Sprint(i), i, nil, now.Add(time.Duration(i)*time.Second))
	}
	s.put("127", 1, nil, now)
	s.put("127", 0, errServFail, now)
	if a, ok := s.get("127", now); !ok || a.value != 1 {
		t.Errorf("the last one is %v, %v", a, ok)
	}
	if _, ok := s.get("0", now); ok || len(s.m) != maxStale {
		t.Errorf("%d names are kept, the first of them %v", len(s.m), ok)
	}
	if _, ok := s.get("126", now.Add(staleFor+127*time.Second)); ok || len(s.m) != 0 {
		t.Errorf("%d names are kept for ever", len(s.m))
	}
}

// TestOnlineWithoutDNS loses the connection and DNS at once, which ends in each of its ways: the client is back at the address
// that it had. The certificate is looked at all the same.
func TestOnlineWithoutDNS(t *testing.T) {
	for name, ill := range map[string]struct {
		takes time.Duration
		err   error
	}{"silent": {forever, nil}, "failing": {0, errServFail}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, ch, other := newServer(t), chain(t, "example.test"), chain(t, "other.test")
				m := &moodyDNS{addr: "192.0.2.1"}
				var mu sync.Mutex
				var dialed []string
				cfg := s.config()
				cfg.Connect, cfg.TLS, cfg.RootCAs, cfg.Resolver = "", TLSAuto, ch.Pool(), m
				cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					mu.Lock()
					dialed = append(dialed, addr)
					mu.Unlock()
					return s.dial(ctx, network, addr)
				}
				c := mustNew(t, cfg)
				var errs []error
				c.OnState(func(ch StateChange) {
					if ch.State == Offline {
						errs = append(errs, ch.Err)
					}
				})
				stop := run(t, c)
				enter := func(cert tls.Certificate) *script {
					p, _ := s.overTLS(<-s.conns, &tls.Config{Certificates: []tls.Certificate{cert}})
					return p
				}
				first := enter(ch.TLS)
				first.login()
				first.settle("")
				m.be(ill.takes, ill.err, "")
				first.Close()
				if p := enter(other.TLS); p != nil { // somebody else at that address
					p.t.Error("another's certificate was taken")
				}
				p := enter(ch.TLS)
				p.login()
				p.settle("")
				synctest.Wait()
				if len(errs) != 2 {
					t.Errorf("the errors were %v", errs)
				}
				mu.Lock()
				if got := strings.Join(dialed, " "); got != "192.0.2.1:5223 192.0.2.1:5223 192.0.2.1:5223" {
					t.Errorf("connected to %s", got)
				}
				mu.Unlock()
				go p.goodbye()
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
