package xmpp

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jingled/jingled/internal/selfsigned"
)

func chain(t *testing.T, names ...string) *selfsigned.Chain {
	t.Helper()
	c, err := selfsigned.New(names...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestChannelBinding checks what the client sends in the GS2 header and binds to, over real TLS.
func TestChannelBinding(t *testing.T) {
	const cb = "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='%s'/></sasl-channel-binding>"
	for _, tc := range []struct {
		name     string
		max      uint16
		offer    string
		mech     string
		gs2      string
		exporter bool
	}{
		{"TLS 1.3", tls.VersionTLS13, offer("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"), "SCRAM-SHA-256-PLUS", "p=tls-exporter,,", true},
		{"TLS 1.2", tls.VersionTLS12, offer("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"), "SCRAM-SHA-256-PLUS", "p=tls-unique,,", false},
		{"said to be known", tls.VersionTLS13, offer("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS") + fmt.Sprintf(cb, "tls-exporter"), "SCRAM-SHA-256-PLUS", "p=tls-exporter,,", true},
		{"only another kind", tls.VersionTLS13, fmt.Sprintf(cb, "tls-server-end-point") + offer("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"), "SCRAM-SHA-256", "n,,", false},
		{"not offered", tls.VersionTLS13, offer("PLAIN", "SCRAM-SHA-256"), "SCRAM-SHA-256", "n,,", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				ch := chain(t, "example.test")
				cfg := s.config()
				cfg.TLS, cfg.RootCAs = TLSStart, ch.Pool()
				stop := run(t, mustNew(t, cfg))
				p, conn := s.accept().startTLS(s, &tls.Config{Certificates: []tls.Certificate{ch.TLS}, MaxVersion: tc.max})
				state := conn.ConnectionState()
				var binding []byte
				switch {
				case tc.exporter:
					binding, _ = state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
				case strings.Contains(tc.gs2, "tls-unique"):
					binding = state.TLSUnique
				}
				p.open(tc.offer)
				mech, gs2, ok := p.auth(scram{password: "secret", binding: binding})
				if mech != tc.mech || gs2 != tc.gs2 || !ok {
					t.Errorf("%s %q %v", mech, gs2, ok)
				}
				if h := p.open(featBind); !strings.Contains(h, "from='alice@example.test'") {
					t.Errorf("header after the login: %s", h)
				}
				p.bindAs(phone)
				p.settle("")
				go p.goodbye()
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestBindingGuessedWrong plays a server that offers channel binding under TLS 1.3, takes only another kind, and does
// not say so: the password is right all the same.
func TestBindingGuessedWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		ch := chain(t, "example.test")
		cfg := s.config()
		cfg.TLS, cfg.RootCAs = TLSStart, ch.Pool()
		stop := run(t, mustNew(t, cfg))
		server := &tls.Config{Certificates: []tls.Certificate{ch.TLS}}
		p, _ := s.accept().startTLS(s, server)
		p.open(offer("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"))
		p.want()
		p.say("<failure xmlns='%s'><not-authorized/></failure>", nsSASL)
		p, _ = s.accept().startTLS(s, server)
		p.open(offer("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"))
		if mech, gs2, ok := p.auth(scram{password: "secret"}); mech != "SCRAM-SHA-256" || gs2 != "n,," || !ok {
			t.Errorf("%s %q %v", mech, gs2, ok)
		}
		p.open(featBind)
		p.bindAs(phone)
		p.settle("")
		go p.goodbye()
		stop()
	})
}

func TestPlainInsideTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		ch := chain(t, "example.test")
		cfg := s.config()
		cfg.TLS, cfg.RootCAs, cfg.Connect = TLSAuto, ch.Pool(), "127.0.0.1:5223" // direct TLS by its port
		c := mustNew(t, cfg)
		stop := run(t, c)
		server := &tls.Config{Certificates: []tls.Certificate{ch.TLS}, NextProtos: []string{"xmpp-client"}}
		p, conn := s.overTLS(<-s.conns, server)
		if got := conn.ConnectionState().NegotiatedProtocol; got != "xmpp-client" {
			t.Errorf("ALPN %q", got) // XEP-0368
		}
		p.open(offer("PLAIN"))
		if a := p.want(); a.Attr("mechanism") != "PLAIN" || unbase64(a.Text()) != "\x00alice\x00secret" {
			t.Errorf("auth %s", a)
		}
		p.say("<success xmlns='%s'/>", nsSASL)
		p.open(featBind)
		p.bindAs(phone)
		p.settle("")
		go p.goodbye()
		stop()
	})
}

// TestNoPlainAfterScram plays a server that forgets about SCRAM: somebody may want the password.
func TestNoPlainAfterScram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		ch := chain(t, "example.test")
		cfg := s.config()
		cfg.TLS, cfg.RootCAs = TLSDirect, ch.Pool()
		c := mustNew(t, cfg)
		end := make(chan error, 1)
		go func() { end <- c.Run(context.Background()) }()
		server := &tls.Config{Certificates: []tls.Certificate{ch.TLS}}
		p, _ := s.overTLS(<-s.conns, server)
		p.login()
		p.settle("")
		p.Close()
		p, _ = s.overTLS(<-s.conns, server)
		p.open(offer("PLAIN"))
		if err := <-end; !errors.Is(err, ErrNoMechanism) {
			t.Errorf("Run: %v", err)
		}
		p.Close()
	})
}

