package turn

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/jingled/jingled/relay/turn/alloc"
)

// Names of the allocation table that callers of this package meet.
type (
	// Authenticator finds the key of a username.
	Authenticator = alloc.Authenticator
	// AuthRequest is what a client says about itself.
	AuthRequest = alloc.AuthRequest
	// Credential is an Authenticator's answer.
	Credential = alloc.Credential
	// Limiter admits allocations.
	Limiter = alloc.Limiter
	// Session is a Limiter's hold on one allocation.
	Session = alloc.Session
	// PeerPolicy decides which peers may be reached; relay/policy has the usual one.
	PeerPolicy = alloc.PeerPolicy
	// Transport is the transport between a client and the server.
	Transport = alloc.Transport
	// Info is a copy of what is known about one allocation.
	Info = alloc.Info
	// EndReason says why an allocation ended.
	EndReason = alloc.EndReason
)

// Observer hears about sessions. Calls come from packet loops: they must not block; post to a queue.
type Observer interface {
	// Started tells of a new allocation.
	Started(Info)
	// Ended tells of its end, with final usage.
	Ended(Info, EndReason)
	// Refused tells of an authenticated Allocate that was refused with an error code.
	Refused(user string, client netip.AddrPort, code int)
}

// Listener is one address that clients connect to.
type Listener struct {
	// Transport is UDP, TCP, TLS or DTLS.
	Transport Transport
	// Address to bind. An unspecified address is expanded to every address of the machine's interfaces
	// (of that family) when the server starts. Port 0 takes a free port (see Server.Addrs).
	Address netip.AddrPort
	// ProxyProtocol makes a PROXY protocol v2 header mandatory on connections from ProxyTrusted
	// (TCP and TLS). Connections from elsewhere are refused.
	ProxyProtocol bool
	// ProxyTrusted are the load balancers that may speak PROXY. Needed with ProxyProtocol.
	ProxyTrusted []netip.Prefix
	// Fallback takes TLS connections whose ALPN is not "stun.turn", "stun.nat-discovery" or none, after the
	// handshake: HTTPS on the same port (RFC 7443). It owns the connection and should return soon. nil closes them.
	// FallbackProtocols are offered in ALPN after ours, e.g. "h2", "http/1.1".
	Fallback          func(net.Conn)
	FallbackProtocols []string
}

// RelayAddress is one address that relayed traffic leaves from.
type RelayAddress struct {
	// Bind is the local address.
	Bind netip.Addr
	// Advertise is told to clients; zero means Bind. It differs behind 1:1 NAT.
	Advertise netip.Addr
}

// Discovery configures RFC 5780 NAT behaviour discovery on UDP: the server opens
// every pair of {Primary, Alternate} x {PrimaryPort, AlternatePort} that is not among the listeners.
type Discovery struct {
	Primary, Alternate         netip.Addr
	PrimaryPort, AlternatePort uint16
}

