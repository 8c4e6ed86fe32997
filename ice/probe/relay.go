package probe

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/pion/stun/v4"
)

// RelayConfig says which TURN server to try.
type RelayConfig struct {
	Addr               string // "host:port"
	Transport          string // "udp", "tcp" or "tls"
	Username, Password string
	RootCAs            *x509.CertPool // nil: the system's
	// Proxy connects to a host and port by a proxy, and is tried first for TCP and TLS; nil is none.
	Proxy func(ctx context.Context, hostPort string) (net.Conn, error)
}

// Relay is what was found out about a TURN server.
type Relay struct {
	Relayed netip.AddrPort // the address that it has lent us
	Setup   time.Duration  // from nothing to there
	// Tried says that a packet was sent to the relayed address by UDP, and Carried that it came through the relay. Where
	// UDP is blocked it does not.
	Tried, Carried bool
}

// Attributes and methods of RFC 8656 section 17 and 18.
var (
	allocate         = stun.NewType(stun.MethodAllocate, stun.ClassRequest)
	refresh          = stun.NewType(stun.MethodRefresh, stun.ClassRequest)
	createPermission = stun.NewType(stun.MethodCreatePermission, stun.ClassRequest)
)

// TryRelay asks a TURN server for a relayed address, sends a packet through it, and gives it back.
func TryRelay(ctx context.Context, cfg RelayConfig) (Relay, error) {
	began := time.Now()
	t, err := dial(ctx, cfg)
	if err != nil {
		return Relay{}, err
	}
	defer t.close()
	c := &turnClient{transport: t, cfg: cfg}
	udp := attribute{stun.AttrRequestedTransport, []byte{17, 0, 0, 0}}
	m, err := c.ask(ctx, allocate, append([]stun.Setter{udp}, c.ofOurFamily()...)...)
	if refused := (*Refused)(nil); errors.As(err, &refused) && refused.Code == 440 { // it has no address of our family
		m, err = c.ask(ctx, allocate, udp)
	}
	if err != nil {
		return Relay{}, err
	}
	r := Relay{Setup: time.Since(began)}
	var ok bool
	if r.Relayed, ok = addrPort(m, stun.AttrXORRelayedAddress); !ok {
		return r, ErrProtocol
	}
	if us, ok := mapped(m); ok && us.Addr().Is4() == r.Relayed.Addr().Is4() {
		r.Tried, r.Carried = c.carries(ctx, r.Relayed, us.Addr())
	}
	// A refresh with a lifetime of 0 gives it back (section 7.1); if it is lost, it ends by itself.
	_, _ = c.ask(ctx, refresh, attribute{stun.AttrLifetime, []byte{0, 0, 0, 0}})
	return r, nil
}

// turnClient is a TURN client for one allocation.
type turnClient struct {
	*transport
	cfg   RelayConfig
	realm stun.Realm
	nonce stun.Nonce
}

// peerAddress is XOR-PEER-ADDRESS (RFC 8656 section 18.3) for a permission, which has no port.
type peerAddress netip.Addr

// AddTo implements [stun.Setter].
func (p peerAddress) AddTo(m *stun.Message) error {
	x := stun.XORMappedAddress{IP: netip.Addr(p).AsSlice()}
	return x.AddToAs(m, stun.AttrXORPeerAddress)
}

// ask makes a request with long-term credentials (RFC 8489 section 9.2), which the server's first answer asks for.
func (c *turnClient) ask(ctx context.Context, typ stun.MessageType, attrs ...stun.Setter) (*stun.Message, error) {
	for range 3 { // without credentials, with them, and with a new nonce
		setters := append([]stun.Setter{stun.TransactionID, typ}, attrs...)
		if c.nonce != nil {
			setters = append(setters, stun.NewUsername(c.cfg.Username), c.realm, c.nonce,
				stun.NewLongTermIntegrity(c.cfg.Username, c.realm.String(), c.cfg.Password))
		}
		m, err := stun.Build(setters...)
		if err != nil {
			return nil, err
		}
		r, err := c.transport.ask(ctx, m)
		if err != nil {
			return nil, err
		}
		err = refusal(r)
		var refused *Refused
		if !errors.As(err, &refused) {
			return r, err
		}
		again := refused.Code == 401 && c.nonce == nil || refused.Code == 438 // RFC 8489 section 9.2.5
		if !again || c.nonce.GetFrom(r) != nil || c.realm == nil && c.realm.GetFrom(r) != nil {
			return nil, err
		}
	}
	return nil, ErrProtocol
}

// ofOurFamily asks for an IPv6 address if that is what leads to the server: without, it is IPv4 (RFC 8656 section 7.2).
func (c *turnClient) ofOurFamily() []stun.Setter {
	at, err := netip.ParseAddrPort(c.conn.RemoteAddr().String())
	if err != nil || at.Addr().Unmap().Is4() {
		return nil
	}
	return []stun.Setter{attribute{stun.AttrRequestedAddressFamily, []byte{2, 0, 0, 0}}}
}

// carries sends a packet to the relayed address and waits for it to come through the relay.
func (c *turnClient) carries(ctx context.Context, relayed netip.AddrPort, us netip.Addr) (tried, came bool) {
	ctx, cancel := context.WithTimeout(ctx, negative)
	defer cancel()
	text := "jingled probe " + rand.Text()
	c.other = func(m *stun.Message) {
		if b, err := m.Get(stun.AttrData); err == nil && strings.HasPrefix(string(b), text) {
			came = true
		}
	}
	if _, err := c.ask(ctx, createPermission, peerAddress(us)); err != nil {
		return false, false
	}
	out, err := new(net.Dialer).DialContext(ctx, "udp", relayed.String())
	if err != nil {
		return false, false
	}
	defer out.Close()
	for wait := firstWait; !came && ctx.Err() == nil; wait *= 2 {
		if _, err := out.Write([]byte(text)); err != nil {
			return tried, false
		}
		tried = true
		for until := time.Now().Add(wait); !came; {
			m, err := c.read(ctx, until)
			if err != nil {
				break
			}
			c.other(m)
		}
	}
	return tried, came
}
