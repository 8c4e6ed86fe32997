package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/transport/v4"
)

// Policy says which of our addresses the peer may learn.
type Policy uint8

// The policies.
const (
	// All candidates: the fastest path that works.
	All Policy = iota
	// RelayOnly sends everything through a TURN server, so that the peer does not learn our addresses.
	RelayOnly
)

// ParsePolicy reads "all" or "relay"; "" is all.
func ParsePolicy(s string) (Policy, error) {
	switch s {
	case "", "all":
		return All, nil
	case "relay":
		return RelayOnly, nil
	}
	return All, fmt.Errorf("ice policy %q is neither all nor relay", s)
}

func (p Policy) String() string {
	if p == RelayOnly {
		return "relay"
	}
	return "all"
}

// Server is a STUN or TURN server.
type Server struct {
	// URI is of RFC 7064 or RFC 7065, e.g. "turn:relay.example.org:3478?transport=udp".
	URI string
	// Username and Password are for TURN.
	Username, Password string
}

// String leaves the credentials out, so that a server can be logged.
func (s Server) String() string { return s.URI }

// GoString is [Server.String].
func (s Server) GoString() string { return s.URI }

// LogValue implements [slog.LogValuer].
func (s Server) LogValue() slog.Value { return slog.StringValue(s.URI) }

// Validate reports what keeps the server from being used.
func (s Server) Validate() error {
	_, err := s.parse()
	return err
}

func (s Server) parse() (*stun.URI, error) {
	u, err := stun.ParseURI(s.URI)
	if err != nil {
		return nil, fmt.Errorf("ice server %q: %w", s.URI, err)
	}
	if u.Port < 1 || u.Port > 65535 {
		return nil, fmt.Errorf("ice server %q: the port is not between 1 and 65535", s.URI)
	}
	turn := u.Scheme == stun.SchemeTypeTURN || u.Scheme == stun.SchemeTypeTURNS
	if turn && (s.Username == "" || s.Password == "") {
		return nil, fmt.Errorf("ice server %q: a TURN server needs a user name and a password", s.URI)
	}
	u.Username, u.Password = s.Username, s.Password
	return u, nil
}

// relays reports whether the server is a TURN server.
func relays(u *stun.URI) bool {
	return u.Scheme == stun.SchemeTypeTURN || u.Scheme == stun.SchemeTypeTURNS
}

// Config says how an [Agent] looks for a path. The zero value uses host candidates of all interfaces.
type Config struct {
	// Servers are tried all at once. One that does not work costs no time, as candidates are told as they are found;
	// one that does not parse is logged and passed over, since servers come from the XMPP server and the others are as
	// good without it.
	Servers []Server
	Policy  Policy
	// LoopbackOnly uses loopback addresses and nothing else, ours and the peer's. It is for demonstrations and tests;
	// without it and Loopback the loopback is never used.
	LoopbackOnly bool
	// Loopback uses loopback addresses, ours and the peer's, as well as others: for a peer that may be on this machine.
	Loopback bool
	// Interface and Address, if set, tell which of our interfaces and addresses are used.
	Interface func(name string) bool
	Address   func(netip.Addr) bool
	// MaxRemote bounds the peer's candidates that are checked (32). Each costs packets to wherever the peer says.
	MaxRemote int
	// ConnectTimeout is how long a path is looked for (20 s), DisconnectAfter how long nothing may arrive on it before it
	// counts as disturbed (2.5 s, in which two checks go unanswered; it is noticed within another second).
	ConnectTimeout, DisconnectAfter time.Duration
	// Component is what the path is for: 1 for RTP and all that shares its port (the default), 2 for the RTCP of a peer that
	// does not multiplex. The components of a content are agents with the same credentials (RFC 8445 section 5.3).
	Component uint16
	// Ufrag and Pwd are the credentials; empty stands for fresh ones.
	Ufrag, Pwd string
	// Generation counts the restarts of ICE in a session; it stands in our candidates.
	Generation int
	// Net is the network; nil is the machine's. It is for tests on a virtual one.
	Net transport.Net
	// Names looks up the servers on the machine's network; nil is [net.DefaultResolver].
	Names Names
	// Proxy connects to a host and port by a proxy; nil is none. TURN servers on TCP and TLS are then tried by it first. What goes
	// by UDP does not go by it.
	Proxy func(ctx context.Context, hostPort string) (net.Conn, error)
	// Socket is handed every UDP socket of the machine's network and returns what is to be used in its place. nil takes
	// them as they are.
	Socket func(transport.UDPConn) transport.UDPConn
	// Log may be nil.
	Log *slog.Logger
}

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	if c.Policy != RelayOnly {
		return nil
	}
	for _, s := range c.Servers {
		if u, err := s.parse(); err == nil && relays(u) {
			return nil
		}
	}
	return ErrNoRelay
}

// ErrNoRelay says that only relays may be used, but there is none.
var ErrNoRelay = errors.New("only relays may be used, but no TURN server is known")

func (c Config) withDefaults() Config {
	if c.Component == 0 {
		c.Component = 1
	}
	if c.Ufrag == "" || c.Pwd == "" {
		// 24 and 128 bits of randomness at least (RFC 8445 section 5.3). rand.Text has 5 bits a letter, all ice-chars.
		c.Ufrag, c.Pwd = rand.Text()[:8], rand.Text()
	}
	if c.MaxRemote <= 0 {
		c.MaxRemote = 32
	}
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = 20 * time.Second
	}
	if c.DisconnectAfter <= 0 {
		c.DisconnectAfter = 2500 * time.Millisecond
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// mayUse reports whether an address of ours may be used.
func (c Config) mayUse(a netip.Addr) bool {
	a = a.Unmap()
	switch {
	case !c.mayLoop(a):
		return false
	case a.Is6() && a.IsLinkLocalUnicast():
		// Dino drops them, and without a zone they lead nowhere.
		return false
	}
	return c.Address == nil || c.Address(a)
}

// mayCheck reports whether packets may be sent to an address that the peer names.
func (c Config) mayCheck(a netip.Addr) bool {
	a = a.Unmap()
	switch {
	case !a.IsValid() || a.IsUnspecified() || a.IsMulticast():
		return false
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return false
	}
	// Services on our own machine are not for the peer to knock at.
	return c.mayLoop(a)
}

// mayLoop reports whether an address is on the right side of the loopback interface.
func (c Config) mayLoop(a netip.Addr) bool {
	if a.IsLoopback() {
		return c.LoopbackOnly || c.Loopback
	}
	return !c.LoopbackOnly
}
