package xmpp

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLoginPlainLoopback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := mustNew(t, s.config())
		var states []State
		c.OnState(func(ch StateChange) { states = append(states, ch.State) })
		stop := run(t, c)
		p := s.accept()
		if h := p.open(offer("SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN")); strings.Contains(h, "alice") || !strings.Contains(h, "to='example.test'") {
			t.Errorf("header %s", h)
		}
		mech, gs2, ok := p.auth(scram{password: "secret"})
		if mech != "SCRAM-SHA-256" || gs2 != "n,," || !ok {
			t.Errorf("auth: %s %q %v", mech, gs2, ok)
		}
		p.open(featBind + `<session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>`)
		if r := p.bindAs(phone); r != "phone" {
			t.Errorf("asked for the resource %q", r)
		}
		// RFC 6121 section 2.2: the roster before presence.
		presence := p.settle("<item jid='bob@example.test' subscription='both'/>")
		if presence.Name.Local != "presence" || presence.Child("http://jabber.org/protocol/caps", "c") == nil {
			t.Errorf("presence %s", presence)
		}
		synctest.Wait()
		if c.JID() != phone || c.State().State != Online {
			t.Errorf("%s %s", c.JID(), c.State().State)
		}
		if i, ok := c.Contact(bob); !ok || !i.Subscription.SeesUs() {
			t.Errorf("roster: %+v", c.Roster())
		}
		go p.goodbye()
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if len(states) != 3 || states[0] != Connecting || states[1] != Online || states[2] != Stopped {
			t.Errorf("states %v", states)
		}
		if err := c.Send(pingElement()); !errors.Is(err, ErrBadStanza) {
			t.Errorf("Send of no stanza: %v", err)
		}
		if err := c.Subscribe(bob); !errors.Is(err, ErrOffline) {
			t.Errorf("Send after the end: %v", err)
		}
	})
}

