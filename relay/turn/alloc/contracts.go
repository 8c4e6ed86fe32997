package alloc

import (
	"errors"
	"net/netip"
	"time"
)

// Transport is the transport between a client and the server.
type Transport uint8

// The transports of RFC 8656 section 3.1 (DTLS: section 3.1 and RFC 7350).
const (
	UDP Transport = iota
	TCP
	TLS
	DTLS
)

// String gives the lower-case name: "udp", "tcp", "tls" or "dtls".
func (t Transport) String() string {
	switch t {
	case UDP:
		return "udp"
	case TCP:
		return "tcp"
	case TLS:
		return "tls"
	case DTLS:
		return "dtls"
	}
	return "unknown"
}

// Stream says whether messages need framing (TCP and TLS).
func (t Transport) Stream() bool { return t == TCP || t == TLS }

// FiveTuple names the path between a client and the server (RFC 8656 section 2.2).
// Addresses are unmapped: an IPv4 client is a 4-byte address.
type FiveTuple struct {
	Client    netip.AddrPort
	Server    netip.AddrPort
	Transport Transport
}

// Algorithm is how a long-term key is made from a password (RFC 8489 section 18.5).
type Algorithm uint16

// The password algorithms of RFC 8489 section 18.5.1.
const (
	MD5    Algorithm = 1 // key = MD5(username ":" realm ":" password), 16 bytes
	SHA256 Algorithm = 2 // key = SHA-256(username ":" realm ":" password), 32 bytes
)

// AuthRequest is what a client says about itself. The slices are valid during the call only.
type AuthRequest struct {
	Now         time.Time
	Username    string         // USERNAME, valid UTF-8, 1 to 508 bytes; for RFC 7635 the key id
	Realm       string         // the server's realm
	Algorithm   Algorithm      // MD5 unless the client chose SHA256
	AccessToken []byte         // ACCESS-TOKEN of RFC 7635, nil when absent
	Source      netip.AddrPort // where the request came from
}

// Credential is an Authenticator's answer.
type Credential struct {
	// Key is the long-term key for the asked Algorithm; with an access token the token's mac key as it is.
	Key []byte
	// OtherKeys are tried after Key: a shared secret that is being rotated out. The first that matches the
	// message's integrity is the session's key; Failed is called if none does. At most 7.
	OtherKeys [][]byte
	// User is who limits, logs and records count: for REST credentials the part after the timestamp.
	User string
	// MaxLifetime bounds how long an allocation of this credential may live in all, refreshes
	// included. Zero means the server's own bound.
	MaxLifetime time.Duration
}

// Authenticator finds the key of a username. It is called in the packet loop, from several
// goroutines: it must not block and should take microseconds.
type Authenticator interface {
	// Authenticate returns the key to check the message with. Any error refuses with 401;
	// ErrBlocked drops the request without an answer.
	Authenticate(r AuthRequest) (Credential, error)
	// Failed tells that the message integrity of r did not match the key that was given for it.
	Failed(r AuthRequest)
}

// Errors that an Authenticator and a Limiter answer with.
var (
	// ErrUnauthorized refuses an unknown or expired username (401).
	ErrUnauthorized = errors.New("turn: unknown or expired credential")
	// ErrBlocked drops the request silently: too many failures from there.
	ErrBlocked = errors.New("turn: source is blocked")
	// ErrQuota refuses an allocation because its user or address has enough of them (486).
	ErrQuota = errors.New("turn: allocation quota reached")
	// ErrCapacity refuses an allocation because the server or the fleet is full (508).
	ErrCapacity = errors.New("turn: insufficient capacity")
	// ErrForbidden refuses an allocation for good: a banned user (403).
	ErrForbidden = errors.New("turn: forbidden")
)

// Direction of relayed data.
type Direction uint8

// The two directions.
const (
	ToPeer   Direction = iota // client to peer
	ToClient                  // peer to client
)

// Session is a limiter's hold on one allocation.
type Session interface {
	// Charge takes n bytes of packets from the bandwidth. False drops them. It is called for every
	// packet or train of packets, one call at a time per session but many sessions at once: no
	// blocking, no allocation. now is the time of the batch.
	Charge(now time.Time, d Direction, n int) bool
	// End gives back what Begin took. Called once.
	End()
}

// Limiter admits allocations. Called in the packet loop from several goroutines; must not block.
type Limiter interface {
	// Begin admits an allocation of user from client, or says why not (ErrQuota, ErrCapacity, ErrForbidden).
	// A nil Session with a nil error means: no limits.
	Begin(now time.Time, user string, client netip.AddrPort) (Session, error)
}

// PeerPolicy decides which peers may be reached.
type PeerPolicy interface {
	// Allowed is asked for every permission, channel and peer connection. Port 0 asks for the address
	// alone (CreatePermission names no port). Called from several goroutines; must not block.
	Allowed(peer netip.AddrPort) bool
	// AllowedPort is asked for the port of data that a permission already lets through.
	AllowedPort(port uint16) bool
}

// EndReason says why an allocation ended.
type EndReason uint8

// Why allocations end.
const (
	EndDeleted  EndReason = iota // Refresh with lifetime 0 (RFC 8656 section 7.2)
	EndExpired                   // lifetime ran out
	EndMaxAge                    // the credential's or server's MaxLifetime
	EndKicked                    // the operator's word
	EndClosed                    // the client's connection went away
	EndShutdown                  // the server stops
)

// String gives a short lower-case word for records.
func (r EndReason) String() string {
	switch r {
	case EndDeleted:
		return "deleted"
	case EndExpired:
		return "expired"
	case EndMaxAge:
		return "max-age"
	case EndKicked:
		return "kicked"
	case EndClosed:
		return "closed"
	case EndShutdown:
		return "shutdown"
	}
	return "unknown"
}

// Usage counts what one allocation relayed and dropped. Bytes are payload bytes without any framing.
type Usage struct {
	PacketsToPeer, BytesToPeer     uint64
	PacketsToClient, BytesToClient uint64
	DroppedPermission              uint64 // no permission or forbidden port, either way
	DroppedBandwidth               uint64 // the Session said no
}

// Info is a copy of what is known about one allocation, for status, records and logs.
// It holds no secret: the username is the User of its Credential.
type Info struct {
	ID           uint64 // unique in this process
	User         string
	Client       netip.AddrPort
	Server       netip.AddrPort
	Transport    Transport
	RelayTCP     bool             // RFC 6062 allocation
	Relayed      []netip.AddrPort // advertised relayed addresses, one or two
	Created      time.Time
	Expires      time.Time
	Permissions  int
	Channels     int
	PeerStreams  int // RFC 6062 peer connections
	Usage        Usage
	LastActivity time.Time
}
