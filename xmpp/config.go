package xmpp

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp/caps"
	"github.com/jingled/jingled/xmpp/disco"
)

// TLSMode says how the connection is secured. There is no mode without TLS but for the machine itself.
type TLSMode string

// The modes.
const (
	// TLSAuto takes direct TLS and STARTTLS as the domain's SRV records offer them. With [Config].Connect it takes
	// direct TLS on ports 443 and 5223 and STARTTLS on others.
	TLSAuto TLSMode = "auto"
	// TLSStart asks for TLS on a plain connection (RFC 6120 section 5) and goes no further without it.
	TLSStart TLSMode = "starttls"
	// TLSDirect begins with TLS (XEP-0368).
	TLSDirect TLSMode = "direct"
	// TLSPlainLoopback uses no TLS. It needs [Config].Connect, and the connection must lead to a loopback address.
	TLSPlainLoopback TLSMode = "plain-loopback"
)

// Config is what a [Client] needs to know. JID and Password are required; the zero value of everything else is a
// sensible default.
type Config struct {
	// JID is the account. A resource in it is taken as Resource.
	JID jid.JID
	// Password is called at each login, from Run, and may block.
	Password func() (string, error)
	// Resource is asked for at login; the server may give another one. Default: "jingled." and eight random letters,
	// the same for the life of the client.
	Resource string

	// Connect is where to connect to in place of where the domain's DNS records lead: a "host:port", whose certificate
	// must still be for the domain, or the URL of a WebSocket (wss://host/path, RFC 7395) or of BOSH (https://host/path,
	// XEP-0206), whose certificate must be for the host.
	Connect string
	// Proxy is the URL of a proxy to connect through: http://, https:// (both by CONNECT) or socks5://, with
	// user:password@ if it asks for that. "none" is none. "" takes ALL_PROXY for every connection, and HTTPS_PROXY for
	// WebSocket and BOSH, from the environment, with NO_PROXY's exceptions.
	Proxy string
	// TLS is how to secure the connection; "" is TLSAuto.
	TLS TLSMode
	// RootCAs are the authorities to trust; nil means the system's. See [ParseCA].
	RootCAs *x509.CertPool
	// PinnedSHA256 is the SHA-256 fingerprint, in hex with or without colons, of the server's own certificate. If it
	// is set, that certificate is trusted and no other, whatever it says.
	PinnedSHA256 string
	// FailFast makes Run return the first error that comes before the first login, even a passing one.
	FailFast bool

	// Identity and Features are what service discovery tells others, along with what this package itself knows how to
	// do. Default identity: client/pc "Jingled".
	Identity disco.Identity
	Features []string
	// CapsNode names the software in entity capabilities. Default: "https://github.com/jingled/jingled".
	CapsNode string
	// Caps keeps what capabilities stand for. Clients may share one; nil makes an own one.
	Caps *caps.Cache

	// Blocked are whom to refuse until the server has told whom the account blocks (XEP-0191), and always where it keeps
	// no such list: what [Client.Blocked] was the last time.
	Blocked []jid.JID

	// Presence is sent at login.
	Presence Presence
	// NoPresence, NoRoster, NoCarbons and NoBlockList leave out what is otherwise done at login.
	NoPresence, NoRoster, NoCarbons, NoBlockList bool
	// Bind2 lets the server bind the resource with the login (XEP-0386) where it can, which saves a round trip. The server
	// then forgets the messages that were stored while the account was offline, as it expects them to be taken from its
	// archive, which this package does not do; and it makes up the resource itself.
	Bind2 bool
	// InstallID is a random UUID that stands for this installation towards the server (XEP-0388 section 2.3), which binds
	// tokens to it. Default: another one for each client.
	InstallID string
	// Tokens keeps the token that the server gives in place of the password (XEP-0484). Default: it is kept in memory, for
	// the life of the client.
	Tokens Tokens
	// NoStreamManagement leaves out XEP-0198: a lost connection then is a lost stream.
	NoStreamManagement bool

	Limits   Limits
	Timeouts Timeouts
	Backoff  Backoff

	// Logger gets what happens to the connection and to refused stanzas; nil discards it. Contents of stanzas and
	// secrets are never logged.
	Logger *slog.Logger
	// Trace, if set, is called with each stanza as it goes by, login excepted, from any goroutine. It must be quick and
	// must not keep the slice.
	Trace func(outgoing bool, stanza []byte)
	// OnPanic is called with the value and the stack of a panic in a handler. nil logs it as an error. The request
	// that was being handled is answered with internal-server-error and the client goes on.
	OnPanic func(value any, stack []byte)

	// Borrow, if set, gives streams of which somebody else is the owner, in place of a connection and a login; it waits
	// until there is one. The owner sees to the presence that everybody gets, to carbons, to service discovery and to
	// signs of life, so these are left out as with NoPresence and NoCarbons, and directed presence has no capabilities.
	// Password is not needed.
	Borrow func(ctx context.Context) (Stream, error)
	// Dial makes TCP connections; nil means a net.Dialer. It may be called from several goroutines at once.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Resolver looks up SRV records; nil means net.DefaultResolver. One that has LookupNetIP too, as a *net.Resolver does,
	// is asked for the addresses of hosts, which are then tried beside each other (RFC 8305); otherwise Dial gets names.
	Resolver Resolver

	addresses addressResolver // nil: Dial looks them up
}