// TestLoginFails plays servers that do not let us in, and checks that Run says why.
func TestLoginFails(t *testing.T) {
	failure := func(cond string) func(*script) {
		return func(p *script) {
			p.open(offer("SCRAM-SHA-256"))
			p.want()
			p.say("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><%s/><text>no</text></failure>", cond)
		}
	}
	first := func(msg string) func(*script) {
		return func(p *script) {
			p.open(offer("SCRAM-SHA-256"))
			p.auth(scram{password: "secret", first: msg})
		}
	}
	authed := func(p *script) {
		p.open(offer("SCRAM-SHA-256"))
		p.auth(scram{password: "secret"})
	}
	for _, tc := range []struct {
		name      string
		mode      TLSMode
		play      func(*script)
		kind      error
		text      string
		permanent bool
	}{
		{"wrong password", TLSPlainLoopback, failure("not-authorized"), ErrAuth, "wrong password or user name", true},
		{"disabled", TLSPlainLoopback, failure("account-disabled"), ErrAuth, "disabled", true},
		{"expired", TLSPlainLoopback, failure("credentials-expired"), ErrAuth, "expired", true},
		{"passing", TLSPlainLoopback, failure("temporary-auth-failure"), ErrAuth, "at the moment", false},
		{"unheard-of", TLSPlainLoopback, failure("made-up"), ErrAuth, "made-up", true},
		{"PLAIN without TLS", TLSPlainLoopback, func(p *script) { p.open(offer("PLAIN")) }, ErrNoMechanism, "PLAIN is used inside TLS only", true},
		{"no mechanism", TLSPlainLoopback, func(p *script) { p.open(offer("DIGEST-MD5", "X-OAUTH2")) }, ErrNoMechanism, "DIGEST-MD5", true},
		{"no SASL", TLSPlainLoopback, func(p *script) { p.open("") }, ErrNoMechanism, "no login", true},
		{"of another domain", TLSPlainLoopback, func(p *script) {
			p.next()
			p.say("%s", strings.Replace(streamOpen, "example.test", "other.test", 1)+"<stream:features/>")
		}, ErrProtocol, "the server is that of other.test and not of example.test", false},
		{"TLS is required", TLSPlainLoopback, func(p *script) { p.open("<starttls xmlns='" + nsTLS + "'><required/></starttls>") },
			ErrTLSRequired, "Use --tls starttls", true},
		{"TLS is offered", TLSPlainLoopback, func(p *script) {
			p.open("<starttls xmlns='" + nsTLS + "'/>" + offer("SCRAM-SHA-256"))
			p.auth(scram{password: "secret"})
			p.open("")
		}, ErrProtocol, "no resource binding", false},
		{"only unknown features", TLSPlainLoopback, func(p *script) { p.open("<x xmlns='made:up'/>") }, ErrProtocol, "", false},
		{"no bind", TLSPlainLoopback, func(p *script) { authed(p); p.open("") }, ErrProtocol, "no resource binding", false},
		{"bind of a bare address", TLSPlainLoopback, func(p *script) { authed(p); p.open(featBind); p.bindAs(alice) }, ErrProtocol, "no usable address", false},
		{"bind without an address", TLSPlainLoopback, func(p *script) {
			authed(p)
			p.open(featBind)
			p.say("<iq type='result' id='%s'/>", p.want().Attr("id"))
		}, ErrProtocol, "no usable address", false},
		{"bind refused twice", TLSPlainLoopback, func(p *script) {
			authed(p)
			p.open(featBind)
			for range 2 {
				p.say("<iq type='error' id='%s'><error type='cancel'><not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>", p.want().Attr("id"))
			}
		}, ErrProtocol, "not-allowed", false},
		// mellium's parser never returns from an attribute that is too short.
		{"SCRAM: attribute too short", TLSPlainLoopback, first("r=NONCE,s=c2FsdA==,i"), ErrAuth, "not acceptable", true},
		{"SCRAM: nothing", TLSPlainLoopback, first("x"), ErrAuth, "not acceptable", true},
		{"SCRAM: too few iterations", TLSPlainLoopback, first("r=NONCE,s=c2FsdA==,i=1"), ErrAuth, "iterations", true},
		{"SCRAM: too many iterations", TLSPlainLoopback, first("r=NONCE,s=c2FsdA==,i=2000000000"), ErrAuth, "iterations", true},
		{"SCRAM: nonce of another", TLSPlainLoopback, first("r=other,s=c2FsdA==,i=4096"), ErrAuth, "nonce", true},
		{"SCRAM: server without proof", TLSPlainLoopback, func(p *script) {
			p.open(offer("SCRAM-SHA-256"))
			p.auth(scram{password: "secret", badProof: true})
		}, ErrAuth, "did not prove", true},
		{"SCRAM: success at once", TLSPlainLoopback, func(p *script) {
			p.open(offer("SCRAM-SHA-256"))
			p.want()
			p.say("<success xmlns='%s'/>", nsSASL)
		}, ErrAuth, "not acceptable", true},
		{"SCRAM: success with a challenge", TLSPlainLoopback, func(p *script) {
			p.open(offer("SCRAM-SHA-256"))
			nonce := unbase64(p.want().Text())
			nonce = nonce[strings.Index(nonce, "r=")+2:]
			p.say("<success xmlns='%s'>%s</success>", nsSASL, base64.StdEncoding.EncodeToString([]byte("r="+nonce+"x,s=c2FsdA==,i=4096")))
		}, ErrAuth, "without proving", true},
		{"SASL: something else", TLSPlainLoopback, func(p *script) { p.open(offer("SCRAM-SHA-256")); p.want(); p.say("<message/>") }, ErrProtocol, "something else", false},
		{"HTTP server", TLSPlainLoopback, func(p *script) { p.next(); p.say("HTTP/1.1 400 Bad Request\r\n\r\n") }, ErrNotXMPP, "not an XMPP server", false},
		{"web page", TLSPlainLoopback, func(p *script) { p.next(); p.say("<html><body>hello</body></html>") }, ErrNotXMPP, "not an XMPP server", false},
		{"SSH server", TLSPlainLoopback, func(p *script) { p.next(); p.say("SSH-2.0-OpenSSH_9.2\r\n") }, ErrNotXMPP, "not an XMPP server", false},
		{"TLS alert", TLSPlainLoopback, func(p *script) { p.next(); p.say("\x15\x03\x03\x00\x02\x02\x0a") }, ErrNotXMPP, "--tls direct", false},
		{"endless header", TLSPlainLoopback, func(p *script) {
			p.next()
			for p.trySay("<stream:stream xmlns='%s'", strings.Repeat("x", 4000)) == nil {
			}
		}, ErrNotXMPP, "not an XMPP server", false},
		{"declared entities", TLSPlainLoopback, func(p *script) {
			p.next()
			p.trySay("<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'b'>]>" + streamOpen)
		}, ErrNotXMPP, "not an XMPP server", false},
		{"closed at once", TLSPlainLoopback, func(p *script) { p.next() }, ErrNotXMPP, "", false},
		{"closed in the login", TLSPlainLoopback, func(p *script) { p.open(offer("SCRAM-SHA-256")); p.want() }, ErrUnreachable, "closed", false},
		{"another domain", TLSPlainLoopback, func(p *script) {
			p.next()
			p.say("%s<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>", streamOpen)
		}, ErrProtocol, "does not serve example.test", false},
		{"stream error", TLSPlainLoopback, func(p *script) {
			p.open(offer("SCRAM-SHA-256"))
			p.want()
			p.say("<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>too\nfast</text></stream:error>")
		}, ErrProtocol, `policy-violation ("too\nfast")`, false},
		{"huge features", TLSPlainLoopback, func(p *script) {
			p.next()
			p.say(streamOpen + "<stream:features>")
			for range 200 {
				if p.trySay("<x>%s</x>", strings.Repeat("x", 4000)) != nil {
					return
				}
			}
			p.trySay("</stream:features>")
		}, ErrProtocol, "limit", false},
		{"no TLS offered", TLSStart, func(p *script) { p.open(offer("PLAIN")) }, ErrTLSRequired, "does not offer TLS", true},
		{"TLS refused", TLSStart, func(p *script) {
			p.open(featTLS)
			p.want()
			p.say("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
		}, ErrTLSRequired, "refused to start TLS", true},
		{"injection before TLS", TLSStart, func(p *script) {
			p.open(featTLS)
			p.want()
			p.say("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><message/>")
		}, ErrTLS, "injected", false},
		{"no TLS behind STARTTLS", TLSStart, func(p *script) {
			p.open(featTLS)
			p.want()
			p.say("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
			buf := make([]byte, 16<<10)
			p.Conn.Read(buf)
			p.trySay("<stream:features/>")
		}, ErrTLS, "does not speak TLS", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				cfg := s.config()
				cfg.TLS, cfg.FailFast = tc.mode, true
				c := mustNew(t, cfg)
				done := make(chan struct{})
				go func() {
					defer close(done)
					p := s.accept()
					defer p.Close()
					tc.play(p)
				}()
				ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
				defer cancel()
				err := c.Run(ctx)
				<-done
				if !errors.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.text) || Permanent(err) != tc.permanent {
					t.Errorf("Run: permanent %v: %v\nwant %v, permanent %v: %s", Permanent(err), err, tc.kind, tc.permanent, tc.text)
				}
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("the error shows the password: %v", err)
				}
			})
		})
	}
}