func TestCertificates(t *testing.T) {
	for _, tc := range []struct {
		name   string
		names  string
		config func(*Config, *selfsigned.Chain)
		wait   time.Duration
		kind   error // nil: logs in
		text   string
	}{
		{"trusted", "example.test", func(c *Config, ch *selfsigned.Chain) { c.RootCAs = ch.Pool() }, 0, nil, ""},
		{"unknown authority", "example.test", func(c *Config, _ *selfsigned.Chain) { c.RootCAs = x509.NewCertPool() }, 0, ErrCertificate, "signed by an unknown authority"},
		{"another name", "other.test", func(c *Config, ch *selfsigned.Chain) { c.RootCAs = ch.Pool() }, 0, ErrCertificate, "not for example.test but for other.test"},
		{"only the host's name", "127.0.0.1", func(c *Config, ch *selfsigned.Chain) { c.RootCAs = ch.Pool() }, 0, ErrCertificate, "not for example.test but for 127.0.0.1"},
		{"expired", "example.test", func(c *Config, ch *selfsigned.Chain) { c.RootCAs = ch.Pool() }, 11 * 24 * time.Hour, ErrCertificate, "not valid now"},
		{"pinned", "other.test", func(c *Config, ch *selfsigned.Chain) {
			c.PinnedSHA256 = fingerprintOf(ch)
		}, 0, nil, ""},
		{"pinned in lower case", "other.test", func(c *Config, ch *selfsigned.Chain) {
			c.PinnedSHA256 = strings.ToLower(strings.ReplaceAll(fingerprintOf(ch), ":", ""))
		}, 0, nil, ""},
		{"pinned another", "example.test", func(c *Config, ch *selfsigned.Chain) {
			c.RootCAs = ch.Pool()
			c.PinnedSHA256 = strings.Repeat("00", 32)
		}, 0, ErrCertificate, "not the pinned one"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				ch := chain(t, tc.names)
				time.Sleep(tc.wait)
				cfg := s.config()
				cfg.TLS, cfg.FailFast = TLSStart, true
				tc.config(&cfg, ch)
				c := mustNew(t, cfg)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				end := make(chan error, 1)
				go func() { end <- c.Run(ctx) }()
				p, _ := s.accept().startTLS(s, &tls.Config{Certificates: []tls.Certificate{ch.TLS}})
				if p != nil && tc.kind == nil {
					p.login()
					p.settle("")
					go p.goodbye()
					cancel()
				}
				err := <-end
				if p != nil {
					p.Close()
				}
				if tc.kind == nil {
					if err != nil {
						t.Errorf("Run: %v", err)
					}
					return
				}
				var e *Error
				if !errors.As(err, &e) || !errors.Is(err, tc.kind) || !strings.Contains(e.Error(), tc.text) || !e.Permanent() {
					t.Fatalf("Run: %v", err)
				}
				if e.Fingerprint != fingerprintOf(ch) {
					t.Errorf("fingerprint %s, the certificate's is %s", e.Fingerprint, fingerprintOf(ch))
				}
				if !strings.Contains(e.Error(), e.Fingerprint) {
					t.Errorf("no advice how to trust it: %v", e)
				}
			})
		})
	}
}

func fingerprintOf(ch *selfsigned.Chain) string {
	sum := sha256.Sum256(ch.TLS.Certificate[0])
	var parts []string
	for _, b := range sum {
		parts = append(parts, strings.ToUpper(hex.EncodeToString([]byte{b})))
	}
	return strings.Join(parts, ":")
}

// TestCertificateLater plays a hotel's network: once we have been online, a wrong certificate is waited out.
func TestCertificateLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		good, bad := chain(t, "example.test"), chain(t, "hotel.test")
		cfg := s.config()
		cfg.TLS, cfg.RootCAs = TLSDirect, good.Pool()
		c := mustNew(t, cfg)
		stop := run(t, c)
		server := &tls.Config{Certificates: []tls.Certificate{good.TLS}}
		p, _ := s.overTLS(<-s.conns, server)
		p.login()
		p.settle("")
		p.Close()
		s.overTLS(<-s.conns, &tls.Config{Certificates: []tls.Certificate{bad.TLS}})
		p, _ = s.overTLS(<-s.conns, server)
		p.login()
		p.settle("")
		go p.goodbye()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestSeeOtherHost follows the server to another host, but only where TLS has proven who says so
// (RFC 6120 section 4.9.3.19).
func TestSeeOtherHost(t *testing.T) {
	for _, mode := range []TLSMode{TLSDirect, TLSPlainLoopback} {
		t.Run(string(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				ch := chain(t, "example.test")
				var dialled []string
				cfg := s.config()
				cfg.TLS, cfg.RootCAs = mode, ch.Pool()
				cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					dialled = append(dialled, addr)
					return s.dial(ctx, network, addr)
				}
				accept := func() *script {
					if mode == TLSPlainLoopback {
						return s.accept()
					}
					p, _ := s.overTLS(<-s.conns, &tls.Config{Certificates: []tls.Certificate{ch.TLS}})
					return p
				}
				stop := run(t, mustNew(t, cfg))
				p := accept()
				p.login()
				p.settle("")
				p.trySay("<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>other.test:5222</see-other-host></stream:error></stream:stream>")
				p2 := accept()
				p2.login()
				p2.settle("")
				want := "127.0.0.1:5222"
				if mode == TLSDirect {
					want = "other.test:5222"
				}
				if len(dialled) != 2 || dialled[1] != want {
					t.Errorf("dialled %v", dialled)
				}
				p.Close()
				go p2.goodbye()
				stop()
			})
		})
	}
}