// Resolver looks up SRV records. A *net.Resolver is one.
type Resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

// Limits bound what others can make us hold.
type Limits struct {
	// Stanza is the largest stanza taken, in bytes. Default 256 KiB, at least 10,000 (RFC 6120 section 13.12).
	Stanza int
	// Roster is what Stanza is until the roster has come, which is one stanza. Default 4 MiB.
	Roster int
	// Depth of nested elements in a stanza. Default 32.
	Depth int
	// Send is the largest stanza sent, in bytes. Default 256 KiB, as Prosody has it.
	Send int
	// Inbox is how many stanzas may wait for the dispatcher, replies to our own requests aside; a quarter of it may
	// be from one bare address and half from one foreign domain. Default 2048.
	Inbox int
	// InboxBytes bounds the same in bytes of XML. Default 8 MiB.
	InboxBytes int
	// Outbox is how many stanzas may wait to be sent. Default 2048.
	Outbox int
	// OutboxBytes bounds the same in bytes. Default 8 MiB.
	OutboxBytes int
	// Pending is how many requests of ours may be open. Default 1024.
	Pending int
	// Unanswered is how many requests of others may wait for our answer; shared out as the inbox is. Default 1024.
	Unanswered int
	// Resources is how many full addresses presence is kept for. Default 16384.
	Resources int
}

// Timeouts are how long things may take.
type Timeouts struct {
	Dial      time.Duration // to one address. Default 10 s
	Login     time.Duration // from the connection to the bound resource. Default 20 s
	Request   time.Duration // for the reply to a request that names no time. Default 30 s
	Answer    time.Duration // for our answer to others; then it is answered with an error. Default 60 s
	KeepAlive time.Duration // of silence before the server is pinged; negative: never. Default 60 s
	// KeepAliveIdle is the same while the client is not active. Default 4 min, which NATs have patience for.
	KeepAliveIdle time.Duration
	Ping          time.Duration // for anything to come after that ping. Default 20 s
	Probe         time.Duration // for the same after [Client.Probe]. Default 5 s
	Write         time.Duration // for the network to take what is written. Default 30 s
	Close         time.Duration // for the server to say goodbye. Default 1 s
}

// Backoff is how long to wait between attempts to connect: Min, doubled each time up to Max, and a random part of up
// to half of it taken off, so that clients do not come back all at once. A connection that held for 5 s starts over.
type Backoff struct {
	Min time.Duration // default 1 s
	Max time.Duration // default 1 min
}

// ParseCA reads certificates in PEM form, to be used as [Config].RootCAs.
func ParseCA(pem []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("xmpp: no certificate in PEM form found")
	}
	return pool, nil
}

const defaultCapsNode = "https://github.com/jingled/jingled"

