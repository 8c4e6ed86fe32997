package relay

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/jingled/jingled/relay/turn"
)

// external follows the public addresses of a relay behind 1:1 NAT by a name in the DNS.
type external struct {
	log    *slog.Logger
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	every  time.Duration

	mu    sync.Mutex
	names map[netip.Addr]string // by bound address
	known map[netip.Addr]netip.Addr
}

func newExternal(list []RelayAddress, log *slog.Logger) *external {
	e := &external{log: log, lookup: net.DefaultResolver.LookupNetIP, every: time.Minute, known: map[netip.Addr]netip.Addr{}}
	e.set(list)
	return e
}

func (e *external) set(list []RelayAddress) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.names = map[netip.Addr]string{}
	for _, a := range list {
		if a.AdvertiseHost != "" {
			e.names[a.Bind] = a.AdvertiseHost
		}
	}
}

// apply fills in what is known.
func (e *external) apply(list []turn.RelayAddress) []turn.RelayAddress {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := append([]turn.RelayAddress(nil), list...)
	for i := range out {
		if a, ok := e.known[out[i].Bind]; ok && e.names[out[i].Bind] != "" {
			out[i].Advertise = a
		}
	}
	return out
}

func (e *external) run(ctx context.Context, srv *turn.Server) error {
	tick := time.NewTicker(e.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			e.refresh(ctx, srv)
		}
	}
}

// advertiser is what is told of a change; the TURN server is one.
type advertiser interface {
	SetAdvertise(bind, advertise netip.Addr) bool
}

// refresh looks every name up, and tells the server what has changed. A name that cannot be looked up changes nothing.
func (e *external) refresh(ctx context.Context, srv advertiser) {
	e.mu.Lock()
	names := make(map[netip.Addr]string, len(e.names))
	maps.Copy(names, e.names)
	e.mu.Unlock()
	for bind, name := range names {
		network := "ip4"
		if bind.Is6() {
			network = "ip6"
		}
		lctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		found, err := e.lookup(lctx, network, name)
		cancel()
		if err != nil || len(found) == 0 {
			e.log.Warn("the relay's public address cannot be looked up; the last one stays", "name", name, "error", err)
			continue
		}
		e.mu.Lock()
		was := e.known[bind]
		stays := false
		for _, a := range found { // of several addresses the one in use is kept
			stays = stays || a.Unmap() == was
		}
		if !stays {
			e.known[bind] = found[0].Unmap()
		}
		e.mu.Unlock()
		if !stays {
			e.log.Info("public address", "bind", bind, "advertise", found[0].Unmap(), "was", was)
			srv.SetAdvertise(bind, found[0].Unmap())
		}
	}
}
