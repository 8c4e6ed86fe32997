package xmppserver

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/jingled/jingled/internal/selfsigned"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// Config is what a [Server] may be told. The zero value is a server with TLS and no accounts.
type Config struct {
	// Domain is the XMPP domain. Default: "example.test".
	Domain string
	// Listen and ListenDirectTLS are the addresses for STARTTLS and for direct TLS (XEP-0368), as "host:port" with the
	// IP address of a loopback interface. Default: a free port of 127.0.0.1.
	Listen, ListenDirectTLS string
	// ComponentSecret lets components join (XEP-0114), on the address ListenComponents; "" lets none.
	ComponentSecret, ListenComponents string
	// Accounts are user names with their passwords. More can be added with [Server.AddAccount].
	Accounts map[string]string
	// Chain is the server's certificate. Default: one made for this run.
	Chain *selfsigned.Chain
	// AllowPlain offers login without TLS as well.
	AllowPlain bool
	// TLS12 keeps to TLS 1.2, where the channel binding is tls-unique in place of tls-exporter.
	TLS12 bool
	// NoChannelBinding leaves out the SCRAM mechanisms with channel binding.
	NoChannelBinding bool
	// Items are what service discovery finds at the server, e.g. a component that the test plays.
	Items []Item

	// MaxStanza is the largest stanza that is read, in bytes. Default: 256 KiB.
	MaxStanza int
	// MaxConns is the number of connections at one time. Default: 200.
	MaxConns int
	// MaxQueue is how many bytes may wait for a client that does not read. Default: 8 MiB.
	MaxQueue int
	// MaxRoster is the number of contacts of an account, and MaxResources that of its sessions. Defaults: 1000 and 20.
	MaxRoster, MaxResources int
	// LoginTimeout is from the connection to the bound resource. Default: 20 s.
	LoginTimeout time.Duration
	// WriteTimeout is how long a client may leave its TCP window shut. Default: 20 s.
	WriteTimeout time.Duration

	// Tap, if set, is given each stanza that a client sends, before it is routed. It returns what is to be routed
	// instead: the same, another, or nil to lose it. It must be quick, safe for concurrent use, and must not change the
	// element it was given.
	Tap func(from jid.JID, stanza *xmltree.Element) *xmltree.Element

	// Logger gets connections and why they end; nil discards it. Stanzas and secrets are not logged.
	Logger *slog.Logger
}

// Item is an entity that service discovery lists (XEP-0030 section 4).
type Item struct {
	JID  jid.JID
	Name string
}

// ErrNotLoopback is wrapped where an address is refused because others than this machine could reach it.
var ErrNotLoopback = errors.New("this is no production server, it listens on loopback only")

func (c Config) withDefaults() (Config, error) {
	def(&c.Domain, "example.test")
	def(&c.Listen, "127.0.0.1:0")
	def(&c.ListenDirectTLS, "127.0.0.1:0")
	def(&c.ListenComponents, "127.0.0.1:0")
	def(&c.MaxStanza, 256<<10)
	def(&c.MaxConns, 200)
	def(&c.MaxQueue, 8<<20)
	def(&c.MaxRoster, 1000)
	def(&c.MaxResources, 20)
	def(&c.LoginTimeout, 20*time.Second)
	def(&c.WriteTimeout, 20*time.Second)
	def(&c.Logger, slog.New(slog.DiscardHandler))
	d, err := jid.Parse(c.Domain)
	if err != nil || d.Local() != "" || !d.IsBare() {
		return c, fmt.Errorf("xmppserver: Domain %q is not a domain", c.Domain)
	}
	c.Domain = d.String()
	for _, addr := range []string{c.Listen, c.ListenDirectTLS, c.ListenComponents} {
		if err := checkLoopback(addr); err != nil {
			return c, err
		}
	}
	if c.MaxStanza < 10000 { // RFC 6120 section 13.12
		return c, fmt.Errorf("xmppserver: MaxStanza is %d, but every server has to take 10000 bytes", c.MaxStanza)
	}
	if c.Chain == nil {
		if c.Chain, err = selfsigned.New(c.Domain, "localhost", "127.0.0.1", "::1"); err != nil {
			return c, err
		}
	}
	return c, nil
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// checkLoopback takes IP addresses only: a name may lead anywhere.
func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("xmppserver: address %q: %w", addr, err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("xmppserver: address %q: %w", addr, ErrNotLoopback)
	}
	return nil
}
