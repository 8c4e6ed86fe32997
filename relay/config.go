package relay

import (
	"fmt"
	"net/netip"
	"time"
)

// Duration is a time span that reads and writes as "90s", "10m" or "24h".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a time span such as \"90s\", \"10m\" or \"24h\"", b)
	}
	*d = Duration(v)
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Config is the configuration file. Every zero value is a default; an empty file is a STUN server on port 3478 that
// relays for nobody.
type Config struct {
	// Version is what [Status] tells. Default: the module's version, as it was built.
	Version string `toml:"-"`
	// Realm of the TURN credentials. Default: the XMPP component's domain, or "jingle-relay".
	Realm string `toml:"realm"`
	// Listen are the TURN and STUN listeners. Default: UDP and TCP on port 3478 of all addresses.
	Listen      []Listen    `toml:"listen"`
	Relay       Relayed     `toml:"relay"`
	Credentials Credentials `toml:"credentials"`
	Limits      Limits      `toml:"limits"`
	Peers       Peers       `toml:"peers"`
	TLS         TLS         `toml:"tls"`
	SOCKS5      SOCKS5      `toml:"socks5"`
	XMPP        XMPP        `toml:"xmpp"`
	Fleet       Fleet       `toml:"fleet"`
	Drain       Drain       `toml:"drain"`
	Discovery   *Discovery  `toml:"discovery"`
	Performance Performance `toml:"performance"`
	Metrics     Metrics     `toml:"metrics"`
	Admin       Admin       `toml:"admin"`
	Log         Log         `toml:"log"`
	Records     Journal     `toml:"records"`
	AccessLog   Journal     `toml:"access_log"`
}

// Listen is one address that clients connect to.
type Listen struct {
	Transport string         `toml:"transport"` // "udp", "tcp", "tls" or "dtls"
	Address   netip.AddrPort `toml:"address"`   // "0.0.0.0:3478", "[::]:5349"
	// ProxyProtocol makes a PROXY protocol v2 header mandatory (tcp and tls) from the ProxyTrusted load balancers.
	ProxyProtocol bool           `toml:"proxy_protocol"`
	ProxyTrusted  []netip.Prefix `toml:"proxy_trusted"`
	// HTTPBackend shares a TLS port with HTTPS: connections whose ALPN is not TURN's are passed on, decrypted, to
	// this host:port (HTTP/1.1 in the clear: keep it local).
	HTTPBackend string `toml:"http_backend"`
}

// Relayed is where relayed traffic leaves.
type Relayed struct {
	// Address lists the addresses. Default: those that are listened on.
	Address []RelayAddress `toml:"address"`
	// MinPort and MaxPort of relayed addresses. Default 49152 and 65535.
	MinPort uint16 `toml:"min_port"`
	MaxPort uint16 `toml:"max_port"`
	// TCP allows TCP allocations (RFC 6062). Default off: few clients use them.
	TCP bool `toml:"tcp"`
	// NoMobility refuses RFC 8016.
	NoMobility bool `toml:"no_mobility"`
	// NoBinding: no STUN service for clients without an allocation.
	NoBinding bool `toml:"no_binding"`
	// Software is told to authenticated clients. Default nothing.
	Software string `toml:"software"`
	// MaxPermissions and MaxChannels bound one allocation. Default 256 each.
	MaxPermissions int `toml:"max_permissions"`
	MaxChannels    int `toml:"max_channels"`
}

// RelayAddress is one address that relayed traffic leaves from.
type RelayAddress struct {
	Bind netip.Addr `toml:"bind"`
	// Advertise is what clients are told, behind 1:1 NAT.
	Advertise netip.Addr `toml:"advertise"`
	// AdvertiseHost is a name to look it up by instead, once a minute: a changed address needs no restart.
	AdvertiseHost string `toml:"advertise_host"`
}

