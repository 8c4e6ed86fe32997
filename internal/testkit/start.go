package testkit

import (
	"fmt"
	"strings"
	"testing"
)

// Options are what a test may ask of a server, whosever it is. The zero value is the usual one.
type Options struct {
	// Address is where it listens, 127.0.0.1 if empty; another one is for a network of [InNetwork].
	Address string
	// NoProxy, NoResumption and NoBlockList leave out SOCKS5 bytestreams (XEP-0065), stream management (XEP-0198) and block
	// lists (XEP-0191).
	NoProxy, NoResumption, NoBlockList bool
	// Rates holds clients to what Debian's configuration allows them: 10 kB/s at Prosody, and 3 kB/s after the first 20 kB at
	// ejabberd.
	Rates bool
	// Relays are the STUN and TURN servers that it tells of (XEP-0215). Users and passwords of TURN are made from Secret.
	Relays []Relay
	Secret string
}

// Relay is a STUN or TURN server.
type Relay struct {
	// Type is "stun", "turn" or "turns", and Transport "udp" or "tcp".
	Type, Transport string
	Host            string
	Port            int
}

// Start starts a server for one test, with which it ends.
func Start(t testing.TB, kind Kind, o Options) *Server {
	t.Helper()
	var without []string
	leave := func(leave bool, module map[Kind]string) {
		if leave {
			without = append(without, module[kind])
		}
	}
	leave(o.NoResumption, map[Kind]string{KindProsody: "smacks", KindEjabberd: "mod_stream_mgmt"})
	leave(o.NoBlockList, map[Kind]string{KindProsody: "blocklist", KindEjabberd: "mod_blocking"})
	if kind == KindEjabberd {
		leave(o.NoProxy, map[Kind]string{KindEjabberd: "mod_proxy65"})
		return EjabberdWith(t, EjabberdConfig{Address: o.Address, NoModules: without, Modules: o.stunDisco(), Rates: o.Rates})
	}
	cfg := ProsodyConfig{Address: o.Address, NoModules: without, NoProxy: o.NoProxy, Host: o.externalServices()}
	if o.Rates {
		cfg.Modules, cfg.Global = []string{"limits"}, `limits = { c2s = { rate = "10kb/s" } }`
	}
	return ProsodyWith(t, cfg)
}

// Installed ends the test by [Missing] if the server is not on this machine. Whoever has [InNetwork] start it asks before that.
func Installed(t testing.TB, kinds ...Kind) {
	t.Helper()
	for _, kind := range kinds {
		if kind == KindEjabberd {
			Binary(t, "erl", "ejabberd")
		} else {
			Binary(t, "prosody", "prosody")
		}
	}
}

// externalServices is for Prosody's mod_external_services.
func (o Options) externalServices() string {
	if o.Relays == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  external_service_secret = %q\n  external_services = {", o.Secret)
	for _, r := range o.Relays {
		fmt.Fprintf(&b, "\n    { type = %q; transport = %q; host = %q; port = %d;", r.Type, r.Transport, r.Host, r.Port)
		if r.secured() {
			b.WriteString(` secret = true; algorithm = "turn"`)
		}
		b.WriteString(" };")
	}
	b.WriteString("\n  }")
	return b.String()
}

// stunDisco is ejabberd's mod_stun_disco.
func (o Options) stunDisco() string {
	if o.Relays == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  mod_stun_disco:\n    access: all\n    offer_local_services: false\n    secret: %q\n    services:\n", o.Secret)
	for _, r := range o.Relays {
		fmt.Fprintf(&b, "      - {host: %q, port: %d, type: %s, transport: %s, restricted: %t}\n", r.Host, r.Port, r.Type, r.Transport, r.secured())
	}
	return b.String()
}

func (r Relay) secured() bool { return r.Type != "stun" }