// withDefaults validates c and fills in what is not set.
func (c Config) withDefaults() (Config, error) {
	j, err := jid.Parse(string(c.JID))
	if err != nil {
		return c, fmt.Errorf("xmpp: %w", err)
	}
	if j.Local() == "" {
		return c, fmt.Errorf("xmpp: %q is a server, not an account: an address such as alice@example.org is needed", j)
	}
	if c.Resource == "" {
		c.Resource = j.Resource()
	}
	if c.Resource == "" {
		c.Resource = "jingled." + randomText(8)
	}
	c.JID = j.Bare()
	full, err := jid.Parse(string(c.JID) + "/" + c.Resource)
	if err != nil {
		return c, fmt.Errorf("xmpp: resource: %w", err)
	}
	c.Resource = full.Resource()
	if c.Borrow != nil {
		c.NoPresence, c.NoCarbons, c.Timeouts.KeepAlive = true, true, -1
	} else if c.Password == nil {
		return c, errors.New("xmpp: Config.Password is required")
	}
	if err := c.tlsDefaults(); err != nil {
		return c, err
	}
	if _, err := parseProxy(c.Proxy); err != nil {
		return c, fmt.Errorf("xmpp: Proxy: %w", err)
	}
	if c.Identity == (disco.Identity{}) {
		c.Identity = disco.Identity{Category: "client", Type: "pc", Name: "Jingled"}
	}
	if c.CapsNode == "" {
		c.CapsNode = defaultCapsNode
	}
	if c.Caps == nil {
		c.Caps = new(caps.Cache)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.InstallID == "" {
		c.InstallID = newUUID()
	}
	if c.Tokens == nil {
		c.Tokens = new(tokenMemory)
	}
	own := c.Dial == nil
	if own {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.Resolver == nil && own {
		c.addresses = net.DefaultResolver
	} else {
		c.addresses, _ = c.Resolver.(addressResolver)
	}
	if c.Resolver == nil {
		c.Resolver = net.DefaultResolver
	}
	c.Limits.setDefaults()
	c.Timeouts.setDefaults()
	orDefault(&c.Backoff.Min, time.Second)
	orDefault(&c.Backoff.Max, time.Minute)
	return c, nil
}

func (c *Config) tlsDefaults() error {
	switch c.TLS {
	case "":
		c.TLS = TLSAuto
	case TLSAuto, TLSStart, TLSDirect:
	case TLSPlainLoopback:
		if c.Connect == "" {
			return errors.New("xmpp: plain-loopback needs Connect, a host:port on this machine")
		}
	default:
		return fmt.Errorf("xmpp: TLS mode %q is none of auto, starttls, direct, plain-loopback", c.TLS)
	}
	switch {
	case strings.Contains(c.Connect, "://"):
		if _, err := webTarget(c.Connect, c.TLS == TLSPlainLoopback); err != nil {
			return fmt.Errorf("xmpp: Connect: %w", err)
		}
	case c.Connect != "":
		if _, _, err := net.SplitHostPort(c.Connect); err != nil {
			return fmt.Errorf("xmpp: Connect is not host:port: %w", err)
		}
	}
	if c.PinnedSHA256 != "" {
		pin := strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(c.PinnedSHA256))
		if b, err := hex.DecodeString(pin); err != nil || len(b) != 32 {
			return errors.New("xmpp: the pinned fingerprint is not a SHA-256 in hex")
		}
		c.PinnedSHA256 = pin
	}
	return nil
}

func (l *Limits) setDefaults() {
	orDefault(&l.Stanza, 256<<10)
	l.Stanza = max(l.Stanza, 10000)
	orDefault(&l.Roster, 4<<20)
	l.Roster = max(l.Roster, l.Stanza)
	orDefault(&l.Depth, 32)
	orDefault(&l.Send, 256<<10)
	orDefault(&l.Inbox, 2048)
	orDefault(&l.InboxBytes, 8<<20)
	orDefault(&l.Outbox, 2048)
	orDefault(&l.OutboxBytes, 8<<20)
	orDefault(&l.Pending, 1024)
	orDefault(&l.Unanswered, 1024)
	orDefault(&l.Resources, 16384)
}

func (t *Timeouts) setDefaults() {
	orDefault(&t.Dial, 10*time.Second)
	orDefault(&t.Login, 20*time.Second)
	orDefault(&t.Request, 30*time.Second)
	orDefault(&t.Answer, time.Minute)
	if t.KeepAlive == 0 {
		t.KeepAlive = time.Minute
	}
	orDefault(&t.KeepAliveIdle, max(4*time.Minute, t.KeepAlive))
	orDefault(&t.Ping, 20*time.Second)
	orDefault(&t.Probe, 5*time.Second)
	orDefault(&t.Write, 30*time.Second)
	orDefault(&t.Close, time.Second)
}

// orDefault sets *v to def unless it is positive.
func orDefault[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}
