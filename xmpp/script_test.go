package xmpp

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testkit.Main(m)) }

const (
	alice = jid.JID("alice@example.test")
	phone = jid.JID("alice@example.test/phone")
	bob   = jid.JID("bob@example.test/desk")
)

// pipe is a net.Pipe that says it is on loopback.
type pipe struct {
	net.Conn
	addr string
}

func (p pipe) RemoteAddr() net.Addr {
	a, _ := net.ResolveTCPAddr("tcp", p.addr)
	return a
}

// server is a scripted server: each connection of the client is handed to a script.
type server struct {
	t     *testing.T
	conns chan net.Conn
	addr  string // where the client believes it is connected to
}

func newServer(t *testing.T) *server {
	return &server{t: t, conns: make(chan net.Conn, 16), addr: "127.0.0.1:5222"}
}

func (s *server) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	a, b := net.Pipe()
	select {
	case s.conns <- b:
		return pipe{a, s.addr}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// config is one for a connection without TLS to the scripted server.
func (s *server) config() Config {
	return Config{
		JID: alice, Resource: "phone", Password: func() (string, error) { return "secret", nil },
		Connect: "127.0.0.1:5222", TLS: TLSPlainLoopback, Dial: s.dial,
	}
}

// script is the server's side of one connection.
type script struct {
	t *testing.T
	*conn
}

// accept takes the next connection of the client.
func (s *server) accept() *script {
	c := <-s.conns
	return s.on(c)
}

func (s *server) on(c net.Conn) *script {
	return &script{s.t, newConn(c, c, Limits{Stanza: 1 << 20, Depth: 64})}
}

func (s *script) say(format string, args ...any) {
	if _, err := s.Write(fmt.Appendf(nil, format, args...)); err != nil {
		s.t.Errorf("server: write: %v", err)
	}
}

// trySay is for where the client may have gone.
func (s *script) trySay(format string, args ...any) error {
	_, err := s.Write(fmt.Appendf(nil, format, args...))
	return err
}

const streamOpen = `<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' id='s1' from='example.test'>`

// open reads the client's header and answers it and the given features.
func (s *script) open(features string) (header string) {
	s.f.restart()
	b, kind, err := s.next()
	if err != nil || kind != frameHeader {
		s.t.Errorf("server: want a header, got %s, %v", kind, err)
		return ""
	}
	header = string(b)
	s.say(streamOpen+"<stream:features>%s</stream:features>", features)
	return header
}

// want reads the next stanza.
func (s *script) want() *xmltree.Element {
	e, err := s.element()
	if err != nil {
		s.t.Errorf("server: want a stanza: %v", err)
		return xmltree.New("", "nothing")
	}
	return e
}

const (
	featSASL = `<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</mechanisms>`
	featBind = `<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>`
	featTLS  = `<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>`
)

func offer(names ...string) string {
	var b strings.Builder
	for _, n := range names {
		b.WriteString("<mechanism>" + n + "</mechanism>")
	}
	return fmt.Sprintf(featSASL, b.String())
}

// scram is the server's side of SCRAM-SHA-256(-PLUS), written from RFC 5802 and 7677 for the tests.
type scram struct {
	password string
	binding  []byte // what channel binding must give
	iter     int
	badProof bool   // do not prove that we know the password
	first    string // instead of the server-first-message
}

// auth plays SCRAM. The result is the mechanism and the GS2 header, and whether the client is who it says it is.
func (s *script) auth(c scram) (mechanism, gs2 string, ok bool) {
	a := s.want()
	mechanism = a.Attr("mechanism")
	msg := unbase64(a.Text())
	parts := strings.SplitN(msg, ",", 3)
	if len(parts) != 3 {
		s.t.Errorf("server: bad client-first-message %q", msg)
		return
	}
	gs2 = parts[0] + "," + parts[1] + ","
	bare := parts[2]
	nonce := bare[strings.Index(bare, ",r=")+3:] + "server"
	if c.iter == 0 {
		c.iter = 4096
	}
	first := fmt.Sprintf("r=%s,s=%s,i=%d", nonce, base64.StdEncoding.EncodeToString([]byte("salt")), c.iter)
	if c.first != "" {
		first = strings.ReplaceAll(c.first, "NONCE", nonce)
	}
	s.say("<challenge xmlns='%s'>%s</challenge>", nsSASL, base64.StdEncoding.EncodeToString([]byte(first)))
	r, err := s.element()
	if err != nil {
		return mechanism, gs2, false
	}
	final := unbase64(r.Text())
	i := strings.LastIndex(final, ",p=")
	if i < 0 {
		return mechanism, gs2, false
	}
	without, proof := final[:i], unbase64(final[i+3:])
	salted, err := pbkdf2.Key(sha256.New, c.password, []byte("salt"), c.iter, 32)
	if err != nil {
		s.t.Error(err)
	}
	authMsg := []byte(bare + "," + first + "," + without)
	clientKey := mac(salted, []byte("Client Key"))
	stored := sha256.Sum256(clientKey)
	sig := mac(stored[:], authMsg)
	for i := range sig {
		sig[i] ^= clientKey[i]
	}
	want := "c=" + base64.StdEncoding.EncodeToString(append([]byte(gs2), c.binding...)) + ",r=" + nonce
	ok = string(sig) == proof && without == want
	if !ok {
		return mechanism, gs2, false
	}
	v := base64.StdEncoding.EncodeToString(mac(mac(salted, []byte("Server Key")), authMsg))
	if c.badProof {
		v = base64.StdEncoding.EncodeToString([]byte("somebody else's signature here.."))
	}
	s.say("<success xmlns='%s'>%s</success>", nsSASL, base64.StdEncoding.EncodeToString([]byte("v="+v)))
	return mechanism, gs2, true
}

func mac(key, msg []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(msg)
	return h.Sum(nil)
}

func unbase64(s string) string {
	b, _ := base64.StdEncoding.DecodeString(s)
	return string(b)
}

// bindAs answers the request for a resource.
func (s *script) bindAs(full jid.JID) (asked string) {
	iq := s.want()
	if x := iq.Child(nsBind, "bind"); x != nil {
		asked = x.ChildText(nsBind, "resource")
	}
	s.say("<iq type='result' id='%s'><bind xmlns='%s'><jid>%s</jid></bind></iq>", iq.Attr("id"), nsBind, full)
	return asked
}

// login plays a whole login and what the client sends first.
func (s *script) login() {
	s.open(offer("SCRAM-SHA-256"))
	if _, _, ok := s.auth(scram{password: "secret"}); !ok {
		s.t.Error("server: the client did not prove the password")
	}
	s.open(featBind)
	s.bindAs(phone)
}

// settle answers what the client sends at login: roster, block list, carbons, presence.
func (s *script) settle(items string) (presence *xmltree.Element) {
	for range 3 {
		iq := s.want()
		if iq.Child("jabber:iq:roster", "query") != nil {
			s.say("<iq type='result' id='%s'><query xmlns='jabber:iq:roster'>%s</query></iq>", iq.Attr("id"), items)
		} else {
			s.say("<iq type='result' id='%s'/>", iq.Attr("id"))
		}
	}
	return s.want()
}

// goodbye waits for the client to end the stream and ends ours.
func (s *script) goodbye() {
	for {
		_, kind, err := s.next()
		if err != nil {
			return
		}
		if kind == frameClose {
			s.trySay("</stream:stream>")
			s.Close()
			return
		}
	}
}

// alive checks that the client still answers: nothing that came before has hurt it.
func (s *script) alive() {
	s.t.Helper()
	s.say("<iq type='get' id='alive' from='%s' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>", bob, phone)
	for {
		e, err := s.element()
		if err != nil {
			s.t.Fatalf("server: the client is gone: %v", err)
		}
		if e.Attr("id") == "alive" {
			if e.Attr("type") != "result" {
				s.t.Fatalf("server: ping answered with %s", e)
			}
			return
		}
	}
}

// run starts a client; stop ends it and returns what Run returned.
func run(t *testing.T, c *Client) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- c.Run(ctx) }()
	return func() error {
		cancel()
		return <-end
	}
}

func mustNew(t *testing.T, cfg Config) *Client {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// startTLS plays STARTTLS and returns the script inside, or nil if the client does not like our certificate.
func (s *script) startTLS(srv *server, cfg *tls.Config) (*script, *tls.Conn) {
	s.open(featTLS)
	if e := s.want(); !e.Is(nsTLS, "starttls") {
		s.t.Errorf("server: want starttls, got %s", e)
	}
	s.say("<proceed xmlns='%s'/>", nsTLS)
	return srv.overTLS(s.raw, cfg)
}

func (s *server) overTLS(c net.Conn, cfg *tls.Config) (*script, *tls.Conn) {
	t := tls.Server(c, cfg)
	if t.Handshake() != nil {
		c.Close()
		return nil, nil
	}
	return &script{s.t, newConn(t, c, Limits{Stanza: 1 << 20, Depth: 64})}, t
}

func jidOf(s string) jid.JID { return jid.JID(s) }
