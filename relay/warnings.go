package relay

import (
	"fmt"
	"net/netip"
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
	return out
}
