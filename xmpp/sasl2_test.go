package xmpp

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/sm"
)

const featSASL2 = `<authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism><inline><sm xmlns='urn:xmpp:sm:3'/>
	<bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:carbons:2'/><feature var='urn:xmpp:sm:3'/><feature var='urn:xmpp:csi:0'/></inline></bind>
	<fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-EXPR</mechanism><mechanism>HT-SHA-256-NONE</mechanism></fast></inline></authentication>`

const htExporter = "HT-SHA-256-EXPR"

// overDirectTLS makes a configuration one for direct TLS. accept takes the next connection, and tells what binds to it.
func overDirectTLS(t *testing.T, s *server, c *Config) (accept func() (*script, []byte)) {
	ch := chain(t, "example.test")
	c.TLS, c.RootCAs = TLSDirect, ch.Pool()
	return func() (*script, []byte) {
		p, conn := s.overTLS(<-s.conns, &tls.Config{Certificates: []tls.Certificate{ch.TLS}})
		state := conn.ConnectionState()
		binding, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
		if err != nil {
			t.Fatal(err)
		}
		return p, binding
	}
}

// TestInlineResume logs in, loses the connection, and is back with one element of each side.
func TestInlineResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		cfg := smConfig(s)
		cfg.NoCarbons, cfg.Bind2, cfg.Resource, cfg.InstallID = false, true, "jingled.abc", "d4565fa7-4d72-4749-b3d3-740edbf87770"
		accept := overDirectTLS(t, s, &cfg)
		c := mustNew(t, cfg)
		var seen states
		c.OnState(seen.note)
		stop := run(t, c)

		p, _ := accept()
		if h := p.open(featSASL2 + offer("SCRAM-SHA-256")); !strings.Contains(h, "alice@example.test") {
			t.Errorf("the header does not say who we are: %s", h)
		}
		a := p.want()
		if !a.Is(nsSASL2, "authenticate") || a.Attr("mechanism") != "PLAIN" || unbase64(a.ChildText(nsSASL2, "initial-response")) != "\x00alice\x00secret" ||
			a.Child(nsSASL2, "user-agent").Attr("id") != cfg.InstallID {
			t.Errorf("%s", a)
		}
		b := a.Child(nsBind2, "bind")
		if b.ChildText(nsBind2, "tag") != "jingled" || b.Child("urn:xmpp:carbons:2", "enable") == nil || b.Child(sm.NS, "enable").Attr("resume") != "true" {
			t.Errorf("%s", b)
		}
		if r := a.Child(nsFAST, "request-token"); r.Attr("mechanism") != htExporter {
			t.Errorf("%s", r)
		}
		p.say(`<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>alice@example.test/jingled~xyz</authorization-identifier>
			<bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3' id='abc' resume='true' max='600'/></bound>
			<token xmlns='urn:xmpp:fast:0' token='of the server' expiry='%s'/></success><stream:features/>`, time.Now().Add(time.Hour).Format(time.RFC3339))
		if e, _ := p.stanza(); e.Name.Local != "presence" { // no request for carbons: they are on
			t.Errorf("then came %s", e)
		}
		if c.JID() != "alice@example.test/jingled~xyz" {
			t.Errorf("bound as %s", c.JID())
		}
		p.say(`<message from='%s'/>`, bob)
		synctest.Wait()
		p.Close()

		q, binding := accept()
		q.open(featSASL2 + offer("SCRAM-SHA-256"))
		a = q.want()
		want := base64.StdEncoding.EncodeToString(append([]byte("alice\x00"), ht("of the server", "Initiator", binding)...))
		if a.Attr("mechanism") != htExporter || a.ChildText(nsSASL2, "initial-response") != want || a.Child(nsFAST, "fast") == nil {
			t.Errorf("%s", a)
		}
		if r := a.Child(sm.NS, "resume"); !r.Equal(xmltree.New(sm.NS, "resume").Set("previd", "abc").Set("h", "1")) {
			t.Errorf("%s", r)
		}
		q.say(`<success xmlns='urn:xmpp:sasl:2'><additional-data>%s</additional-data><authorization-identifier>alice@example.test</authorization-identifier>
			<resumed xmlns='urn:xmpp:sm:3' previd='abc' h='1'/></success><stream:features/><message from='%s'/><r xmlns='urn:xmpp:sm:3'/>`,
			base64.StdEncoding.EncodeToString(ht("of the server", "Responder", binding)), bob)
		if e, _ := q.stanza(); !e.Is(nsCSI, "active") {
			t.Errorf("after the resume came %s", e)
		}
		if e, _ := q.stanza(); !e.Is(sm.NS, "a") || e.Attr("h") != "2" {
			t.Errorf("acknowledged with %s", e)
		}
		synctest.Wait()
		if want := "connecting, online, offline, connecting, online resumed"; seen.String() != want {
			t.Errorf("states are %s", seen.String())
		}
		go q.goodbye()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestTokenRefused falls back to the password; a server that does not know the token either is not let through.