// TestSlowServer has servers that stop where it is theirs to go on. Each error says what did not come, and none that it is no
// XMPP server, which nobody knows.
func TestSlowServer(t *testing.T) {
	direct := func(p *script, c *tls.Config, s *server) *script { p, _ = s.overTLS(p.raw, c); return p }
	start := func(p *script, c *tls.Config, s *server) *script { p, _ = p.startTLS(s, c); return p }
	authed := func(p *script) {
		p.open(offer("SCRAM-SHA-256"))
		p.auth(scram{password: "secret"})
	}
	for _, tc := range []struct {
		name string
		mode TLSMode
		tls  func(p *script, c *tls.Config, s *server) *script // nil: none
		play func(p *script)
		text string
	}{
		{"nothing", TLSPlainLoopback, nil, func(p *script) { p.next() }, "the connection was accepted, but nothing came by it within 20s (127.0.0.1:5222). The server or the network may be slow or out of order. Check the port, too; one for direct TLS needs --tls direct"},
		{"nothing before STARTTLS", TLSStart, nil, func(p *script) { p.next() }, "nothing came by it within 20s"},
		{"half a header", TLSPlainLoopback, nil, func(p *script) { p.next(); p.say("<?xml version='1.0'?><stream:stream") }, "the server did not open the stream within 20s"},
		{"no features", TLSPlainLoopback, nil, func(p *script) { p.next(); p.say(streamOpen) }, "the server did not say what it offers within 20s"},
		{"no answer to starttls", TLSStart, nil, func(p *script) { p.open(featTLS); p.want() }, "the server did not start TLS within 20s"},
		{"no handshake", TLSDirect, nil, func(p *script) { p.Conn.Read(make([]byte, 16<<10)) }, "the server did not finish the TLS handshake within 20s"},
		{"no handshake after STARTTLS", TLSStart, nil, func(p *script) {
			p.open(featTLS)
			p.want()
			p.say("<proceed xmlns='%s'/>", nsTLS)
			p.Conn.Read(make([]byte, 16<<10))
		}, "the server did not finish the TLS handshake within 20s"},
		{"nothing inside direct TLS", TLSDirect, direct, func(p *script) { p.next() }, "the server did not open the stream within 20s"},
		{"nothing inside TLS", TLSStart, start, func(p *script) { p.next() }, "the server did not open the stream within 20s"},
		{"no features inside TLS", TLSStart, start, func(p *script) { p.next(); p.say(streamOpen) }, "the server did not say what it offers within 20s"},
		{"no challenge", TLSPlainLoopback, nil, func(p *script) { p.open(offer("SCRAM-SHA-256")); p.want() }, "the server did not answer the login within 20s"},
		{"no stream after the login", TLSPlainLoopback, nil, func(p *script) { authed(p); p.f.restart(); p.next() }, "the server did not bind a resource after the login within 20s"},
		{"no resource", TLSPlainLoopback, nil, func(p *script) { authed(p); p.open(featBind); p.want() }, "the server did not bind a resource after the login within 20s"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, ch := newServer(t), chain(t, "example.test")
				cfg := s.config()
				cfg.TLS, cfg.RootCAs, cfg.FailFast = tc.mode, ch.Pool(), true
				c := mustNew(t, cfg)
				ended := make(chan struct{})
				var served sync.WaitGroup
				served.Go(func() {
					p := s.accept()
					defer p.raw.Close()
					if tc.tls != nil {
						p = tc.tls(p, &tls.Config{Certificates: []tls.Certificate{ch.TLS}}, s)
					}
					tc.play(p)
					<-ended
				})
				err := c.Run(t.Context())
				close(ended)
				served.Wait()
				if !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrNotXMPP) || !strings.Contains(err.Error(), tc.text) || Permanent(err) {
					t.Errorf("Run: %v\nwant %s", err, tc.text)
				}
			})
		})
	}
}

