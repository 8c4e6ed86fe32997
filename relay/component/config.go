package component

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"mellium.im/xmpp/jid"

	"github.com/jingled/jingled/relay/credentials"
	"github.com/jingled/jingled/relay/socks5"
)

// Service is one entry of XEP-0215's list.
type Service struct {
	Type      string // "stun", "stuns", "turn" or "turns"
	Host      string
	Port      uint16
	Transport string // "udp" or "tcp"
	Name      string // for people; may be empty
}

// turn reports whether the service needs credentials.
func (s Service) turn() bool { return s.Type == "turn" || s.Type == "turns" }

// Issuer makes credentials; [credentials.Shared] is one.
type Issuer interface {
	Issue(now time.Time, user string, ttl time.Duration) credentials.Issued
}

// Activator joins the parties of a bytestream; [socks5.Server] is one.
type Activator interface {
	Activate(a socks5.Activation) error
}

// Proxy is where the SOCKS5 proxy listens and who activates its streams.
type Proxy struct {
	Host      string // an address or a name, as clients reach it
	Port      uint16
	Activator Activator
}

// Offer is what the component gives to users. It can be replaced while the component runs.
type Offer struct {
	// Domains whose users are served. Sub-domains are named themselves. Required.
	Domains []string
	// Services and the Issuer of their credentials. Without an Issuer TURN services are not listed.
	Services []Service
	Issuer   Issuer
	TTL      time.Duration // of credentials; 0: the Issuer's default
	// Proxy, nil if there is none.
	Proxy *Proxy
	// Banned says no to a user (a bare address). nil: nobody is banned. It must not block.
	Banned func(user string) bool
	// Name for service discovery. Default "Relay".
	Name string
}

// Config makes a [Component].
type Config struct {
	Domain string // the component's own address, e.g. "relay.example.org"
	Secret string // shared with the XMPP server
	Server string // host:port of the server's component listener. The connection is not encrypted: keep it local
	Offer
	Logger *slog.Logger // nil discards

	// Ping is how often the connection is checked when nothing comes in; it is given up after twice as long.
	// Default 1 min.
	Ping time.Duration
	// MinBackoff and MaxBackoff between attempts to connect; defaults 1 s and 1 min.
	MinBackoff, MaxBackoff time.Duration
}

func (c Config) withDefaults() (Config, error) {
	d, err := domain(c.Domain)
	if err != nil {
		return c, fmt.Errorf("component: the component's domain: %w", err)
	}
	c.Domain = d
	if c.Secret == "" {
		return c, errors.New("component: the secret shared with the XMPP server is missing")
	}
	if _, _, err := net.SplitHostPort(c.Server); err != nil {
		return c, fmt.Errorf("component: the server is given as host:port: %w", err)
	}
	if c.Offer, err = c.withOfferDefaults(); err != nil {
		return c, err
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	def := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&c.Ping, time.Minute)
	def(&c.MinBackoff, time.Second)
	def(&c.MaxBackoff, time.Minute)
	return c, nil
}

func (o Offer) withOfferDefaults() (Offer, error) {
	if len(o.Domains) == 0 {
		return o, errors.New("component: name the domains whose users are to be served")
	}
	norm := make([]string, 0, len(o.Domains))
	for _, d := range o.Domains {
		n, err := domain(d)
		if err != nil {
			return o, fmt.Errorf("component: domain %q: %w", d, err)
		}
		norm = append(norm, n)
	}
	o.Domains = norm
	for _, s := range o.Services {
		switch s.Type {
		case "stun", "stuns", "turn", "turns":
		default:
			return o, fmt.Errorf("component: service type %q is none of stun, stuns, turn, turns", s.Type)
		}
		if s.Host == "" || s.Port == 0 || s.Transport != "udp" && s.Transport != "tcp" {
			return o, fmt.Errorf("component: a service needs host, port and a transport of udp or tcp")
		}
	}
	if p := o.Proxy; p != nil && (p.Host == "" || p.Port == 0 || p.Activator == nil) {
		return o, errors.New("component: the proxy needs host, port and activator")
	}
	if o.Name == "" {
		o.Name = "Relay"
	}
	return o, nil
}

// domain normalises a domain name (RFC 7622 section 3.2).
func domain(s string) (string, error) {
	j, err := jid.Parse(s)
	if err != nil {
		return "", err
	}
	if j.Localpart() != "" || j.Resourcepart() != "" {
		return "", fmt.Errorf("%q is not a domain alone", s)
	}
	return j.Domainpart(), nil
}