func TestTokenRefused(t *testing.T) {
	for name, answer := range map[string]string{
		"refused":       `<failure xmlns='urn:xmpp:sasl:2'><credentials-expired xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>`,
		"without proof": `<success xmlns='urn:xmpp:sasl:2'><additional-data>AAAA</additional-data><authorization-identifier>alice@example.test</authorization-identifier></success>`,
		"second factor": `<continue xmlns='urn:xmpp:sasl:2'><tasks><task>TOTP</task></tasks></continue>`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				cfg := s.config()
				accept := overDirectTLS(t, s, &cfg)
				cfg.FailFast = true
				memory := &tokenMemory{Token{Mechanism: htNone, Secret: "old", Expires: time.Now().Add(time.Hour)}}
				cfg.Tokens = memory
				c := mustNew(t, cfg)
				ended := make(chan error, 1)
				go func() { ended <- c.Run(t.Context()) }()
				p, _ := accept()
				p.open(featSASL2 + offer("PLAIN"))
				if a := p.want(); a.Attr("mechanism") != htNone {
					t.Errorf("%s", a)
				}
				p.trySay("%s", answer)
				if name != "refused" {
					err := <-ended
					if !Permanent(err) {
						t.Errorf("Run: %v", err)
					}
					var e *Error
					if name == "second factor" && (!errors.As(err, &e) || !strings.Contains(e.Error(), "TOTP") || !strings.Contains(e.Advice, "second factor")) {
						t.Errorf("what is said of it: %v", err)
					}
					return
				}
				q, _ := accept()
				q.open(featSASL2 + offer("PLAIN"))
				if a := q.want(); a.Attr("mechanism") != "PLAIN" {
					t.Errorf("%s", a)
				}
				if memory.t != (Token{}) {
					t.Errorf("it is still kept: %+v", memory.t)
				}
				q.trySay(`<failure xmlns='urn:xmpp:sasl:2'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/><text>No.</text></failure>`)
				if err := <-ended; err == nil || !strings.Contains(err.Error(), "wrong password") || !strings.Contains(err.Error(), "No.") {
					t.Errorf("Run: %v", err)
				}
			})
		})
	}
}

// TestTokensAreForTheirMechanism never uses a token with less than it was made for, nor after its time.
func TestTokensAreForTheirMechanism(t *testing.T) {
	hour := time.Now().Add(time.Hour)
	all := []string{htExporter, htNone}
	for i, tc := range []struct {
		token   Token
		offered []string
		private bool
		want    string
	}{
		{Token{Mechanism: htNone, Secret: "x", Expires: hour}, all, true, htNone},
		{Token{Mechanism: htNone, Secret: "x", Expires: time.Time{}}, all, true, htNone},
		{Token{Mechanism: htNone, Secret: "x", Expires: hour}, all, false, ""},
		{Token{Mechanism: htNone, Secret: "x", Expires: time.Now().Add(-time.Second)}, all, true, ""},
		{Token{Mechanism: htNone, Secret: "x", Expires: hour}, all[:1], true, ""},
		{Token{Mechanism: htExporter, Secret: "x", Expires: hour}, all, true, ""}, // there is no TLS here to bind to
		{Token{}, all, true, ""},
	} {
		l := &login{cfg: &Config{Tokens: &tokenMemory{tc.token}}, private: tc.private, sasl2: &sasl2{fast: tc.offered}}
		if _, got := l.token(); got != tc.want {
			t.Errorf("%d: %q", i, got)
		}
	}
}
