package relay

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/jingled/jingled/relay/component"
	"github.com/jingled/jingled/relay/credentials"
	"github.com/jingled/jingled/relay/limits"
	"github.com/jingled/jingled/relay/offload"
	"github.com/jingled/jingled/relay/policy"
	"github.com/jingled/jingled/relay/socks5"
	"github.com/jingled/jingled/relay/turn"
	"github.com/jingled/jingled/relay/turn/alloc"
)

// plan is a configuration in the words of the parts that it configures.
type plan struct {
	cfg       Config
	turn      turn.Config // without Auth, Limits, TLS, Observer and Logger
	sources   credentials.Sources
	limits    limits.Config
	socks5    socks5.Config
	component component.Config // without what is bound later
	fleet     *limits.ValkeyConfig
}

// problems collects what is wrong, each with its key.
type problems []error

func (p *problems) add(key string, err error) {
	if err != nil {
		*p = append(*p, fmt.Errorf("%s: %w", key, err))
	}
}

func (p *problems) say(key, format string, args ...any) { p.add(key, fmt.Errorf(format, args...)) }

// Validate says everything that is wrong with the configuration, a line each. It reads the files that hold secrets
// and certificates; it binds and dials nothing.
func (c Config) Validate() error {
	_, err := c.plan()
	return err
}

func (c Config) plan() (*plan, error) {
	var ps problems
	p := &plan{cfg: c}
	p.realm()
	p.listeners(&ps)
	p.relayed(&ps)
	p.credentials(&ps)
	p.limit(&ps)
	p.peers(&ps)
	p.certificates(&ps)
	p.proxy(&ps)
	p.xmpp(&ps)
	p.share(&ps)
	p.rest(&ps)
	if len(ps) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrConfig, errors.Join(ps...))
	}
	return p, nil
}

func (p *plan) realm() { p.turn.Realm = p.cfg.TURNRealm() }

// TURNRealm is the realm of the TURN credentials, with its default.
func (c Config) TURNRealm() string {
	switch {
	case c.Realm != "":
		return c.Realm
	case c.XMPP.Component != "":
		return c.XMPP.Component
	}
	return "jingle-relay"
}

func (p *plan) listeners(ps *problems) {
	list := p.cfg.Listen
	if len(list) == 0 {
		for _, a := range []string{"0.0.0.0:3478", "[::]:3478"} {
			for _, t := range []string{"udp", "tcp"} {
				list = append(list, Listen{Transport: t, Address: netip.MustParseAddrPort(a)})
			}
		}
	}
	for i, l := range list {
		key := fmt.Sprintf("listen %d", i+1)
		t, ok := transports[l.Transport]
		if !ok {
			ps.say(key, "transport %q is none of udp, tcp, tls, dtls", l.Transport)
		}
		if !l.Address.IsValid() {
			ps.say(key, "address is missing; give one such as \"0.0.0.0:3478\" or \"[::]:3478\"")
		}
		if l.ProxyProtocol && (!t.Stream() || len(l.ProxyTrusted) == 0) {
			ps.say(key, "proxy_protocol needs a tcp or tls listener, and proxy_trusted with the load balancers' addresses")
		}
		if l.HTTPBackend != "" {
			if t != alloc.TLS {
				ps.say(key, "http_backend needs a tls listener")
			}
			if _, _, err := net.SplitHostPort(l.HTTPBackend); err != nil {
				ps.say(key, "http_backend is given as host:port: %w", err)
			}
		}
		p.turn.Listeners = append(p.turn.Listeners, turn.Listener{
			Transport: t, Address: l.Address, ProxyProtocol: l.ProxyProtocol, ProxyTrusted: l.ProxyTrusted,
		})
	}
	p.cfg.Listen = list
}

var transports = map[string]turn.Transport{"udp": alloc.UDP, "tcp": alloc.TCP, "tls": alloc.TLS, "dtls": alloc.DTLS}

