package testkit

import (
	"crypto/x509"
	"os"
	"testing"
)

// Domain is the XMPP domain of every server of this package (RFC 2606: never a real one).
const Domain = "example.test"

// Kind names a server's software.
type Kind string

// The servers of other people.
const (
	KindProsody  Kind = "prosody"
	KindEjabberd Kind = "ejabberd"
)

// Kinds are the servers of other people that tests run with: all, or the one that JINGLED_SERVER names.
func Kinds(t testing.TB) []Kind {
	t.Helper()
	switch k := Kind(os.Getenv("JINGLED_SERVER")); k {
	case "":
		return []Kind{KindProsody, KindEjabberd}
	case KindProsody, KindEjabberd:
		return []Kind{k}
	default:
		t.Fatalf("JINGLED_SERVER is %q: it can be prosody or ejabberd", k)
		return nil
	}
}

// Chosen is the server of a test that would take too long with each of [Kinds]: the first, which is Prosody if nobody chooses.
func Chosen(t testing.TB) Kind {
	t.Helper()
	return Kinds(t)[0]
}

// Server is a running XMPP server.
type Server struct {
	// Kind is whose server it is.
	Kind Kind
	// Domain is its XMPP domain; its certificate is for that name.
	Domain string
	// Addr and DirectTLSAddr are host:port for clients, by STARTTLS and with TLS from the first byte (XEP-0368).
	Addr, DirectTLSAddr string
	// HTTPAddr is host:port of its plain HTTP server, where BOSH (/http-bind) and WebSocket (/xmpp-websocket) are.
	HTTPAddr string
	// ComponentAddr is host:port for components (XEP-0114); ComponentDomain and ComponentSecret let one in.
	ComponentAddr, ComponentDomain, ComponentSecret string
	// ProxyJID is its SOCKS5 bytestreams proxy (XEP-0065), and MUC its chat room service (XEP-0045).
	ProxyJID, MUC string
	// CA is what clients have to trust, in PEM; CAFile is a file with the same.
	CA     []byte
	CAFile string

	addUser  func(t testing.TB, user, password string)
	befriend func(t testing.TB, a, b string)
	restart  func(t testing.TB, end func(*process))
	stop     func()
	log      func() string // the end of what it has printed
	suffix   string        // of names of accounts and rooms, where tests share the server
}

// AddUser makes an account and returns its bare address.
func (s *Server) AddUser(t testing.TB, user, password string) string {
	t.Helper()
	s.addUser(t, user, password)
	return s.Account(user)
}

// Account returns the bare address of an account, whether it is there or not.
func (s *Server) Account(user string) string { return user + s.suffix + "@" + s.Domain }

// Room returns the address of a room of the server, whether it is there or not.
func (s *Server) Room(name string) string { return name + s.suffix + "@" + s.MUC }

// Befriend gives two accounts, named without their domain, a mutual subscription. Neither may be logged in yet.
func (s *Server) Befriend(t testing.TB, a, b string) {
	t.Helper()
	s.befriend(t, a, b)
}

// Restart stops the server and starts it again on the same ports and with the same accounts.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.restart(t, (*process).stop)
}

// Crash is [Server.Restart] of a server that is killed: it says no goodbye and stores nothing.
func (s *Server) Crash(t testing.TB) {
	t.Helper()
	s.restart(t, (*process).crash)
}

// Stop ends the server before the test does; its connections break.
func (s *Server) Stop() { s.stop() }

// Pool returns a pool with the server's authority only.
func (s *Server) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(s.CA)
	return p
}
