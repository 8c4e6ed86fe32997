package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/stun/v4"
	"golang.org/x/sys/unix"
)

const (
	inFlight    = 64
	resendAfter = 500 * time.Millisecond
	maxTries    = 8
)

// Generator drives one server. One goroutine at a time, which should own its thread.
type Generator struct {
	cfg     Config
	cred    credential
	clients []client
	toSrv   *udp // the clients' side
	toRelay *udp // the peers' side
	streams []*stream
	epfd    int
	direct  bool
	msg     stun.Message
	run     uint32
	samples []uint32
}

// New opens the generator's sockets in the network namespace of the calling thread.
func New(cfg Config) (*Generator, error) {
	if !cfg.Server.Addr().Is4() || cfg.Clients.Bits() != 16 || cfg.Peers.Bits() != 16 || !cfg.Clients.Addr().Is4() || !cfg.Peers.Addr().Is4() {
		return nil, errors.New("loadgen: needs an IPv4 server and IPv4 prefixes of 16 bits")
	}
	g := &Generator{cfg: cfg, epfd: -1, cred: credential{user: cfg.Username, password: cfg.Password}}
	var err error
	if g.toSrv, err = openUDP(cfg.Device); err != nil {
		return nil, err
	}
	if g.toRelay, err = openUDP(cfg.Device); err != nil {
		g.toSrv.close()
		return nil, err
	}
	return g, nil
}

// Close ends all sockets. The server's allocations stay until they expire.
func (g *Generator) Close() {
	g.toSrv.close()
	g.toRelay.close()
	g.closeStreams()
}

// Ports are those of the clients' and the peers' socket: a bare forwarder must know them.
func (g *Generator) Ports() (clients, peers uint16) { return g.toSrv.port, g.toRelay.port }

// AwaitServer asks with Binding requests until the server answers or ctx ends.
func (g *Generator) AwaitServer(ctx context.Context) error {
	for {
		if g.ping(50 * time.Millisecond) {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("loadgen: no answer from %v: %w", g.cfg.Server, ctx.Err())
		}
	}
}

func (g *Generator) ping(wait time.Duration) bool {
	u := g.toSrv
	m := &g.msg
	m.Reset()
	m.Type, m.TransactionID = stun.BindingRequest, transaction(0, asked, 0)
	m.WriteHeader()
	n := copy(u.slot()[:], m.Raw)
	u.queue(hosts(g.cfg.Clients, 0), g.cfg.Server.Addr().As4(), g.cfg.Server.Port(), n, n)
	// Nobody listening is an error, of this send or of the next.
	if u.flush() != nil {
		time.Sleep(wait)
		return false
	}
	fds := []unix.PollFd{{Fd: int32(u.fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, int(wait.Milliseconds())); err != nil || n == 0 {
		return false
	}
	return u.receive() > 0
}

// Open makes n allocations over UDP, each with a channel to a peer of its own.
func (g *Generator) Open(n int) (Opened, error) {
	if n < 1 || n > maxClients {
		return Opened{}, fmt.Errorf("loadgen: %d clients", n)
	}
	g.clients = make([]client, n)
	if g.cfg.Raw {
		for i := range g.clients {
			port := g.cfg.RawPeers.Port() + uint16(i%max(1, g.cfg.RawPorts))
			g.clients[i] = client{at: ready, relay: netip.AddrPortFrom(g.cfg.RawPeers.Addr(), port)}
		}
		return Opened{}, nil
	}
	u := g.toSrv
	send := func(i int) error {
		cl := &g.clients[i]
		if err := g.cred.request(&g.msg, i, cl, g.peer(i)); err != nil {
			return err
		}
		b := u.slot()
		if b == nil {
			if err := u.flush(); err != nil {
				return err
			}
			b = u.slot()
		}
		k := copy(b[:], g.msg.Raw)
		u.queue(hosts(g.cfg.Clients, i), g.cfg.Server.Addr().As4(), g.cfg.Server.Port(), k, k)
		cl.sent = monotonic()
		return nil
	}
	receive := func(done func(i int) error) error {
		for i := range u.receive() {
			b, _ := u.packet(i)
			who, err := g.cred.answer(&g.msg, b, g.clients)
			if err != nil {
				return err
			}
			if who >= 0 {
				if err := done(who); err != nil {
					return err
				}
			}
		}
		return nil
	}
	begun := time.Now()
	if err := g.advance(made, send, receive, u.flush); err != nil {
		return Opened{}, err
	}
	wall := time.Since(begun)
	for i := range g.clients {
		g.clients[i].at = bound
	}
	if err := g.advance(ready, send, receive, u.flush); err != nil {
		return Opened{}, err
	}
	return Opened{Allocations: n, Wall: wall}, nil
}

// OpenDirect lets n clients and their peers send to each other without a server: what the generator itself costs.
func (g *Generator) OpenDirect(n int) error {
	if n < 1 || n > maxClients || !g.cfg.Raw {
		return fmt.Errorf("loadgen: %d clients, raw %v", n, g.cfg.Raw)
	}
	g.clients = make([]client, n)
	g.direct = true
	for i := range g.clients {
		g.clients[i] = client{at: ready, relay: netip.AddrPortFrom(netip.AddrFrom4(hosts(g.cfg.Clients, i)), g.toSrv.port)}
	}
	return nil
}

func (g *Generator) peer(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4(hosts(g.cfg.Peers, i)), g.toRelay.port)
}

// advance brings every client to a stage, so many of them at a time.
func (g *Generator) advance(to stage, send func(int) error, receive func(func(int) error) error, flush func() error) error {
	next, active := 0, map[int]bool{}
	checked := monotonic()
	for next < len(g.clients) || len(active) > 0 {
		for next < len(g.clients) && len(active) < inFlight {
			active[next] = true
			if err := send(next); err != nil {
				return err
			}
			next++
		}
		if err := flush(); err != nil {
			return err
		}
		err := receive(func(i int) error {
			g.clients[i].tries = 0
			if g.clients[i].at == to {
				delete(active, i)
				return nil
			}
			return send(i)
		})
		if err != nil {
			return err
		}
		if now := monotonic(); now-checked > uint64(resendAfter/4) {
			checked = now
			for i := range active {
				cl := &g.clients[i]
				if now-cl.sent < uint64(resendAfter) {
					continue
				}
				if cl.tries++; cl.tries == maxTries {
					return fmt.Errorf("loadgen: client %d gets no answer in stage %d", i, cl.at)
				}
				if err := send(i); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