// Credentials say who may use the relay.
type Credentials struct {
	// Secrets are shared with the XMPP server, the current one first (draft-uberti-behave-turn-rest).
	Secrets []string `toml:"secrets"`
	// SecretsFile holds more of them, one a line, after Secrets.
	SecretsFile string `toml:"secrets_file"`
	// TTL of credentials that this relay issues itself. Default 24h.
	TTL Duration `toml:"ttl"`
	// User are long-lived users.
	User []User `toml:"user"`
	// TokenServer is this relay's name in RFC 7635 tokens, TokenKey the authorization servers' keys.
	TokenServer string     `toml:"token_server"`
	TokenKey    []TokenKey `toml:"token_key"`
	// NoMD5 refuses clients that only know MD5: nearly all of them.
	NoMD5 bool `toml:"no_md5"`
}

// User is a long-lived user with keys instead of a password; "jingle-relay credentials user" prints one.
type User struct {
	Name   string `toml:"name"`
	MD5    string `toml:"md5"`
	SHA256 string `toml:"sha256"`
}

// TokenKey is a key shared with an authorization server (RFC 7635).
type TokenKey struct {
	ID  string `toml:"id"`
	Key string `toml:"key"` // base64 of 16 or 32 bytes
}

// Limits bound what users take. Counts: 0 is the default, a negative number no limit. Rates are kbit/s of payload,
// both directions together; 0 is no limit.
type Limits struct {
	Sessions           int      `toml:"sessions"`             // default 32768
	SessionsPerUser    int      `toml:"sessions_per_user"`    // default 64, in the whole fleet
	SessionsPerAddress int      `toml:"sessions_per_address"` // default 512; IPv6: per /64
	SessionKbit        int64    `toml:"session_kbit"`
	UserKbit           int64    `toml:"user_kbit"`
	TotalKbit          int64    `toml:"total_kbit"`
	MaxLifetime        Duration `toml:"max_lifetime"` // of one refresh, default 1h
	MaxAge             Duration `toml:"max_age"`      // of an allocation, default 24h
	// MaxFailures wrong passwords from one address within FailureWindow block it for BlockTime. Defaults 20, 1m, 2m.
	MaxFailures   int      `toml:"max_failures"`
	FailureWindow Duration `toml:"failure_window"`
	BlockTime     Duration `toml:"block_time"`
	// UnauthenticatedRate is how many bytes per second answers to one address prefix may exceed its requests before
	// it has shown a password. Default 8192; negative: none.
	UnauthenticatedRate int `toml:"unauthenticated_rate"`
}

// Peers are who may be reached. By default only public unicast addresses on ports from 1024.
type Peers struct {
	Allow   []netip.Prefix `toml:"allow"`
	Deny    []netip.Prefix `toml:"deny"`
	MinPort uint16         `toml:"min_port"`
	NAT64   []netip.Prefix `toml:"nat64"`
}

// TLS is the certificate of TLS and DTLS listeners: two files, read again on reload and when they change, or ACME.
type TLS struct {
	Certificate string `toml:"certificate"`
	Key         string `toml:"key"`
	ACME        *ACME  `toml:"acme"`
}

// ACME gets certificates by itself. The challenge needs port 443 (a tls listener here counts) or 80 from outside.
type ACME struct {
	Domains   []string `toml:"domains"`
	Email     string   `toml:"email"`
	Directory string   `toml:"directory"` // default: Let's Encrypt
	Storage   string   `toml:"storage"`   // default /var/lib/jingle-relay/acme
	// Root is a file with the CA certificates of a private directory.
	Root string `toml:"root"`
	// AgreeToTerms of the directory. Required.
	AgreeToTerms bool `toml:"agree_to_terms"`
	// HTTPPort and TLSPort for the challenges, if a load balancer maps 80 and 443 to them.
	HTTPPort int `toml:"http_port"`
	TLSPort  int `toml:"tls_port"`
}

// SOCKS5 is the proxy of bytestreams (XEP-0065). It works together with XMPP.
type SOCKS5 struct {
	Listen []netip.AddrPort `toml:"listen"` // none: no proxy
	// Host and Port are what clients are told. Default: xmpp.host, or the first listen address; its port.
	Host           string   `toml:"host"`
	Port           uint16   `toml:"port"`
	PendingTimeout Duration `toml:"pending_timeout"` // default 2m
	IdleTimeout    Duration `toml:"idle_timeout"`    // default 5m
	MaxAge         Duration `toml:"max_age"`         // default 24h
	MaxMegabytes   int64    `toml:"max_megabytes"`   // of a stream and direction; default no limit
	MaxPending     int      `toml:"max_pending"`     // default 4096
	MaxStreams     int      `toml:"max_streams"`     // default 16384
}

