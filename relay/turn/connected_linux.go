package turn

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A relayed address mostly talks to one peer. A second socket on the same address, connected to that peer, spares the kernel
// a route lookup for each packet, and the peer's packets need no sender's address.

const (
	// steady is how many packets in a row go to one peer before it gets a socket of its own.
	steady = 16
	// calm is how many reads in a row find one packet before trains are no longer expected.
	calm = 32
)

// toward returns the socket of relay socket s to send to peer with.
func (f *fastIO) toward(s *sock, peer netip.AddrPort) *sock {
	if c := s.connected; c != nil && c.peer == peer {
		return c
	}
	if s.last != peer {
		s.last, s.streak = peer, 0
	}
	if s.streak++; s.streak != steady {
		return s
	}
	// What went out before goes out first.
	f.flush()
	if !f.connect(s, peer) {
		return s
	}
	return s.connected
}

// connect points the connected socket of s at a peer. Whatever fails, s itself still serves.
func (f *fastIO) connect(s *sock, peer netip.AddrPort) bool {
	c := s.connected
	if c == nil {
		if f.connections >= f.maxConnections {
			return false
		}
		var err error
		// Only for this moment may the port be shared: another process must not get hold of it.
		if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) != nil {
			return false
		}
		c, err = f.open(s.local, unix.SO_REUSEADDR, f.sh.srv.cfg.RelayBuffer, s.relay)
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 0)
		if err != nil {
			return false
		}
		_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 0)
		c.gro = true
		f.connections++
	}
	// Until it is read empty, what others sent may still be in it.
	c.strangers = true
	if err := unix.Connect(c.fd, sockaddr(peer)); err != nil {
		f.disconnect(s, c)
		return false
	}
	c.peer, c.df = peer, false
	c.setDF(s.df)
	s.connected = c
	return true
}

// disconnect closes the connected socket of s, if it has one.
func (f *fastIO) disconnect(s, c *sock) {
	if c == nil {
		return
	}
	f.flush()
	f.socks[c.fd] = nil
	unix.Close(c.fd)
	c.fd = -1
	s.connected = nil
	f.connections--
}

// readConnected reads one packet where one is all there is likely to be. It reports whether it did its work.
func (f *fastIO) readConnected(s *sock, want int) (b []byte, ok, handled bool) {
	if !s.peer.IsValid() || s.strangers {
		return nil, false, false
	}
	if want > 1 {
		s.expectTrains(true)
	}
	if s.gro {
		return nil, false, false
	}
	b, ok = f.rx.one(s.fd)
	return b, ok, true
}

// read tells what a read of a connected socket found.
func (s *sock) read(n, want int, train bool) {
	if !s.peer.IsValid() {
		return
	}
	if n < want {
		s.strangers = false
	}
	if n > 1 || train {
		s.calm = 0
	} else if s.calm++; s.calm >= calm {
		s.expectTrains(false)
	}
}

// expectTrains switches UDP_GRO, which only a read with control messages can use.
func (s *sock) expectTrains(on bool) {
	if s.gro == on {
		return
	}
	v := 0
	if on {
		v = 1
	}
	s.gro, s.calm = on, 0
	_ = unix.SetsockoptInt(s.fd, unix.IPPROTO_UDP, unix.UDP_GRO, v)
}

// one reads one datagram without its sender into the first place.
func (r *receiver) one(fd int) ([]byte, bool) {
	p := unsafe.Pointer(&r.block[headroom])
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(p), bufferSize, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return nil, false
	}
	return r.block[headroom : headroom+n : headroom+n], true
}

// connections is how many sockets of the limit may be connected ones, in one shard: others need theirs.
func maxConnections(shards int) int {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0
	}
	return int(min(l.Cur, 1<<20)) / 3 / max(shards, 1)
}
