// Package natlab makes networks with NATs of every kind out of Linux network namespaces, for tests of calls through them.
//
// A lab lives inside a network of testkit.InNetwork, which stands for the internet. Each [Site] is a router in a namespace of
// its own and a host behind it in another one. Namespaces have no names: they end with the processes that hold them.
package natlab

// Kind is how a site's router treats packets.
type Kind string

// The kinds (RFC 4787 sections 4 and 5; the older names are RFC 3489's).
const (
	// Open is a host with an address that everybody reaches.
	Open Kind = "open"
	// FullCone maps and filters independently of the endpoint.
	FullCone Kind = "full cone"
	// Restricted maps independently of the endpoint and lets in packets of addresses that were sent to.
	Restricted Kind = "restricted"
	// PortRestricted maps independently of the endpoint and lets in packets of addresses and ports that were sent to.
	PortRestricted Kind = "port-restricted"
	// Symmetric maps and filters by address and port.
	Symmetric Kind = "symmetric"
	// NoUDP is port-restricted and drops UDP.
	NoUDP Kind = "UDP blocked"
	// OnlyHTTPS lets out TCP to port 443 and nothing else.
	OnlyHTTPS Kind = "TCP 443 only"
	// DoubleNAT is a port-restricted NAT at home behind another one of the provider.
	DoubleNAT Kind = "double NAT"
	// DualStack is a host with IPv4 behind a port-restricted NAT and IPv6 behind a stateful firewall.
	DualStack Kind = "dual stack"
	// IPv6 is a host without IPv4 behind a stateful firewall. All others have no IPv6.
	IPv6 Kind = "IPv6 only"
)

// Kinds are all of them.
func Kinds() []Kind {
	return []Kind{Open, FullCone, Restricted, PortRestricted, DoubleNAT, Symmetric, NoUDP, OnlyHTTPS, DualStack, IPv6}
}

// Path is how the two ends of a call reach each other.
type Path string

// The paths.
const (
	Direct    Path = "direct"    // both ends by their own addresses
	Reflexive Path = "reflexive" // by addresses of NATs
	Relayed   Path = "relayed"
)

// Best returns the shortest path that there is between sites of two kinds, with a relay that both reach.
func Best(a, b Kind) Path {
	either := func(k Kind) bool { return a == k || b == k }
	switch {
	case a == DualStack && b == DualStack:
		return Reflexive // by IPv4; IPv6 needs holes in firewalls too, and what works first is taken
	case six(a) && six(b):
		return Direct
	case either(IPv6):
		return Relayed // they have no family in common
	case either(NoUDP), either(OnlyHTTPS):
		return Relayed
	case a == Open && b == Open:
		return Direct
	case a == Symmetric && picky(b), b == Symmetric && picky(a):
		return Relayed
	}
	return Reflexive
}

// six reports whether a host has IPv6.
func six(k Kind) bool { return k == IPv6 || k == DualStack }

// picky reports whether only ports that were sent to may answer, by IPv4.
func picky(k Kind) bool {
	return k == PortRestricted || k == Symmetric || k == DoubleNAT || k == DualStack
}

// Twins are two hosts behind one router.
type Twins string

// The twins.
const (
	// SameNetwork is two hosts of one home.
	SameNetwork Twins = "one network"
	// Hairpin is two hosts that are kept apart, each with a public address of its own, by which they reach each other.
	Hairpin Twins = "apart, with hairpinning"
	// NoHairpin is two hosts that are kept apart behind one port-restricted NAT.
	NoHairpin Twins = "apart, without hairpinning"
)

// AllTwins are all of them.
func AllTwins() []Twins { return []Twins{SameNetwork, Hairpin, NoHairpin} }

// Best returns the shortest path that there is.
func (w Twins) Best() Path {
	switch w {
	case SameNetwork:
		return Direct
	case Hairpin:
		return Reflexive
	}
	return Relayed
}

// twinRules is what nft loads on the router of twins. It has the addresses 1.1.1.1 and, for hairpinning, 1.1.1.2; the hosts are
// 2.2.2.2 and 3.3.3.3.
func twinRules(w Twins) string {
	const input = `
  chain input { type filter hook input priority 0; iifname "wan" ct state new drop; }`
	switch w {
	case Hairpin:
		return "table ip lab {" + input + `
  chain pre { type nat hook prerouting priority -100; ip daddr 1.1.1.1 dnat to 2.2.2.2; ip daddr 1.1.1.2 dnat to 3.3.3.3; }
  chain post { type nat hook postrouting priority 100; ip saddr 2.2.2.2 snat to 1.1.1.1; ip saddr 3.3.3.3 snat to 1.1.1.2; }
  chain forward { type filter hook forward priority 0; ct status dnat accept; iifname != "wan" oifname != "wan" drop; }
}
`
	case NoHairpin:
		return "table ip lab {" + input + `
  chain post { type nat hook postrouting priority 100; oifname "wan" masquerade; }
  chain forward { type filter hook forward priority 0; iifname "wan" ct state new drop; iifname != "wan" oifname != "wan" drop; }
}
`
	}
	return "table ip lab {" + input + `
  chain post { type nat hook postrouting priority 100; oifname "wan" masquerade; }
  chain forward { type filter hook forward priority 0; iifname "wan" ct state new drop; }
}
`
}

// rules is what nft loads on a router. The router's own address is 1.1.1.1 there, the host's 2.2.2.2.
func rules(k Kind) string {
	const input = `
  chain input { type filter hook input priority 0; iifname "wan" ct state new drop; }`
	const stateful = `
  chain forward { type filter hook forward priority 0; iifname "wan" ct state new drop; }`
	const masquerade = `
  chain post { type nat hook postrouting priority 100; oifname "wan" masquerade; }`
	body := ""
	switch k {
	case Open:
	case FullCone:
		body = `
  chain post { type nat hook postrouting priority 100; oifname "wan" snat to 1.1.1.1; }
  chain pre { type nat hook prerouting priority -100; iifname "wan" dnat to 2.2.2.2; }`
	case Restricted:
		body = `
  set met { type ipv4_addr; flags dynamic,timeout; timeout 5m; }
  chain forward { type filter hook forward priority 0; oifname "wan" add @met { ip daddr }; }
  chain post { type nat hook postrouting priority 100; oifname "wan" snat to 1.1.1.1; }
  chain pre { type nat hook prerouting priority -100; iifname "wan" ip saddr @met dnat to 2.2.2.2; }` + input
	case PortRestricted, DoubleNAT:
		body = masquerade + input + stateful
	case Symmetric:
		body = `
  chain post { type nat hook postrouting priority 100; oifname "wan" masquerade fully-random; }` + input + stateful
	case NoUDP:
		body = masquerade + input + `
  chain forward { type filter hook forward priority 0; meta l4proto udp drop; iifname "wan" ct state new drop; }`
	case OnlyHTTPS:
		body = masquerade + input + `
  chain forward { type filter hook forward priority 0; policy drop; oifname "wan" tcp dport 443 accept; ct state established,related accept; }`
	case DualStack:
		return rules(PortRestricted) + rules(IPv6)
	case IPv6:
		return "table ip6 lab {" + input + stateful + "\n}\n"
	}
	return "table ip lab {" + body + "\n}\n"
}
