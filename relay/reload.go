package relay

import (
	"crypto/tls"
	"reflect"
	"strings"
	"time"
)

// Reload takes a new configuration: credentials, limits, peers, certificates, alternates and what XMPP users get
// change at once, and no packet is lost by it. It returns the settings that differ but need a restart; an error
// means that nothing was changed.
func (r *Relay) Reload(cfg Config) (restart []string, err error) {
	p, err := cfg.plan()
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.plan
	restart = fixed(&old.cfg, &p.cfg)
	if old.component.Secret != p.component.Secret {
		restart = append(restart, "xmpp.secret")
	}
	// What needs a restart stays as it was.
	p.turn.Listeners, p.cfg.Listen = old.turn.Listeners, old.cfg.Listen
	p.component.Domain, p.component.Server, p.component.Secret = old.component.Domain, old.component.Server, old.component.Secret
	p.cfg.XMPP.Component, p.cfg.XMPP.Server = old.cfg.XMPP.Component, old.cfg.XMPP.Server
	p.cfg.SOCKS5.Listen = old.cfg.SOCKS5.Listen

	if cfg.TLS.ACME == nil && old.cfg.TLS.ACME == nil {
		if err := r.certs.load(cfg.TLS); err != nil {
			return nil, err
		}
		r.certs.warn(time.Now())
	}
	r.external.set(cfg.Relay.Address)
	if err := r.turn.Reload(r.settings(p)); err != nil {
		return nil, err
	}
	if err := r.limits.Set(p.limits); err != nil {
		return nil, err
	}
	r.authority.Set(p.sources)
	if c := r.component.Load(); c != nil {
		if err := c.SetOffer(r.offer(p, r.addrs)); err != nil {
			return nil, err
		}
	}
	r.plan = p
	r.log.Info("configuration read again", "needs_restart", strings.Join(restart, ", "))
	return restart, nil
}

// fixed names the sections that differ and cannot be changed while the relay runs.
func fixed(a, b *Config) []string {
	var out []string
	for _, s := range []struct {
		name string
		a, b any
	}{
		{"listen", a.Listen, b.Listen},
		{"relay.min_port", a.Relay.MinPort, b.Relay.MinPort},
		{"relay.max_port", a.Relay.MaxPort, b.Relay.MaxPort},
		{"tls.acme", a.TLS.ACME, b.TLS.ACME},
		{"socks5", a.SOCKS5, b.SOCKS5},
		{"xmpp.component", a.XMPP.Component, b.XMPP.Component},
		{"xmpp.server", a.XMPP.Server, b.XMPP.Server},
		{"fleet", a.Fleet, b.Fleet},
		{"discovery", a.Discovery, b.Discovery},
		{"performance", a.Performance, b.Performance},
		{"metrics", a.Metrics, b.Metrics},
		{"admin", a.Admin, b.Admin},
		{"log", a.Log, b.Log},
		{"records", a.Records, b.Records},
		{"access_log", a.AccessLog, b.AccessLog},
	} {
		if !reflect.DeepEqual(s.a, s.b) {
			out = append(out, s.name)
		}
	}
	return out
}

func fleetTLS() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }
