// Package portmap asks a router to let a TCP port in, so that peers behind other routers reach us: by PCP (RFC 6887), NAT-PMP
// (RFC 6886) or UPnP IGD, whichever answers first.
//
// Nobody waits for it. A mapping is renewed while it is needed and removed in the end; a router that forgets us is asked again.
package portmap

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"
)

// Config says how a mapping is kept. The zero value is the default.
type Config struct {
	// Lifetime is how long a router is asked to keep a mapping (default 1 h); it is renewed after half of it. Retry is how
	// long to wait after every way has failed (default 10 min).
	Lifetime, Retry time.Duration
	// Router returns the router's address and port for PCP and NAT-PMP; nil finds it. Gateways finds routers by UPnP; nil
	// searches the local network for them.
	Router   func() (netip.AddrPort, error)
	Gateways func(context.Context) ([]Gateway, error)
	// Log may be nil.
	Log *slog.Logger
}

// errNoRouter says that no router could be asked.
var errNoRouter = errors.New("no router lets ports in")

// mapping is what a router has agreed to.
type mapping struct {
	external netip.AddrPort
	lifetime time.Duration
	remove   func(context.Context) error
}

// The time that one way may take, and the removal at the end.
const (
	wayTime    = 5 * time.Second
	removeTime = 3 * time.Second
)

// Keep maps a TCP port until ctx ends and returns when the mapping is removed. told is given the address that the port has
// outside, whenever that changes; the zero value says that there is none.
func Keep(ctx context.Context, port uint16, told func(netip.AddrPort), cfg Config) {
	if cfg.Lifetime <= 0 {
		cfg.Lifetime = time.Hour
	}
	if cfg.Retry <= 0 {
		cfg.Retry = 10 * time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Router == nil {
		cfg.Router = router
	}
	if cfg.Gateways == nil {
		cfg.Gateways = search
	}
	var had netip.AddrPort
	var last *mapping
	defer func() {
		told(netip.AddrPort{})
		if last == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTime)
		defer cancel()
		if err := last.remove(ctx); err != nil {
			cfg.Log.Debug("a port stays mapped until its time is over", "err", err)
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		m, err := cfg.ask(ctx, port)
		wait := cfg.Retry
		now := netip.AddrPort{}
		if err != nil {
			cfg.Log.Debug("no router lets a port in", "port", port, "err", err)
		} else {
			// A router may give less time than was asked for, or none at all.
			last, now, wait = m, m.external, max(min(m.lifetime, cfg.Lifetime)/2, min(cfg.Lifetime, time.Minute))
			if !public(now.Addr()) {
				cfg.Log.Info("the router has a router before it", "external", now.String())
				now = netip.AddrPort{}
			}
		}
		if now != had {
			had = now
			told(now)
		}
		timer.Reset(wait)
	}
}

// public reports whether an address means the same to everybody: not one behind another NAT (RFC 6598, too).
func public(a netip.Addr) bool {
	shared := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10)
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}

// ask tries one way after the other.
func (cfg *Config) ask(ctx context.Context, port uint16) (*mapping, error) {
	var failures []error
	for _, way := range []func(context.Context, *Config, uint16) (*mapping, error){byPCP, byPMP, byUPnP} {
		ctx, cancel := context.WithTimeout(ctx, wayTime)
		m, err := way(ctx, cfg, port)
		cancel()
		if err == nil {
			return m, nil
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(append([]error{errNoRouter}, failures...)...)
}
