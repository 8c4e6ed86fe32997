package daemon

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/jingled/jingled/filetransfer/httpupload"
	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/ice/extdisco"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp/disco"
)

const (
	// refreshAfter is how often the server is asked again where nothing expires earlier.
	refreshAfter = time.Hour
	// expiryMargin is how long before the end of a credential's life a new one is asked for: a call that begins now
	// should be able to last.
	expiryMargin = 5 * time.Minute
	minRefresh   = 30 * time.Second
	// unsureLife is how long credentials are used that have expired by our clock when they come: the server has just made
	// them, so our clock is wrong, or its is.
	unsureLife   = 2 * expiryMargin
	discoverTime = 20 * time.Second
	maxRelays    = 16
	// relayPatience is how long a call waits for the first search.
	relayPatience = 3 * time.Second
)

// relays are what the server offers to get through NATs: STUN and TURN servers (XEP-0215) and SOCKS5 proxies
// (XEP-0065 section 4).
type relays struct {
	mu       sync.Mutex
	services []extdisco.Service
	proxies  []s5b.StreamHost
	uploads  []httpupload.Service
	hosts    []jid.JID          // components that have services
	cancel   context.CancelFunc // of the search that goes on
	found    chan struct{}      // closed when the search has been through once
	running  sync.WaitGroup
}

// search looks for relays now and again until ctx or the connection ends. It returns at once.
func (a *account) searchRelays(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	a.relays.mu.Lock()
	if a.relays.cancel != nil {
		a.relays.cancel()
	}
	found := a.relays.found
	if found == nil || a.relays.cancel != nil { // else somebody waits for it already
		found = make(chan struct{})
	}
	a.relays.cancel, a.relays.found = cancel, found
	a.relays.mu.Unlock()
	a.relays.running.Go(func() {
		defer cancel()
		a.findProxies(ctx)
		for first := true; ; first = false {
			wait := a.findServices(ctx)
			if first {
				close(found)
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
		}
	})
}

// awaitRelays waits a moment, after a login, until it is known which relays there are. Between many NATs a call fails
// without.
func (a *account) awaitRelays(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, relayPatience)
	defer cancel()
	a.relays.mu.Lock()
	if a.relays.found == nil {
		a.relays.found = make(chan struct{})
	}
	found := a.relays.found
	a.relays.mu.Unlock()
	select {
	case <-found:
	case <-ctx.Done():
	}
}

// stopSearch ends what searchRelays began.
func (a *account) stopSearch() {
	a.relays.mu.Lock()
	if a.relays.cancel != nil {
		a.relays.cancel()
	}
	a.relays.mu.Unlock()
	a.relays.running.Wait()
}

// findServices asks the server, and the components of it that have them, for STUN and TURN servers, and returns when to
// ask again.
func (a *account) findServices(ctx context.Context) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, discoverTime)
	defer cancel()
	a.relays.mu.Lock()
	from := append([]jid.JID{""}, a.relays.hosts...)
	a.relays.mu.Unlock()
	var found []extdisco.Service
	for _, host := range from {
		services, err := a.client.ExternalServices(ctx, host, "")
		if err != nil {
			a.log.Debug("external services", "of", host.String(), "err", err)
		}
		found = append(found, services...)
	}
	found, wait, clocks := leased(found, time.Now())
	if !clocks {
		a.log.Warn("the server gives credentials that have expired by our clock: one of the clocks is wrong")
	}
	a.relays.mu.Lock()
	a.relays.services = found[:min(len(found), maxRelays)]
	a.relays.mu.Unlock()
	return wait
}

// iceServers returns the STUN and TURN servers that can be used now.
func (a *account) iceServers() []agent.Server {
	a.relays.mu.Lock()
	defer a.relays.mu.Unlock()
	var out []agent.Server
	for _, s := range a.relays.services {
		if uri := s.URI(); uri != "" && s.Valid(time.Now()) {
			out = append(out, agent.Server{URI: uri, Username: s.Username, Password: s.Password})
		}
	}
	return out
}

// iceConfig is how a path to a peer is looked for.
func (a *account) iceConfig(peer jid.JID) agent.Config {
	cfg := agent.Config{Servers: a.iceServers(), Names: a.client, LoopbackOnly: a.d.cfg.Loopback, Loopback: a.near(peer), Log: a.log}
	cfg.Proxy = a.proxy()
	return cfg
}

// proxy connects to relays by the account's proxy; nil if it has none.
func (a *account) proxy() func(ctx context.Context, hostPort string) (net.Conn, error) {
	if !a.client.HasProxy() {
		return nil
	}
	return func(ctx context.Context, hostPort string) (net.Conn, error) {
		return a.client.DialByProxy(ctx, hostPort, netip.AddrPort{})
	}
}

// findProxies looks among the server's services for SOCKS5 proxies and asks them where they listen.
func (a *account) findProxies(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, discoverTime)
	defer cancel()
	items, err := disco.QueryItems(ctx, a.client, jid.JID(a.cfg.JID.Domain()), "")
	if err != nil {
		a.log.Debug("services of the server", "err", err)
		return
	}
	var proxies []s5b.StreamHost
	var hosts []jid.JID
	for _, item := range items.Items[:min(len(items.Items), maxRelays)] {
		info, err := disco.QueryInfo(ctx, a.client, item.JID, "")
		if err == nil && info.Has(extdisco.NS) {
			hosts = append(hosts, item.JID)
		}
		if err == nil {
			a.relays.noteUploadService(item.JID, info)
		}
		if err != nil || !slices.ContainsFunc(info.Identities, hasProxy) {
			continue
		}
		reply, err := a.client.Query(ctx, item.JID, "get", s5b.Query{}.Element())
		if err != nil || reply == nil {
			continue
		}
		p, err := s5b.ParseQuery(reply)
		if q, ok := p.(s5b.Query); err == nil && ok {
			proxies = append(proxies, q.StreamHosts...)
		}
	}
	a.relays.mu.Lock()
	a.relays.proxies, a.relays.hosts = proxies[:min(len(proxies), maxRelays)], hosts
	a.relays.mu.Unlock()
}

func hasProxy(i disco.Identity) bool { return i.Category == "proxy" && i.Type == "bytestreams" }

// streamHosts returns the proxies that were found.
func (a *account) streamHosts() []s5b.StreamHost {
	a.relays.mu.Lock()
	defer a.relays.mu.Unlock()
	return slices.Clone(a.relays.proxies)
}

// isProxy reports whether an address is one of our proxies'.
func (a *account) isProxy(p netip.AddrPort) bool {
	return slices.ContainsFunc(a.streamHosts(), func(h s5b.StreamHost) bool {
		ip, err := netip.ParseAddr(h.Host)
		return err == nil && ip.Unmap() == p.Addr().Unmap() && cmp.Or(h.Port, s5b.DefaultPort) == p.Port()
	})
}
