package relay

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"time"
)

// Warnings are what is allowed but probably not meant. The configuration is valid.
func (c Config) Warnings() []string {
	p, err := c.plan()
	if err != nil {
		return nil
	}
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if p.sources.Shared == nil && p.sources.Static == nil && p.sources.Tokens == nil {
		say("nobody can use the relay: there are no credentials; it is a STUN server only")
	}
	if c.XMPP.Component != "" && p.sources.Shared == nil {
		say("credentials.secrets is empty: XMPP users are told of STUN only")
	}
	addrs := p.turn.RelayAddresses
	if len(addrs) == 0 {
		addrs = relayAddresses(p.turn.Listeners)
		for _, a := range addrs {
			say("relayed traffic leaves from %v, as relay.address says nothing", a.Bind)
		}
	}
	if len(addrs) == 0 {
		say("no address to relay from was found: set relay.address")
	}
	for i, a := range addrs {
		named := i < len(c.Relay.Address) && c.Relay.Address[i].AdvertiseHost != ""
		if (a.Bind.IsPrivate() || a.Bind.IsLoopback()) && !a.Advertise.IsValid() && !named {
			say("clients outside cannot reach %v: behind a NAT set relay.address.advertise or advertise_host", a.Bind)
		}
	}
	for _, pre := range c.Peers.Allow {
		if pre.Addr().IsLoopback() || pre.Overlaps(netip.MustParsePrefix("169.254.0.0/16")) {
			say("peers.allow %v lets users reach this machine's own services or a cloud's metadata", pre)
		}
	}
	if m := c.Metrics.Listen; m.IsValid() && !m.Addr().IsLoopback() {
		say("metrics.listen %v is open to everybody who can reach it", m)
	}
	if t := c.TLS; t.ACME == nil && t.Certificate != "" {
		if cert, err := tls.LoadX509KeyPair(t.Certificate, t.Key); err == nil {
			if text := expiry(&cert, time.Now()); text != "" {
				say("tls.certificate %s %s", t.Certificate, text)
			}
		}
	}
	for _, s := range [][2]string{
		{"credentials.secrets_file", c.Credentials.SecretsFile}, {"xmpp.secret_file", c.XMPP.SecretFile}, {"tls.key", c.TLS.Key},
	} {
		if exposed(s[1]) {
			say("%s: everybody on this machine can read %s: run chmod o= on it", s[0], s[1])
		}
	}
	return out
}
