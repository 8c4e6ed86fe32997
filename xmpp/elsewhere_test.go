package xmpp

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jingled/jingled/xmpp/sm"
)

func TestHostPort(t *testing.T) {
	for text, want := range map[string]string{
		"other.test:9222": "other.test:9222", "other.test": "other.test:5222", "192.0.2.1": "192.0.2.1:5222", "192.0.2.1:1": "192.0.2.1:1",
		"[2001:db8::1]:9222": "[2001:db8::1]:9222", "[2001:db8::1]": "[2001:db8::1]:5222", "2001:db8::1": "[2001:db8::1]:5222",
		"": "", ":5222": "", "a b": "", "https://other.test/": "", "user@other.test/x": "", "[not:an:address": "", strings.Repeat("a", 300): "",
	} {
		got, ok := hostPort(text, "5222")
		if !ok {
			got = ""
		}
		if got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// TestLocation resumes a stream where the server wants that (XEP-0198 section 5), and where it was if nobody is there.
func TestLocation(t *testing.T) {
	for _, tc := range []struct {
		name, location string
		there          bool
		want           string
	}{
		{"there", "[2001:db8::1]:9222", true, "127.0.0.1:5222 [2001:db8::1]:9222"},
		{"a host", "manager.example.test", true, "127.0.0.1:5222 manager.example.test:5223"},
		{"not there", "192.0.2.1:9222", false, "127.0.0.1:5222 192.0.2.1:9222 127.0.0.1:5222"},
		{"nonsense", "&lt;nowhere>", false, "127.0.0.1:5222 127.0.0.1:5222"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, ch := newServer(t), chain(t, "example.test")
				var dialed []string
				cfg := smConfig(s)
				cfg.TLS, cfg.RootCAs = TLSDirect, ch.Pool()
				cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					dialed = append(dialed, addr)
					if addr != cfg.Connect && !tc.there {
						return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
					}
					return s.dial(ctx, network, addr)
				}
				accept := func() *script {
					p, _ := s.overTLS(<-s.conns, &tls.Config{Certificates: []tls.Certificate{ch.TLS}})
					return p
				}
				c := mustNew(t, cfg)
				stop := run(t, c)
				p := accept()
				p.loginSM(`<enabled xmlns='urn:xmpp:sm:3' id='abc' resume='true' location='` + tc.location + `'/>`)
				p.stanza() // presence
				p.Close()
				q := accept()
				q.again()
				q.say(`<resumed xmlns='urn:xmpp:sm:3' previd='abc' h='1'/>`)
				synctest.Wait()
				if got := strings.Join(dialed, " "); got != tc.want {
					t.Errorf("connected to %s, want %s", got, tc.want)
				}
				go q.goodbye()
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestCountTooHigh has the server acknowledge what was never sent: it is told so (XEP-0198 section 6), and the stream is not resumed.
func TestCountTooHigh(t *testing.T) {
	enabled := `<enabled xmlns='urn:xmpp:sm:3' id='abc' resume='true'/>`
	t.Run("on a stream", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, p := manage(t, nil, enabled)
			p.say(`<a xmlns='urn:xmpp:sm:3' h='9'/>`)
			_, _ = p.element() // <r/>
			_, err := p.element()
			se, ok := err.(*StreamError)
			if !ok || se.Condition != "undefined-condition" {
				t.Errorf("the server was told %v", err)
			}
			if _, kind, err := p.next(); kind != frameClose {
				t.Errorf("then came %v, %v", kind, err)
			}
			q := c.s.accept()
			q.loginSM(enabled)
			q.stanza()
			synctest.Wait()
			if want := "connecting, online, offline, connecting, online"; c.seen.String() != want {
				t.Errorf("states are %s", c.seen.String())
			}
			c.end(q)
		})
	})
	t.Run("when it is resumed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, p := manage(t, nil, enabled)
			p.Close()
			q := c.s.accept()
			q.again()
			q.say(`<resumed xmlns='urn:xmpp:sm:3' previd='abc' h='9'/>`)
			began := time.Now()
			r := c.s.accept()
			r.loginSM(enabled)
			r.stanza()
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			c.end(r)
		})
	})
}

func TestTooHighSaysHowMuch(t *testing.T) {
	o := newOutbox(Limits{Outbox: 10, OutboxBytes: 1000}, new(sm.Stream))
	for range 3 {
		if err := o.put([]byte("<presence/>")); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.acknowledged(1); err != nil {
		t.Fatal(err)
	}
	o.accuse(7)
	o.end()
	buf, last := o.take()
	if text := string(buf); !last || !strings.Contains(text, `<handled-count-too-high xmlns="urn:xmpp:sm:3" h="7" send-count="3"/></stream:error></stream:stream>`) {
		t.Errorf("the end is %s", text)
	}
}

// TestServerEndsStream answers the end of the stream with ours before the connection ends (RFC 6120 section 4.4).
func TestServerEndsStream(t *testing.T) {
	for name, end := range map[string]string{
		"as it should":  "</stream:stream>",
		"with an error": "<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := manage(t, nil, `<enabled xmlns='urn:xmpp:sm:3' id='abc' resume='true'/>`)
				p.say("%s", end)
				for {
					_, kind, err := p.next()
					if err != nil {
						t.Errorf("the connection ended without the end of the stream: %v", err)
					}
					if err != nil || kind == frameClose {
						break
					}
				}
				q := c.s.accept()
				q.loginSM(`<enabled xmlns='urn:xmpp:sm:3' id='def' resume='true'/>`)
				q.stanza()
				c.end(q)
			})
		})
	}
}
