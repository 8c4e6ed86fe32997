// Package policy decides which peers a relay may reach.
//
// By default only public unicast addresses are reachable: everything that IANA lists as special-purpose is denied, and
// so is every IPv6 address that carries a denied IPv4 address inside. Ports below 1024 are refused. An operator allows
// exceptions by name of the prefix.
package policy

import (
	"errors"
	"fmt"
	"net/netip"
)

// Config makes a Policy. The zero value is the safe default.
type Config struct {
	// Allow names prefixes that may be reached although they are denied by default, e.g. 10.0.0.0/8. Shorter ones than
	// /8 (IPv6: /7) are refused: "0.0.0.0/0" is not a name.
	Allow []netip.Prefix
	// Deny names further prefixes. Deny wins over Allow when it is as long or longer.
	Deny []netip.Prefix
	// Own are the relay's own addresses: never reachable, unless in Allow as a single address. The relay's live
	// relayed addresses are not this policy's matter.
	Own []netip.Addr
	// MinPort is the lowest peer port. Default 1024; 1 allows all.
	MinPort uint16
	// NAT64 are the operator's own NAT64 prefixes, of length 32, 40, 48, 56, 64 or 96 (RFC 6052 section 2.2). The
	// well-known ones are known.
	NAT64 []netip.Prefix
}

// Policy judges peers. It is immutable and safe for concurrent use.
type Policy struct {
	allow, deny []netip.Prefix
	own         map[netip.Addr]bool
	minPort     uint16
	nat64       []netip.Prefix
}

// ErrConfig is wrapped by what New says of a bad Config.
var ErrConfig = errors.New("policy: bad configuration")

// New checks a Config.
func New(c Config) (*Policy, error) {
	p := &Policy{own: map[netip.Addr]bool{}, minPort: c.MinPort, nat64: append(wellKnownNAT64(), c.NAT64...)}
	if p.minPort == 0 {
		p.minPort = 1024
	}
	for _, x := range c.Allow {
		if !x.IsValid() {
			return nil, fmt.Errorf("%w: allow: invalid prefix", ErrConfig)
		}
		x = canonicalPrefix(x)
		// A prefix this short opens several kinds of addresses at once; nobody means that.
		if x.Addr().Is4() && x.Bits() < 8 || x.Addr().Is6() && x.Bits() < 7 {
			return nil, fmt.Errorf("%w: allow %v: name the networks that are meant (/8 or longer, IPv6 /7)", ErrConfig, x)
		}
		p.allow = append(p.allow, x)
	}
	for _, x := range c.Deny {
		if !x.IsValid() {
			return nil, fmt.Errorf("%w: deny: invalid prefix", ErrConfig)
		}
		p.deny = append(p.deny, canonicalPrefix(x))
	}
	for _, x := range c.NAT64 {
		switch x.Bits() {
		case 32, 40, 48, 56, 64, 96:
			if x.Addr().Is6() && !x.Addr().Is4In6() {
				continue
			}
		}
		return nil, fmt.Errorf("%w: %v is no NAT64 prefix (RFC 6052 section 2.2)", ErrConfig, x)
	}
	for _, a := range c.Own {
		p.own[a.Unmap().WithZone("")] = true
	}
	return p, nil
}

// Default is the policy of the zero Config.
func Default() *Policy {
	p, _ := New(Config{}) // the zero Config has nothing to refuse
	return p
}

func canonicalPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Masked()
	}
	return p.Masked()
}

// Allowed judges a peer address and port; port 0 stands for any.
func (p *Policy) Allowed(peer netip.AddrPort) bool {
	return (peer.Port() == 0 || p.AllowedPort(peer.Port())) && p.AllowedAddr(peer.Addr())
}

// AllowedPort judges a port.
func (p *Policy) AllowedPort(port uint16) bool { return port >= p.minPort }

// AllowedAddr judges an address in whatever form it comes: it and every address inside it must be allowed.
func (p *Policy) AllowedAddr(a netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	if !p.allowedPlain(a) {
		return false
	}
	var inner [4]netip.Addr
	for _, x := range p.embedded(a, inner[:0]) {
		if !p.allowedPlain(x) {
			return false
		}
	}
	return true
}

// allowedPlain judges one address without looking inside. The longest prefix decides; a tie denies.
func (p *Policy) allowedPlain(a netip.Addr) bool {
	allow := longest(p.allow, a)
	deny := longest(p.deny, a)
	if deny >= 0 && deny >= allow {
		return false
	}
	if p.own[a] {
		return allow == a.BitLen()
	}
	return allow >= 0 || !Special(a)
}

func longest(list []netip.Prefix, a netip.Addr) int {
	best := -1
	for _, x := range list {
		if x.Bits() > best && x.Contains(a) {
			best = x.Bits()
		}
	}
	return best
}
