package relay

import (
	"crypto/rand"
	"net/netip"
)

// Dev is a configuration for trying things out: it listens on loopback, relays to loopback only, has a fresh secret,
// and needs no file. ports 0 are free ones.
func Dev(port uint16) Config {
	lo := netip.MustParseAddr("127.0.0.1")
	return Config{
		Realm: "jingle-relay.dev",
		Listen: []Listen{
			{Transport: "udp", Address: netip.AddrPortFrom(lo, port)},
			{Transport: "tcp", Address: netip.AddrPortFrom(lo, port)},
		},
		Relay:       Relayed{Address: []RelayAddress{{Bind: lo}}, TCP: true},
		Credentials: Credentials{Secrets: []string{rand.Text() + rand.Text()}},
		// Loopback is allowed by name, the relay's own address too: everything here lives on it.
		Peers: Peers{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.PrefixFrom(lo, 32)}},
		Admin: Admin{Socket: "off"},
	}
}
