package loadgen

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// stream is a client on TCP.
type stream struct {
	fd  int
	in  []byte // the start of a frame that has not come in whole
	out []byte // the rest of a frame that the kernel did not take
}

const streamRead = 128 << 10

// OpenTCP makes n allocations over TCP connections, each with a channel to a peer of its own. UDP clients are forgotten.
func (g *Generator) OpenTCP(n int) error {
	if n < 1 || n > maxClients {
		return fmt.Errorf("loadgen: %d clients", n)
	}
	var err error
	if g.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	g.clients = make([]client, n)
	g.streams = make([]*stream, 0, n)
	for i := range n {
		st, err := g.connect(i)
		if err != nil {
			return err
		}
		g.streams = append(g.streams, st)
	}
	buf := make([]byte, 4096)
	send := func(i int) error {
		cl := &g.clients[i]
		if err := g.cred.request(&g.msg, i, cl, g.peer(i)); err != nil {
			return err
		}
		cl.sent = monotonic()
		if k, err := unix.Write(g.streams[i].fd, g.msg.Raw); err != nil || k != len(g.msg.Raw) {
			return fmt.Errorf("loadgen: control message over TCP: %w", err)
		}
		return nil
	}
	var events [batch]unix.EpollEvent
	receive := func(done func(int) error) error {
		k, err := unix.EpollWait(g.epfd, events[:], 1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		for _, e := range events[:max(k, 0)] {
			n, err := unix.Read(g.streams[e.Fd].fd, buf)
			if err != nil || n <= 0 {
				return fmt.Errorf("loadgen: the server closed client %d: %w", e.Fd, cmp.Or(err, io.EOF))
			}
			// One answer at a time is asked for.
			who, err := g.cred.answer(&g.msg, buf[:n], g.clients)
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
	flush := func() error { return nil }
	if err := g.advance(made, send, receive, flush); err != nil {
		return err
	}
	for i := range g.clients {
		g.clients[i].at = bound
	}
	return g.advance(ready, send, receive, flush)
}

func (g *Generator) connect(i int) (*stream, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	fail := func(what string, err error) (*stream, error) {
		unix.Close(fd)
		return nil, fmt.Errorf("loadgen: tcp client %d: %s: %w", i, what, err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: hosts(g.cfg.Clients, i)}); err != nil {
		return fail("bind", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: g.cfg.Server.Addr().As4(), Port: int(g.cfg.Server.Port())}); err != nil {
		return fail("connect", err)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err := unix.SetNonblock(fd, true); err != nil {
		return fail("nonblocking", err)
	}
	if err := unix.EpollCtl(g.epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}); err != nil {
		return fail("epoll", err)
	}
	return &stream{fd: fd}, nil
}

func (g *Generator) closeStreams() {
	for _, s := range g.streams {
		unix.Close(s.fd)
	}
	g.streams = nil
	if g.epfd >= 0 {
		unix.Close(g.epfd)
		g.epfd = -1
	}
}

// streamSide is one direction with TCP clients; the peers' side is UDP.
type streamSide struct {
	*udpSide
	buf    []byte
	out    []byte
	events [batch]unix.EpollEvent
}

func newStreamSide(g *Generator, f *Flow) *streamSide {
	// ChannelData is padded to four bytes over TCP (RFC 8656 section 12.5).
	f.Size = (f.Size + 3) &^ 3
	return &streamSide{udpSide: newUDPSide(g, f), buf: make([]byte, streamRead), out: make([]byte, txSize)}
}

func (s *streamSide) send(i int, now uint64) (bool, error) {
	if s.f.ToClient {
		return s.udpSide.send(i, now)
	}
	st := s.g.streams[i]
	if len(st.out) > 0 {
		n, err := unix.Write(st.fd, st.out)
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			return false, fmt.Errorf("loadgen: tcp client %d: %w", i, err)
		}
		if st.out = st.out[max(n, 0):]; len(st.out) > 0 {
			return false, nil
		}
	}
	n, _ := frames(s.out, s.f, true, now, s.g.run)
	k, err := unix.Write(st.fd, s.out[:n])
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return false, fmt.Errorf("loadgen: tcp client %d: %w", i, err)
	}
	if k <= 0 {
		return false, nil
	}
	st.out = append([]byte(nil), s.out[k:n]...)
	return true, nil
}

func (s *streamSide) flush() error {
	if s.f.ToClient {
		return s.udpSide.flush()
	}
	return nil
}

func (s *streamSide) receive(sample func(uint64)) (int, error) {
	if !s.f.ToClient {
		return s.udpSide.receive(sample)
	}
	k, err := unix.EpollWait(s.g.epfd, s.events[:], 0)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return 0, err
	}
	count := 0
	for _, e := range s.events[:max(k, 0)] {
		st := s.g.streams[e.Fd]
		at := copy(s.buf, st.in)
		n, err := unix.Read(st.fd, s.buf[at:])
		if err != nil && errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil || n <= 0 {
			return count, fmt.Errorf("loadgen: the server closed client %d: %w", e.Fd, cmp.Or(err, io.EOF))
		}
		b := s.buf[:at+n]
		for len(b) >= 4 {
			size := int(binary.BigEndian.Uint16(b[2:]))
			whole := 4 + (size+3)&^3
			if len(b) < whole {
				break
			}
			if ours(b[4:4+size], s.g.run, sample) {
				count++
			}
			b = b[whole:]
		}
		st.in = append(st.in[:0], b...)
	}
	return count, nil
}

func (s *streamSide) missed() uint64 {
	if s.f.ToClient {
		return 0 // TCP drops nothing
	}
	return s.udpSide.missed()
}
