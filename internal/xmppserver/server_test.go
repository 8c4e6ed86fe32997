package xmppserver_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"mellium.im/sasl"

	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLogin(t *testing.T) {
	srv := serve(t, xmppserver.Config{})
	for _, v := range []struct {
		name    string
		version uint16
	}{{"TLS 1.2", tls.VersionTLS12}, {"TLS 1.3", tls.VersionTLS13}} {
		for _, m := range []sasl.Mechanism{sasl.ScramSha1, sasl.ScramSha256, sasl.ScramSha1Plus, sasl.ScramSha256Plus} {
			for _, direct := range []bool{false, true} {
				name := v.name + " " + m.Name
				addr := srv.Addr()
				if direct {
					name, addr = name+" direct", srv.DirectTLSAddr()
				}
				t.Run(name, func(t *testing.T) {
					c := dial(t, addr)
					c.startTLS(srv, direct, v.version)
					f := c.open(srv.Domain())
					for _, p := range []string{"wrong", "secre"} {
						if e := c.auth(f, m, "alice", p); e.Child("urn:ietf:params:xml:ns:xmpp-sasl", "not-authorized") == nil {
							t.Fatalf("a wrong password gets %s", e)
						}
					}
					if e := c.auth(f, m, "alice", "secret"); e.Name.Local != "success" {
						t.Fatalf("the right password gets %s", e)
					}
					c.bind(srv, "phone")
				})
			}
		}
	}
}

// TestNoSuchUser checks that a user that does not exist fails as one with a wrong password, and that tries end.
func TestNoSuchUser(t *testing.T) {
	srv := serve(t, xmppserver.Config{})
	c := dial(t, srv.DirectTLSAddr())
	c.startTLS(srv, true, 0)
	f := c.open(srv.Domain())
	for range 3 {
		if e := c.auth(f, sasl.ScramSha256, "nobody", "secret"); e.Child("urn:ietf:params:xml:ns:xmpp-sasl", "not-authorized") == nil {
			t.Fatalf("got %s", e)
		}
	}
	c.wantStreamError("policy-violation")
}

// TestDowngrade checks RFC 5802 section 6: a client that knows channel binding and was told that the server does not.
func TestDowngrade(t *testing.T) {
	srv := serve(t, xmppserver.Config{})
	c := dial(t, srv.DirectTLSAddr())
	c.startTLS(srv, true, 0)
	c.open(srv.Domain())
	c.write("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>" +
		base64.StdEncoding.EncodeToString([]byte("y,,n=alice,r=abc")) + "</auth>")
	if e := c.next(); e.Child("urn:ietf:params:xml:ns:xmpp-sasl", "not-authorized") == nil {
		t.Fatalf("got %s", e)
	}
}

func TestPlain(t *testing.T) {
	srv := serve(t, xmppserver.Config{AllowPlain: true})
	c := dial(t, srv.Addr())
	f := c.open(srv.Domain())
	if e := c.auth(f, sasl.ScramSha256, "alice", "secret"); e.Name.Local != "success" {
		t.Fatalf("got %s", e)
	}
	c.bind(srv, "phone")
	// Without the permission there is nothing to log in with.
	c = dial(t, serve(t, xmppserver.Config{}).Addr())
	if f := c.open("example.test"); f.Child("urn:ietf:params:xml:ns:xmpp-sasl", "mechanisms") != nil {
		t.Fatalf("login offered without TLS: %s", f)
	}
	c.write("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'/>")
	c.wantStreamError("not-authorized")
}

func TestLoopbackOnly(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "localhost:0"} {
		for _, cfg := range []xmppserver.Config{{Listen: addr}, {ListenDirectTLS: addr}} {
			if _, err := xmppserver.New(cfg); !errors.Is(err, xmppserver.ErrNotLoopback) {
				t.Errorf("%+v: %v", cfg, err)
			}
		}
	}
}

func TestHostileStreams(t *testing.T) {
	srv := serve(t, xmppserver.Config{MaxStanza: 20000})
	const head = "<stream:stream to='example.test' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
	for _, c := range []struct{ name, sent, condition string }{
		{"another host", strings.Replace(head, "example.test", "example.org", 1), "host-unknown"},
		{"an old version", strings.Replace(head, "version='1.0'", "", 1), "unsupported-version"},
		{"not a stream", "<html>", "invalid-namespace"},
		{"not XML", "GET / HTTP/1.1\r\n\r\n", "not-well-formed"},
		{"a DTD", "<!DOCTYPE x [<!ENTITY a 'b'>]>" + head, "restricted-xml"},
		{"an endless header", "<stream:stream to='" + strings.Repeat("x", 30000) + "'>", "policy-violation"},
		{"a stanza before login", head + "<presence/>", "not-authorized"},
		{"data behind starttls", head + "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><presence/>", "policy-violation"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := dial(t, srv.Addr())
			conn.write(c.sent)
			b, err := io.ReadAll(conn.conn)
			if err != nil {
				t.Fatalf("%v after %s", err, b)
			}
			if !strings.Contains(string(b), "<"+c.condition+" ") || !strings.HasSuffix(string(b), "</stream:stream>") {
				t.Errorf("got %s", b)
			}
		})
	}
	for _, c := range []struct{ name, sent, condition string }{
		{"a large stanza", "<message to='bob@example.test'><body>" + strings.Repeat("x", 30000) + "</body></message>", "policy-violation"},
		{"a deep stanza", strings.Repeat("<message>", 100), "policy-violation"},
		{"a comment", "<message><!-- x --></message>", "restricted-xml"},
		{"an unknown entity", "<message>&x;</message>", "not-well-formed"},
		{"wrong nesting", "<message><body></message>", "not-well-formed"},
		{"text", "hello<presence/>", "bad-format"},
		{"another's address", "<message from='bob@example.test/x'/>", "invalid-from"},
		{"no stanza", "<r xmlns='urn:xmpp:sm:3'/>", "unsupported-stanza-type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := login(t, srv, "alice", "phone")
			conn.write(c.sent)
			conn.wantStreamError(c.condition)
		})
	}
}