// XMPP joins a server as a component (XEP-0114).
type XMPP struct {
	Component  string `toml:"component"` // "relay.example.org"; "" is off
	Server     string `toml:"server"`    // default "127.0.0.1:5347"
	Secret     string `toml:"secret"`
	SecretFile string `toml:"secret_file"` // instead of Secret
	// Domains whose users are served.
	Domains []string `toml:"domains"`
	Name    string   `toml:"name"`
	// Host that clients are told for TURN. Default: Component.
	Host string `toml:"host"`
}

// Fleet shares limits and bans among relays by Valkey or Redis.
type Fleet struct {
	Valkey       []string `toml:"valkey"` // host:port; none: this relay is alone
	Username     string   `toml:"username"`
	Password     string   `toml:"password"`
	PasswordFile string   `toml:"password_file"`
	TLS          bool     `toml:"tls"`
	Prefix       string   `toml:"prefix"`
	Node         string   `toml:"node"`
}

// Drain is how the relay ends.
type Drain struct {
	// Timeout is how long SIGTERM waits for sessions to end. Default 0: not at all.
	Timeout Duration `toml:"timeout"`
	// Alternates are told to clients meanwhile (ALTERNATE-SERVER).
	Alternates []netip.AddrPort `toml:"alternates"`
}

// Discovery is RFC 5780 NAT behaviour discovery. It needs two public addresses.
type Discovery struct {
	Primary       netip.Addr `toml:"primary"`
	Alternate     netip.Addr `toml:"alternate"`
	PrimaryPort   uint16     `toml:"primary_port"`   // default 3478
	AlternatePort uint16     `toml:"alternate_port"` // default 3479
}

// Performance is for people who measure.
type Performance struct {
	Loops         int      `toml:"loops"`          // packet loops per UDP listener, default one per CPU
	Coalesce      Duration `toml:"coalesce"`       // default 500us, half of it at moderate rates; negative: off
	CoalesceAbove int      `toml:"coalesce_above"` // packets per second and loop, default 5000
	ReceiveBuffer int      `toml:"receive_buffer"` // bytes, default 4 MiB
	RelayBuffer   int      `toml:"relay_buffer"`
	Portable      bool     `toml:"portable"` // plain sockets
	Offload       string   `toml:"offload"`  // "", "tc" or "xdp"
	Interfaces    []string `toml:"offload_interfaces"`
}

// Metrics serves Prometheus metrics and /healthz.
type Metrics struct {
	Listen netip.AddrPort `toml:"listen"` // none: off. Keep it on loopback: it has no password
}

// Admin is the socket that status, top, kick and drain talk to.
type Admin struct {
	Socket string `toml:"socket"` // default /run/jingle-relay/admin.sock; "off": none
}

// Log is the relay's own log, on standard error.
type Log struct {
	Level  string `toml:"level"`  // "debug", "info" (default), "warn", "error"
	Format string `toml:"format"` // "text" (default) or "json"
}

// Journal is a file of JSON lines about sessions. "records" has one line at each session's end, for billing;
// "access_log" has starts, ends and refusals, for abuse handling.
type Journal struct {
	File string `toml:"file"` // none: off
	// TruncateIPv4 and TruncateIPv6 are how many bits of a client's address are written. Default all (32 and 128).
	TruncateIPv4 int `toml:"truncate_ipv4"`
	TruncateIPv6 int `toml:"truncate_ipv6"`
	// Retention: the file is begun anew every day, and older ones are deleted after this time. Default: kept for ever
	// (records) or 7 days (access_log). Negative: for ever.
	Retention Duration `toml:"retention"`
	// NoUser leaves user names out.
	NoUser bool `toml:"no_user"`
}