// TestClosedInsideTLS does not say of a server that has spoken XMPP that it is none.
func TestClosedInsideTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, ch := newServer(t), chain(t, "example.test")
		cfg := s.config()
		cfg.TLS, cfg.RootCAs, cfg.FailFast = TLSStart, ch.Pool(), true
		c := mustNew(t, cfg)
		go func() {
			p, _ := s.accept().startTLS(s, &tls.Config{Certificates: []tls.Certificate{ch.TLS}})
			p.next()
			p.Close()
		}()
		if err := c.Run(t.Context()); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "closed the connection during the login") {
			t.Errorf("Run: %v", err)
		}
	})
}

// TestSlowPassword does not blame the server for what nobody has told it.
func TestSlowPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := s.config()
		cfg.FailFast, cfg.Password = true, func() (string, error) {
			time.Sleep(time.Minute)
			return "secret", nil
		}
		c := mustNew(t, cfg)
		go func() {
			p := s.accept()
			p.open(offer("SCRAM-SHA-256"))
			if _, err := p.element(); err == nil {
				t.Error("a login that had been given up goes on")
			}
			p.Close()
		}()
		if err := c.Run(t.Context()); Permanent(err) || !strings.Contains(err.Error(), "the password did not come within 20s") {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestPlainOnlyOnLoopback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.addr = "192.0.2.1:5222"
		c := mustNew(t, s.config())
		go func() {
			p := s.accept()
			if b, _, err := p.next(); err == nil {
				t.Errorf("the client said %q without TLS to a stranger", b)
			}
		}()
		if err := c.Run(context.Background()); !errors.Is(err, ErrTLSRequired) {
			t.Errorf("Run: %v", err)
		}
	})
}

// TestBindConflict lets the server choose where the resource is taken.
func TestBindConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := mustNew(t, s.config())
		stop := run(t, c)
		p := s.accept()
		p.open(offer("SCRAM-SHA-256"))
		p.auth(scram{password: "secret"})
		p.open(featBind)
		p.say("<iq type='error' id='%s'><error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>", p.want().Attr("id"))
		if r := p.bindAs(alice + "/other"); r != "" {
			t.Errorf("asked again for %q", r)
		}
		p.settle("")
		synctest.Wait()
		if c.JID() != alice+"/other" {
			t.Errorf("bound %s", c.JID())
		}
		go p.goodbye()
		stop()
	})
}

func TestCancelDuringLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		stop := run(t, mustNew(t, s.config()))
		p := s.accept()
		p.open(offer("SCRAM-SHA-256"))
		p.want()
		began := time.Now()
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if d := time.Since(began); d > 0 {
			t.Errorf("took %v to stop", d)
		}
		p.Close()
	})
}