// TestSlowClient checks that one who does not read is cut off and holds up nobody.
func TestSlowClient(t *testing.T) {
	srv := serve(t, xmppserver.Config{MaxQueue: 100_000})
	slow, fast := login(t, srv, "alice", "slow"), login(t, srv, "bob", "fast")
	text := strings.Repeat("x", 10_000)
	for i := 0; ; i++ {
		if i == 10_000 {
			t.Fatal("the slow client is not cut off")
		}
		fast.write("<message id='m' type='chat' to='" + slow.full + "'><body>" + text + "</body></message>")
		fast.write("<iq type='get' id='p' to='example.test'><ping xmlns='urn:xmpp:ping'/></iq>")
		// An error comes back when the slow one is gone; the pings must be answered all along.
		gone := false
		for e := fast.next(); e.Attr("id") != "p"; e = fast.next() {
			gone = gone || e.Attr("type") == "error"
		}
		if gone {
			break
		}
	}
	if got := srv.Sessions(); len(got) != 1 || got[0] != jid.JID(fast.full) {
		t.Errorf("sessions: %v", got)
	}
}

func TestDropAndConflict(t *testing.T) {
	srv := serve(t, xmppserver.Config{})
	if err := srv.Befriend("alice", "bob"); err != nil {
		t.Fatal(err)
	}
	bob := login(t, srv, "bob", "pc")
	bob.write("<presence/>")
	if e := bob.next(); e.Attr("from") != bob.full {
		t.Fatalf("got %s", e)
	}
	alice := login(t, srv, "alice", "phone")
	alice.write("<presence/>")
	if e := bob.next(); e.Attr("from") != alice.full || e.Attr("type") != "" {
		t.Fatalf("got %s", e)
	}
	if !srv.Drop(jid.JID(alice.full)) || srv.Drop("nobody@example.test/x") {
		t.Error("Drop reports wrongly")
	}
	if e := bob.next(); e.Attr("from") != alice.full || e.Attr("type") != "unavailable" {
		t.Fatalf("got %s", e)
	}
	for {
		if _, err := alice.read(); err != nil {
			if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !strings.Contains(err.Error(), "unexpected EOF") {
				t.Errorf("a dropped connection ends politely: %v", err)
			}
			break
		}
	}
	again := login(t, srv, "bob", "pc")
	bob.wantStreamError("conflict")
	if srv.Deliver(jid.JID("bob@example.test/none"), xmltree.New("jabber:client", "message")) ||
		!srv.Deliver(jid.JID(again.full), xmltree.New("jabber:client", "message").Set("from", "ghost@example.org")) {
		t.Error("Deliver reports wrongly")
	}
	if e := again.next(); e.Attr("from") != "ghost@example.org" {
		t.Errorf("got %s", e)
	}
}

func TestTap(t *testing.T) {
	var seen atomic.Int32
	srv := serve(t, xmppserver.Config{Tap: func(from jid.JID, st *xmltree.Element) *xmltree.Element {
		seen.Add(1)
		switch st.Attr("id") {
		case "lose":
			return nil
		case "change":
			return st.Clone().Set("id", "changed")
		}
		return st
	}})
	alice, bob := login(t, srv, "alice", "phone"), login(t, srv, "bob", "pc")
	for _, id := range []string{"lose", "change", "keep"} {
		alice.write("<message id='" + id + "' to='" + bob.full + "'/>")
	}
	for _, want := range []string{"changed", "keep"} {
		if e := bob.next(); e.Attr("id") != want {
			t.Errorf("got %s, want %s", e, want)
		}
	}
	if seen.Load() != 3 {
		t.Errorf("the tap saw %d stanzas", seen.Load())
	}
}

func TestShutdown(t *testing.T) {
	srv, err := xmppserver.New(xmppserver.Config{Accounts: map[string]string{"alice": "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	c := login(t, srv, "alice", "phone")
	idle := dial(t, srv.Addr()) // says nothing at all
	stop()
	c.wantStreamError("system-shutdown")
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(idle.conn); err != nil {
		t.Log(err) // reset or closed, but ended
	}
}

func TestManyConnections(t *testing.T) {
	srv := serve(t, xmppserver.Config{MaxConns: 2})
	login(t, srv, "alice", "a")
	login(t, srv, "bob", "b")
	third := dial(t, srv.Addr())
	if b, err := io.ReadAll(third.conn); len(b) != 0 {
		t.Errorf("the third connection gets %q, %v", b, err)
	}
}
