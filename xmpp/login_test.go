package xmpp

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
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
		{"silence", TLSPlainLoopback, func(p *script) { p.next(); time.Sleep(time.Minute) }, ErrNotXMPP, "does not speak XMPP", false},
		{"silence in the login", TLSPlainLoopback, func(p *script) { p.open(offer("SCRAM-SHA-256")); p.want(); time.Sleep(time.Minute) }, ErrUnreachable, "not done within 20s", false},
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
