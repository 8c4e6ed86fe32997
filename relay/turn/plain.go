package turn

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/jingled/jingled/relay/turn/alloc"
)

// plainIO is the portable packet path: Go's own sockets, one reader per socket, the shard's lock around each packet.
type plainIO struct {
	sh        *shard
	wg        sync.WaitGroup
	listeners map[netip.AddrPort]*net.UDPConn
	relays    map[*net.UDPConn]bool
	closed    bool
	failed    uint64
	toPeers   uint64
	toClients uint64
}

func newPlainIO(sh *shard) *plainIO {
	return &plainIO{sh: sh, listeners: map[netip.AddrPort]*net.UDPConn{}, relays: map[*net.UDPConn]bool{}}
}

func udpNetwork(a netip.Addr) string {
	if a.Is4() {
		return "udp4"
	}
	return "udp6"
}

func (p *plainIO) open(a netip.AddrPort, buffer int) (*net.UDPConn, error) {
	c, err := net.ListenUDP(udpNetwork(a.Addr()), net.UDPAddrFromAddrPort(a))
	if err != nil {
		return nil, err
	}
	if buffer > 0 {
		// The system may give less; that costs bursts, not correctness.
		_ = c.SetReadBuffer(buffer)
		_ = c.SetWriteBuffer(buffer)
	}
	return c, nil
}

func (p *plainIO) listen(a netip.AddrPort, _ bool) (netip.AddrPort, error) {
	c, err := p.open(a, p.sh.srv.cfg.ReceiveBuffer)
	if err != nil {
		return a, err
	}
	a = unmap(c.LocalAddr().(*net.UDPAddr).AddrPort())
	p.listeners[a] = c
	return a, nil
}

func (p *plainIO) bind(r *alloc.Relay) error {
	c, err := p.open(r.Bind, p.sh.srv.cfg.RelayBuffer)
	if err != nil {
		return err
	}
	r.Attach = c
	p.relays[c] = true
	p.wg.Go(func() { p.readRelay(r, c) })
	return nil
}

func (p *plainIO) unbind(r *alloc.Relay) {
	if c, ok := r.Attach.(*net.UDPConn); ok {
		c.Close()
		delete(p.relays, c)
		r.Attach = nil
	}
}

func (p *plainIO) path(server netip.AddrPort) any {
	if c := p.listeners[server]; c != nil {
		return c
	}
	return nil
}

func (p *plainIO) toPeer(r *alloc.Route) {
	c, ok := r.Relay.Attach.(*net.UDPConn)
	if !ok {
		return
	}
	p.toPeers++
	if _, err := c.WriteToUDPAddrPort(r.Payload, r.Peer); err != nil {
		p.failed++
	}
}

func (p *plainIO) control(server, client netip.AddrPort, b []byte) {
	if c := p.listeners[server]; c != nil {
		if _, err := c.WriteToUDPAddrPort(b, client); err != nil {
			p.failed++
		}
	}
}

func (p *plainIO) flush() {}

func (p *plainIO) wake() {}

func (p *plainIO) close() {
	if p.closed {
		return
	}
	p.closed = true
	for _, c := range p.listeners {
		c.Close()
	}
	for c := range p.relays {
		c.Close()
	}
}

func (p *plainIO) run(ctx context.Context) {
	for a, c := range p.listeners {
		p.wg.Go(func() { p.readListener(a, c) })
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case <-ctx.Done():
			done = true
		case now := <-tick.C:
			p.sh.mu.Lock()
			p.sh.expire(now)
			p.sh.mu.Unlock()
		}
	}
	// Readers end with their sockets; sessions end first, so that clients' records are complete.
	p.sh.shutdown()
	p.wg.Wait()
}

func (p *plainIO) readListener(local netip.AddrPort, c *net.UDPConn) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			if p.over(err) {
				return
			}
			continue
		}
		ft := alloc.FiveTuple{Client: unmap(from), Server: local}
		p.sh.mu.Lock()
		p.sh.datagram(time.Now(), ft, p.sh.table.Lookup(ft), buf[:n:n], true)
		p.sh.flush()
		p.sh.mu.Unlock()
	}
}

func (p *plainIO) readRelay(r *alloc.Relay, c *net.UDPConn) {
	// Room for the head before the payload, so that a client's packet is one write.
	buf := make([]byte, alloc.MaxHead+1<<16)
	var head [alloc.MaxHead]byte
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf[alloc.MaxHead : len(buf)-4])
		if err != nil {
			if p.over(err) {
				return
			}
			continue
		}
		p.sh.mu.Lock()
		hn, pad, v := p.sh.table.FromPeer(time.Now(), r, unmap(from), n, &head)
		if v == alloc.Forward {
			start, end := alloc.MaxHead-hn, alloc.MaxHead+n+pad
			copy(buf[start:], head[:hn])
			clear(buf[alloc.MaxHead+n : end])
			switch to := r.Alloc().Attach.(type) {
			case *net.UDPConn:
				p.toClients++
				if _, err := to.WriteToUDPAddrPort(buf[start:end], r.Alloc().Tuple().Client); err != nil {
					p.failed++
				}
			case *stream:
				p.sh.toStream(to, buf[start:end], nil, 0)
			}
		}
		p.sh.flush()
		p.sh.mu.Unlock()
	}
}

// over says whether a read error means that the socket is closed. Others (an ICMP error, a datagram too large on
// Windows) concern one packet.
func (p *plainIO) over(err error) bool {
	return isClosed(err)
}

func (p *plainIO) counters(c *Counters) {
	c.DroppedSend += p.failed
	c.BatchesToPeer += p.toPeers
	c.BatchesToClient += p.toClients
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
