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
	// IPv6 is a host without IPv4 behind a stateful firewall.
	IPv6 Kind = "IPv6 only"
)

// Kinds are all of them.
func Kinds() []Kind {
	return []Kind{Open, FullCone, Restricted, PortRestricted, Symmetric, NoUDP, OnlyHTTPS, IPv6}
}

// Path is how the two ends of a call reach each other.
type Path string

// The paths.
const (
	Direct    Path = "direct"    // both ends by their own addresses
	Reflexive Path = "reflexive" // by addresses of NATs
	Relayed   Path = "relayed"
	None      Path = "none" // no common address family
)

// Best returns the shortest path that there is between sites of two kinds, with a relay that both reach.
func Best(a, b Kind) Path {
	either := func(k Kind) bool { return a == k || b == k }
	switch {
	case either(IPv6) && a != b:
		return None
	case either(NoUDP), either(OnlyHTTPS):
		return Relayed
	case a == IPv6, a == Open && b == Open:
		return Direct
	case a == Symmetric && (b == Symmetric || b == PortRestricted), b == Symmetric && a == PortRestricted:
		return Relayed
	}
	return Reflexive
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
	case PortRestricted:
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
	case IPv6:
		return "table ip6 lab {" + input + stateful + "\n}\n"
	}
	return "table ip lab {" + body + "\n}\n"
}