// Settings is the part of a Config that can be changed while the server runs (Server.Reload).
type Settings struct {
	// Realm of the long-term credentials. Default "turn". 128 characters at most (RFC 8489 section 14.9).
	Realm string
	// Software is sent in SOFTWARE to authenticated clients. Default none.
	Software string
	// DefaultLifetime of allocations, default and minimum 600 s; MaxLifetime of one refresh, default 3600 s
	// (RFC 8656 section 7.2).
	DefaultLifetime, MaxLifetime time.Duration
	// MaxAge bounds an allocation's life with all its refreshes. Default 24 h.
	MaxAge time.Duration
	// NonceLifetime is how long a nonce is good. Default 10 min.
	NonceLifetime time.Duration
	// MaxPermissions and MaxChannels bound one allocation. Default 256 each.
	MaxPermissions, MaxChannels int
	// MaxPeerConnections bounds the RFC 6062 peer connections of one allocation. Default 16.
	MaxPeerConnections int
	// TCPRelay allows RFC 6062 allocations. Default off.
	TCPRelay bool
	// NoMobility refuses RFC 8016 mobility with 405.
	NoMobility bool
	// NoSHA256 hides the SHA-256 password algorithm, for authenticators that only hold MD5 keys.
	NoSHA256 bool
	// ThirdParty is the authorization server's name for THIRD-PARTY-AUTHORIZATION (RFC 7635). Default none.
	ThirdParty string
	// NoBinding drops Binding requests from clients without an allocation (no public STUN service).
	NoBinding bool
	// UnauthenticatedRate is how many bytes per second answers to unauthenticated requests of one
	// address prefix (/24, /56) may exceed the requests. Default 8192, with a burst of 4 s. Beyond it,
	// only answers no larger than their requests are sent. Negative: no allowance at all.
	UnauthenticatedRate int
	// Alternates are told to clients while draining (ALTERNATE-SERVER, RFC 8489 section 10).
	Alternates []netip.AddrPort
	// Auth decides who may allocate. nil refuses all; Binding still works.
	Auth Authenticator
	// Limits admits allocations. nil means no limits.
	Limits Limiter
	// Peers decides which peers may be reached. nil means policy.Default, which refuses everything that is not
	// a public unicast address.
	Peers PeerPolicy
	// TLS serves TLS and DTLS listeners; its GetCertificate is asked per handshake, so renewed certificates
	// need no reload.
	TLS *tls.Config
	// RelayAddresses: the first of each family is used for new allocations; more of a family are used in turn.
	// Empty means the listeners' addresses.
	RelayAddresses []RelayAddress
}

// Config makes a Server. The zero value plus one Listener is a STUN server that refuses all allocations.
type Config struct {
	Settings
	// Listeners, at least one.
	Listeners []Listener
	// MinPort and MaxPort of relayed addresses, default 49152 and 65535 (RFC 8656 section 7.2).
	MinPort, MaxPort uint16
	// Discovery switches RFC 5780 on. nil is off.
	Discovery *Discovery
	// Loops is how many packet loops share each UDP listener (SO_REUSEPORT, Linux only). Default GOMAXPROCS, at most 256.
	Loops int
	// Portable switches the Linux packet path off and uses plain sockets.
	Portable bool
	// Coalesce is the longest time that packets wait under load to be relayed as a batch. Default 500 us, at
	// most 5 ms; negative switches it off. It is only used above CoalesceAbove packets per second
	// and loop (default 5000); below ten times that rate, and when a loop is near its limit, half of it is.
	Coalesce      time.Duration
	CoalesceAbove int
	// ReceiveBuffer of listener sockets in bytes, default 4 MiB; RelayBuffer of relay sockets, default 512 KiB, which holds a large video
	// frame of small packets. Beyond net.core.rmem_max they need CAP_NET_ADMIN.
	ReceiveBuffer, RelayBuffer int
	// HandshakeTimeout bounds PROXY header, TLS and DTLS handshakes and the first message. Default 10 s.
	HandshakeTimeout time.Duration
	// IdleTimeout closes streams without an allocation and without traffic. Default 60 s.
	IdleTimeout time.Duration
	// WriteTimeout closes a stream whose client does not read. Default 10 s.
	WriteTimeout time.Duration
	// MaxStreams bounds TCP, TLS and DTLS clients in all, default 16384; MaxStreamsPerAddress those of one
	// address or /64 prefix, default 256.
	MaxStreams, MaxStreamsPerAddress int
	// Offload makes what relays channels below the sockets, given the addresses of UDP listeners and relays. Run closes it. When
	// it fails, that is logged, and the sockets do all. nil: nothing is offloaded.
	Offload func(addrs []netip.Addr) (Offloader, error)
	// Observer hears about sessions. nil: nobody.
	Observer Observer
	// Logger, nil discards.
	Logger *slog.Logger
}