func (p *plan) relayed(ps *problems) {
	r := p.cfg.Relay
	for i, a := range r.Address {
		key := fmt.Sprintf("relay.address %d", i+1)
		switch {
		case !a.Bind.IsValid() || a.Bind.IsUnspecified():
			ps.say(key, "bind is missing; give one address of this machine")
		case a.Advertise.IsValid() && a.AdvertiseHost != "":
			ps.say(key, "advertise and advertise_host are both given")
		case a.Advertise.IsValid() && a.Advertise.Is4() != a.Bind.Is4():
			ps.say(key, "bind and advertise are of different families")
		}
		p.turn.RelayAddresses = append(p.turn.RelayAddresses, turn.RelayAddress{Bind: a.Bind, Advertise: a.Advertise})
	}
	if r.MinPort != 0 && r.MinPort < 1024 || r.MinPort != 0 && r.MaxPort != 0 && r.MinPort > r.MaxPort {
		ps.say("relay.min_port", "relayed ports are from 1024 up, and min_port is not above max_port")
	}
	p.turn.MinPort, p.turn.MaxPort = r.MinPort, r.MaxPort
	p.turn.TCPRelay, p.turn.NoMobility, p.turn.NoBinding, p.turn.Software = r.TCP, r.NoMobility, r.NoBinding, r.Software
	p.turn.MaxPermissions, p.turn.MaxChannels = r.MaxPermissions, r.MaxChannels
}

func (p *plan) credentials(ps *problems) {
	c := p.cfg.Credentials
	secrets := c.Secrets
	if c.SecretsFile != "" {
		more, err := secretLines(c.SecretsFile)
		ps.add("credentials.secrets_file", err)
		if err == nil && len(more) == 0 {
			ps.say("credentials.secrets_file", "%s is empty", c.SecretsFile)
		}
		secrets = append(append([]string(nil), secrets...), more...)
	}
	if len(secrets) > 8 {
		ps.say("credentials.secrets", "at most 8 secrets are tried; drop the oldest")
	}
	var err error
	if len(secrets) > 0 {
		p.sources.Shared, err = credentials.NewShared(secrets...)
		ps.add("credentials.secrets", err)
	}
	if len(c.User) > 0 {
		users := make([]credentials.User, 0, len(c.User))
		for _, u := range c.User {
			users = append(users, credentials.User(u))
			p.turn.NoSHA256 = p.turn.NoSHA256 || u.SHA256 == ""
		}
		p.sources.Static, err = credentials.NewStatic(users)
		ps.add("credentials.user", err)
	}
	if len(c.TokenKey) > 0 {
		var keys []credentials.TokenKey
		for _, k := range c.TokenKey {
			raw, err := base64.StdEncoding.DecodeString(k.Key)
			if err != nil {
				ps.say("credentials.token_key", "key of %q is not base64", k.ID)
			}
			keys = append(keys, credentials.TokenKey{ID: k.ID, Key: raw})
		}
		server := c.TokenServer
		if server == "" {
			server = p.turn.Realm
		}
		p.sources.Tokens, err = credentials.NewTokens(server, keys)
		ps.add("credentials.token_key", err)
		p.turn.ThirdParty = server
	}
	p.sources.NoMD5 = c.NoMD5
	if c.NoMD5 && p.turn.NoSHA256 {
		ps.say("credentials.no_md5", "a user has no sha256 key, and MD5 is refused: nobody could use it")
	}
	if c.TTL < 0 {
		ps.say("credentials.ttl", "cannot be negative")
	}
}

func (p *plan) limit(ps *problems) {
	l := p.cfg.Limits
	for key, v := range map[string]int64{"session_kbit": l.SessionKbit, "user_kbit": l.UserKbit, "total_kbit": l.TotalKbit} {
		if v < 0 || v > 1<<40 {
			ps.say("limits."+key, "is a number of kbit/s, or 0 for no limit")
		}
	}
	const perKbit = 1000 / 8
	p.limits = limits.Config{
		Total: l.Sessions, PerUser: l.SessionsPerUser, PerAddress: l.SessionsPerAddress,
		SessionRate: l.SessionKbit * perKbit, UserRate: l.UserKbit * perKbit, TotalRate: l.TotalKbit * perKbit,
		MaxFailures: l.MaxFailures, FailureWindow: time.Duration(l.FailureWindow), BlockTime: time.Duration(l.BlockTime),
	}
	ps.add("limits", p.limits.Validate())
	if l.MaxLifetime < 0 || l.MaxAge < 0 {
		ps.say("limits", "max_lifetime and max_age cannot be negative")
	}
	p.turn.MaxLifetime, p.turn.MaxAge = time.Duration(l.MaxLifetime), time.Duration(l.MaxAge)
	p.turn.UnauthenticatedRate = l.UnauthenticatedRate
}

