package xmppserver_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mellium.im/sasl"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/xmltree"
)

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// client is a bare XMPP client. Its SASL is mellium's.
type client struct {
	t    testing.TB
	conn net.Conn
	d    *xml.Decoder
	full string
}

func serve(t testing.TB, cfg xmppserver.Config) *xmppserver.Server {
	t.Helper()
	cfg.Accounts = map[string]string{"alice": "secret", "bob": "secret"}
	return testkit.Embedded(t, cfg)
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &client{t: t, conn: conn}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *client) write(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, s); err != nil {
		c.t.Fatalf("write %.100q: %v", s, err)
	}
}

func (c *client) open(domain string) *xmltree.Element {
	c.t.Helper()
	c.d = xml.NewDecoder(c.conn)
	c.write("<?xml version='1.0'?><stream:stream to='" + domain + "' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")
	for {
		tok, err := c.d.Token()
		if err != nil {
			c.t.Fatal(err)
		}
		if s, ok := tok.(xml.StartElement); ok {
			if s.Name.Local != "stream" {
				c.t.Fatalf("the stream begins with %v", s)
			}
			return c.next()
		}
	}
}

// read returns the next element; io.EOF is the end of the stream.
func (c *client) read() (*xmltree.Element, error) {
	for {
		tok, err := c.d.Token()
		if err != nil {
			return nil, err
		}
		switch s := tok.(type) {
		case xml.StartElement:
			return xmltree.Read(s, c.d, xmltree.Limits{})
		case xml.EndElement:
			return nil, io.EOF
		}
	}
}

func (c *client) next() *xmltree.Element {
	c.t.Helper()
	e, err := c.read()
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return e
}

func (c *client) startTLS(srv *xmppserver.Server, direct bool, version uint16) {
	c.t.Helper()
	if !direct {
		f := c.open(srv.Domain())
		if f.Child("urn:ietf:params:xml:ns:xmpp-tls", "starttls") == nil {
			c.t.Fatalf("no STARTTLS in %s", f)
		}
		c.write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
		if e := c.next(); e.Name.Local != "proceed" {
			c.t.Fatalf("no proceed but %s", e)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(srv.CA())
	cfg := &tls.Config{RootCAs: pool, ServerName: srv.Domain(), MaxVersion: version}
	if direct {
		cfg.NextProtos = []string{"xmpp-client"}
	}
	tc := tls.Client(c.conn, cfg)
	if err := tc.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.conn = tc
}

// auth tries to log in and returns the server's last word.
func (c *client) auth(features *xmltree.Element, m sasl.Mechanism, user, password string) *xmltree.Element {
	c.t.Helper()
	const ns = "urn:ietf:params:xml:ns:xmpp-sasl"
	var offered []string
	for e := range features.Child(ns, "mechanisms").Elements() {
		offered = append(offered, e.Text())
	}
	opts := []sasl.Option{
		sasl.Credentials(func() (u, p, id []byte) { return []byte(user), []byte(password), nil }), sasl.RemoteMechanisms(offered...),
	}
	if tc, ok := c.conn.(*tls.Conn); ok {
		opts = append(opts, sasl.TLSState(tc.ConnectionState()))
	}
	n := sasl.NewClient(m, opts...)
	_, resp, err := n.Step(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(fmt.Sprintf("<auth xmlns='%s' mechanism='%s'>%s</auth>", ns, m.Name, base64.StdEncoding.EncodeToString(resp)))
	for {
		e := c.next()
		if e.Name.Local == "failure" {
			return e
		}
		b, err := base64.StdEncoding.DecodeString(e.Text())
		if err != nil {
			c.t.Fatal(err)
		}
		_, resp, err := n.Step(b)
		if err != nil {
			c.t.Fatalf("mellium does not take %s: %v", e, err)
		}
		if e.Name.Local == "success" {
			return e
		}
		c.write(fmt.Sprintf("<response xmlns='%s'>%s</response>", ns, base64.StdEncoding.EncodeToString(resp)))
	}
}

func (c *client) bind(srv *xmppserver.Server, resource string) {
	c.t.Helper()
	c.open(srv.Domain())
	c.write("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>" + resource + "</resource></bind></iq>")
	r := c.next()
	c.full = r.Child("urn:ietf:params:xml:ns:xmpp-bind", "bind").ChildText("urn:ietf:params:xml:ns:xmpp-bind", "jid")
	if !strings.HasSuffix(c.full, "@"+srv.Domain()+"/"+resource) {
		c.t.Fatalf("bound to %q: %s", c.full, r)
	}
}

// login logs in with all the defaults.
func login(t testing.TB, srv *xmppserver.Server, user, resource string) *client {
	t.Helper()
	c := dial(t, srv.Addr())
	c.startTLS(srv, false, 0)
	if e := c.auth(c.open(srv.Domain()), sasl.ScramSha256, user, "secret"); e.Name.Local != "success" {
		t.Fatalf("login: %s", e)
	}
	c.bind(srv, resource)
	return c
}

// wantStreamError reads up to the stream error and the end of the connection.
func (c *client) wantStreamError(condition string) {
	c.t.Helper()
	for {
		e, err := c.read()
		if err != nil {
			c.t.Fatalf("no stream error %s but %v", condition, err)
		}
		if e.Is("http://etherx.jabber.org/streams", "error") {
			if e.First().Name.Local != condition {
				c.t.Fatalf("stream error %s, want %s", e, condition)
			}
			break
		}
	}
	if e, err := c.read(); err == nil {
		c.t.Fatalf("after the stream error came %s", e)
	}
}
