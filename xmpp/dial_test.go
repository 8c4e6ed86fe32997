package xmpp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/jingled/jingled/jid"
)

type resolver map[string][]*net.SRV

func (r resolver) LookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	s := r[service]
	if proto != "tcp" || name != "xn--exmple-cua.test" && name != "example.test" {
		return "", nil, fmt.Errorf("asked for %s %s", proto, name)
	}
	if s == nil {
		return "", nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return "", s, nil
}

func srv(host string, port, priority, weight uint16) *net.SRV {
	return &net.SRV{Target: host, Port: port, Priority: priority, Weight: weight}
}

func TestTargets(t *testing.T) {
	both := resolver{
		"xmpps-client": {srv("tls.example.test.", 443, 10, 0), srv("late.example.test.", 5223, 50, 0)},
		"xmpp-client":  {srv("xmpp.example.test.", 5222, 5, 0), srv("xmpp2.example.test.", 5222, 20, 0), srv("bad.example.test.", 0, 1, 0)},
	}
	none := resolver{}
	refused := resolver{"xmpp-client": {srv(".", 0, 0, 0)}}
	for _, tc := range []struct {
		name    string
		account jid.JID
		mode    TLSMode
		connect string
		dns     Resolver
		want    string
	}{
		{"both kinds as one set", "a@example.test", TLSAuto, "", both, "xmpp.example.test:5222 tls.example.test:443+ xmpp2.example.test:5222 late.example.test:5223+"},
		{"STARTTLS only", "a@example.test", TLSStart, "", both, "xmpp.example.test:5222 xmpp2.example.test:5222"},
		{"direct only", "a@example.test", TLSDirect, "", both, "tls.example.test:443+ late.example.test:5223+"},
		{"no records", "a@example.test", TLSAuto, "", none, "example.test:5222"},
		{"no records, direct", "a@example.test", TLSDirect, "", none, "example.test:5223+"},
		{"not here", "a@example.test", TLSAuto, "", refused, "host not found"},
		{"IDN", "a@exämple.test", TLSStart, "", both, "xmpp.example.test:5222 xmpp2.example.test:5222"},
		{"IDN without records", "a@exämple.test", TLSAuto, "", none, "xn--exmple-cua.test:5222"},
		{"localhost", "a@localhost", TLSAuto, "", nil, "localhost:5222"},
		{"address", "a@127.0.0.1", TLSAuto, "", nil, "127.0.0.1:5222"},
		{"IPv6 address", "a@[::1]", TLSAuto, "", nil, "[::1]:5222"},
		{"override", "a@example.test", TLSAuto, "127.0.0.1:1234", nil, "127.0.0.1:1234"},
		{"override on 443", "a@example.test", TLSAuto, "127.0.0.1:443", nil, "127.0.0.1:443+"},
		{"override, STARTTLS on 5223", "a@example.test", TLSStart, "127.0.0.1:5223", nil, "127.0.0.1:5223"},
		{"override, direct", "a@example.test", TLSDirect, "127.0.0.1:1234", nil, "127.0.0.1:1234+"},
	} {
		c := mustNew(t, Config{JID: tc.account, Password: func() (string, error) { return "", nil }, TLS: tc.mode, Connect: tc.connect, Resolver: tc.dns})
		targets, err := c.cfg.targets(t.Context())
		var got []string
		for _, x := range targets {
			s := x.addr
			if x.direct {
				s += "+"
			}
			got = append(got, s)
		}
		if err != nil {
			if e, ok := errors.AsType[*Error](err); ok {
				got = append(got, e.Kind.Error())
			}
		}
		if s := strings.Join(got, " "); s != tc.want {
			t.Errorf("%s: %s\nwant %s", tc.name, s, tc.want)
		}
	}
}

// TestWeights checks RFC 2782: within a priority, the chance to be first goes with the weight.
func TestWeights(t *testing.T) {
	first := map[string]int{}
	const n = 20000
	for range n {
		got := order([]srvRecord{{SRV: *srv("a", 1, 1, 10)}, {SRV: *srv("b", 1, 1, 30)}, {SRV: *srv("c", 1, 1, 60)}, {SRV: *srv("z", 1, 0, 0)}}, rand.IntN)
		if len(got) != 4 || got[0].addr != "z:1" {
			t.Fatal(got)
		}
		first[got[1].addr]++
	}
	for addr, weight := range map[string]int{"a:1": 10, "b:1": 30, "c:1": 60} {
		if share := 100 * first[addr] / n; share < weight-4 || share > weight+4 {
			t.Errorf("%s came first in %d %%, its weight is %d %%", addr, share, weight)
		}
	}
	// Where nothing else decides, direct TLS comes first (XEP-0368).
	got := order([]srvRecord{{SRV: *srv("a", 1, 1, 0)}, {SRV: *srv("b", 2, 1, 0), direct: true}}, func(int) int { return 0 })
	if !got[0].direct {
		t.Error(got)
	}
}

func TestDialErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	fail := func(err error) func(context.Context, string, string) (net.Conn, error) {
		return func(context.Context, string, string) (net.Conn, error) { return nil, err }
	}
	for _, tc := range []struct {
		name string
		dial func(context.Context, string, string) (net.Conn, error)
		kind error
		text string
	}{
		{"refused", nil, ErrUnreachable, "the connection was refused (" + closed + "). Is the server running"},
		{"no such host", fail(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "x", IsNotFound: true}}), ErrHostNotFound, "there is no host called 127.0.0.1"},
		{"DNS fails", fail(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "server misbehaving", Name: "x"}}), ErrHostNotFound, "could not be looked up"},
		{"time out", fail(&net.OpError{Op: "dial", Err: context.DeadlineExceeded}), ErrUnreachable, "no answer"},
		{"else", fail(errors.New("no route to host")), ErrUnreachable, "no route to host"},
	} {
		c := mustNew(t, Config{JID: alice, Password: func() (string, error) { return "", nil }, Connect: closed, Dial: tc.dial, FailFast: true})
		if err := c.Run(t.Context()); !errors.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.text) || Permanent(err) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// TestNextTarget goes on to the next server where one does not work, and reports the error that says most.
func TestNextTarget(t *testing.T) {
	dns := resolver{"xmpp-client": {srv("one.test.", 5222, 1, 0), srv("two.test.", 5222, 2, 0), srv("three.test.", 5222, 3, 0)}}
	var tried []string
	c := mustNew(t, Config{JID: alice, Password: func() (string, error) { return "", nil }, Resolver: dns, FailFast: true, TLS: TLSStart,
		Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
			tried = append(tried, addr)
			if addr != "two.test:5222" {
				return nil, errors.New("down")
			}
			a, b := net.Pipe()
			go func() {
				b.Write([]byte("220 mail.test ESMTP\r\n"))
				b.Close()
			}()
			go func() {
				buf := make([]byte, 4096)
				for {
					if _, err := b.Read(buf); err != nil {
						return
					}
				}
			}()
			return a, nil
		}})
	if err := c.Run(t.Context()); !errors.Is(err, ErrNotXMPP) {
		t.Errorf("Run: %v", err)
	}
	if !slices.Equal(tried, []string{"one.test:5222", "two.test:5222", "three.test:5222"}) {
		t.Error(tried)
	}
}

// sickDNS fails as a resolver does that is out of order.
type sickDNS struct{}

func (sickDNS) LookupSRV(_ context.Context, _, _, name string) (string, []*net.SRV, error) {
	return "", nil, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
}

// TestGuessedServer has DNS fail where it should say where the server is, while the domain itself has an address: a login there
// is as good as any, but what goes wrong there may not be the server's fault, and then is no reason to give up.
func TestGuessedServer(t *testing.T) {
	for _, tc := range []struct {
		name      string
		play      func(p *script, inTLS func(*script) *script) // nil refuses the connection
		kind      error
		text      string
		permanent bool
	}{
		{"refused", nil, ErrUnreachable, "(example.test:5222). DNS did not say where the server is (server misbehaving), so the domain itself was tried. Is the server", false},
		{"without TLS", func(p *script, _ func(*script) *script) { p.open(offer("PLAIN")) }, ErrTLSRequired, "DNS did not say", false},
		{"wrong password", func(p *script, inTLS func(*script) *script) {
			p = inTLS(p)
			p.open(offer("SCRAM-SHA-256"))
			p.want()
			p.say("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>")
		}, ErrAuth, "wrong password", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, ch := newServer(t), chain(t, "example.test")
				cfg := s.config()
				cfg.Connect, cfg.TLS, cfg.RootCAs, cfg.Resolver, cfg.FailFast = "", TLSStart, ch.Pool(), sickDNS{}, true
				if tc.play == nil {
					cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
						return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
					}
				} else {
					go func() {
						p := s.accept()
						tc.play(p, func(p *script) *script {
							p, _ = p.startTLS(s, &tls.Config{Certificates: []tls.Certificate{ch.TLS}})
							return p
						})
						p.Close()
					}()
				}
				err := mustNew(t, cfg).Run(t.Context())
				if !errors.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.text) || Permanent(err) != tc.permanent {
					t.Errorf("permanent %v: %v", Permanent(err), err)
				}
			})
		})
	}
}

func TestSASLPrep(t *testing.T) {
	for in, want := range map[string]string{
		"secret": "secret", "pass word": "pass word", "a\u00a0b": "a b", "I\u00adX": "IX", "\u2168": "IX", "\u00aa": "a", "ﬁ": "fi", "e\u0301": "é",
	} {
		if got := saslPrep(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