func (p *plan) peers(ps *problems) {
	c := policy.Config{Allow: p.cfg.Peers.Allow, Deny: p.cfg.Peers.Deny, MinPort: p.cfg.Peers.MinPort, NAT64: p.cfg.Peers.NAT64, Own: ownAddresses(p.turn.RelayAddresses)}
	pol, err := policy.New(c)
	ps.add("peers", err)
	p.turn.Peers = pol
}

// ownAddresses are the relay's: no peer is behind them.
func ownAddresses(relayed []turn.RelayAddress) []netip.Addr {
	var own []netip.Addr
	for _, r := range relayed {
		for _, a := range []netip.Addr{r.Bind, r.Advertise} {
			if a.IsValid() {
				own = append(own, a)
			}
		}
	}
	if ifs, err := net.InterfaceAddrs(); err == nil {
		for _, i := range ifs {
			if pre, err := netip.ParsePrefix(i.String()); err == nil {
				own = append(own, pre.Addr())
			}
		}
	}
	return own
}

func (p *plan) proxy(ps *problems) {
	s := p.cfg.SOCKS5
	if len(s.Listen) == 0 {
		return
	}
	if p.cfg.XMPP.Component == "" {
		ps.say("socks5.listen", "the proxy is activated over XMPP: set xmpp.component too")
	}
	for _, d := range []Duration{s.PendingTimeout, s.IdleTimeout, s.MaxAge} {
		if d < 0 {
			ps.say("socks5", "a time span cannot be negative")
		}
	}
	if s.MaxMegabytes < 0 || s.MaxMegabytes > 1<<40 || s.MaxPending < 0 || s.MaxStreams < 0 {
		ps.say("socks5", "a limit cannot be negative")
	}
	p.socks5 = socks5.Config{
		PendingTimeout: time.Duration(s.PendingTimeout), IdleTimeout: time.Duration(s.IdleTimeout), MaxAge: time.Duration(s.MaxAge),
		MaxBytes: s.MaxMegabytes * 1_000_000, MaxPending: s.MaxPending, MaxStreams: s.MaxStreams,
	}
}

func (p *plan) xmpp(ps *problems) {
	x := p.cfg.XMPP
	if x.Component == "" {
		if len(x.Domains) > 0 || x.Secret != "" || x.SecretFile != "" {
			ps.say("xmpp.component", "is missing, but other settings of xmpp are there")
		}
		return
	}
	secret, err := oneSecret("xmpp.secret", x.Secret, x.SecretFile)
	ps.add("xmpp", err)
	if x.Server == "" {
		x.Server = "127.0.0.1:5347"
	}
	if x.Host == "" {
		x.Host = x.Component
	}
	p.cfg.XMPP = x
	if p.cfg.Credentials.TTL < 0 {
		return
	}
	p.component = component.Config{Domain: x.Component, Secret: secret, Server: x.Server}
	if err != nil {
		return
	}
	// Ports are known when the listeners are bound; the rest can be judged now.
	trial := p.component
	trial.Offer = p.offer(nil, nil, nil)
	_, err = component.New(trial)
	ps.add("xmpp", err)
	for _, d := range x.Domains {
		if strings.EqualFold(d, x.Component) {
			ps.say("xmpp.domains", "%s is the component itself; name the domains whose users are to be served", d)
		}
	}
}

// offer is what XMPP users get, given what was bound.
func (p *plan) offer(bound []turn.BoundListener, proxy *component.Proxy, banned func(string) bool) component.Offer {
	o := component.Offer{
		Domains: p.cfg.XMPP.Domains, Name: p.cfg.XMPP.Name, TTL: time.Duration(p.cfg.Credentials.TTL), Proxy: proxy, Banned: banned,
	}
	if p.sources.Shared != nil {
		o.Issuer = p.sources.Shared
	}
	seen := map[component.Service]bool{}
	add := func(s component.Service) {
		s.Host = p.cfg.XMPP.Host
		if !seen[s] {
			seen[s] = true
			o.Services = append(o.Services, s)
		}
	}
	for _, b := range bound {
		port := b.Address.Port()
		switch b.Transport {
		case alloc.UDP:
			if !p.cfg.Relay.NoBinding {
				add(component.Service{Type: "stun", Port: port, Transport: "udp"})
			}
			add(component.Service{Type: "turn", Port: port, Transport: "udp"})
		case alloc.TCP:
			add(component.Service{Type: "turn", Port: port, Transport: "tcp"})
		case alloc.TLS:
			add(component.Service{Type: "turns", Port: port, Transport: "tcp"})
		case alloc.DTLS:
			add(component.Service{Type: "turns", Port: port, Transport: "udp"})
		}
	}
	return o
}

func (p *plan) share(ps *problems) {
	f := p.cfg.Fleet
	if len(f.Valkey) == 0 {
		return
	}
	for _, a := range f.Valkey {
		if _, _, err := net.SplitHostPort(a); err != nil {
			ps.say("fleet.valkey", "%q is not host:port", a)
		}
	}
	password, err := oneSecret("fleet.password", f.Password, f.PasswordFile)
	ps.add("fleet", err)
	p.fleet = &limits.ValkeyConfig{Addresses: f.Valkey, Username: f.Username, Password: password, Prefix: f.Prefix, Node: f.Node}
}

func (p *plan) rest(ps *problems) {
	c := p.cfg
	if c.Drain.Timeout < 0 {
		ps.say("drain.timeout", "cannot be negative")
	}
	p.turn.Alternates = c.Drain.Alternates
	if d := c.Discovery; d != nil {
		v := *d
		if v.PrimaryPort == 0 {
			v.PrimaryPort = 3478
		}
		if v.AlternatePort == 0 {
			v.AlternatePort = 3479
		}
		if !v.Primary.IsValid() || !v.Alternate.IsValid() || v.Primary == v.Alternate || v.Primary.Is4() != v.Alternate.Is4() || v.PrimaryPort == v.AlternatePort {
			ps.say("discovery", "needs two different addresses of one family and two different ports (RFC 5780 section 6)")
		}
		p.turn.Discovery = &turn.Discovery{Primary: v.Primary, Alternate: v.Alternate, PrimaryPort: v.PrimaryPort, AlternatePort: v.AlternatePort}
	}
	f := c.Performance
	switch f.Offload {
	case "", offload.TC, offload.XDP:
	default:
		ps.say("performance.offload", "%q is none of tc, xdp", f.Offload)
	}
	p.turn.Loops, p.turn.Coalesce, p.turn.CoalesceAbove = f.Loops, time.Duration(f.Coalesce), f.CoalesceAbove
	p.turn.ReceiveBuffer, p.turn.RelayBuffer, p.turn.Portable = f.ReceiveBuffer, f.RelayBuffer, f.Portable
	switch c.Log.Level {
	case "", "debug", "info", "warn", "error":
	default:
		ps.say("log.level", "%q is none of debug, info, warn, error", c.Log.Level)
	}
	switch c.Log.Format {
	case "", "text", "json":
	default:
		ps.say("log.format", "%q is none of text, json", c.Log.Format)
	}
	for key, j := range map[string]Journal{"records": c.Records, "access_log": c.AccessLog} {
		if j.TruncateIPv4 < 0 || j.TruncateIPv4 > 32 || j.TruncateIPv6 < 0 || j.TruncateIPv6 > 128 {
			ps.say(key, "truncate_ipv4 is from 1 to 32 bits, truncate_ipv6 from 1 to 128")
		}
	}
}

// preferred finds the addresses that this machine speaks to the world from, one of each family. Nothing is sent.
func preferred() []netip.Addr {
	var out []netip.Addr
	for _, to := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		c, err := net.Dial("udp", to)
		if err != nil {
			continue
		}
		if a, ok := c.LocalAddr().(*net.UDPAddr); ok {
			if addr := a.AddrPort().Addr().Unmap(); addr.IsValid() && !addr.IsLoopback() && !addr.IsLinkLocalUnicast() {
				out = append(out, addr)
			}
		}
		c.Close()
	}
	return out
}

// relayAddresses fills in where to relay if the configuration does not say: the addresses that are listened on by
// name; for listeners on all addresses, those of the default routes.
func relayAddresses(listeners []turn.Listener) []turn.RelayAddress {
	var out []turn.RelayAddress
	seen := map[netip.Addr]bool{}
	add := func(a netip.Addr) {
		if !seen[a] {
			seen[a] = true
			out = append(out, turn.RelayAddress{Bind: a})
		}
	}
	for _, l := range listeners {
		a := l.Address.Addr().Unmap()
		if !a.IsUnspecified() {
			add(a)
			continue
		}
		for _, p := range preferred() {
			if p.Is4() == a.Is4() {
				add(p)
			}
		}
	}
	return out
}
