package agent

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/transport/v4"
)

// server is a socket to a STUN or TURN server.
type server interface {
	io.Closer
	// heard reports whether anything has come from it.
	heard() bool
}

type listened struct{ atomic.Bool }

func (h *listened) heard() bool { return h.Load() }

func (h *listened) hear() {
	if !h.Load() {
		h.Store(true)
	}
}

// packetServer speaks with a server by UDP.
type packetServer struct {
	net.PacketConn
	listened
	local       net.Addr
	permissions permissions
	mail        mailbox
	to          atomic.Pointer[net.Addr] // the server
}

func newPacketServer(c net.PacketConn, local net.Addr) *packetServer {
	return &packetServer{PacketConn: c, local: local, mail: mailbox{wake: c.SetReadDeadline}}
}

// LocalAddr implements [net.PacketConn].
func (s *packetServer) LocalAddr() net.Addr { return s.local }

// WriteTo implements [net.PacketConn].
func (s *packetServer) WriteTo(b []byte, to net.Addr) (int, error) {
	send, answer := s.permissions.outgoing(b)
	if answer != nil {
		s.to.Store(&to)
		s.mail.put(answer)
	}
	if !send {
		return len(b), nil
	}
	return s.PacketConn.WriteTo(b, to)
}

// ReadFrom implements [net.PacketConn].
func (s *packetServer) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		if answer := s.mail.take(); answer != nil {
			return copy(b, answer), *s.to.Load(), nil
		}
		n, from, err := s.PacketConn.ReadFrom(b)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue // there is mail
		case err != nil:
			return n, from, err
		}
		s.hear()
		if s.permissions.incoming(b[:n]) {
			return n, from, nil
		}
	}
}

// streamServer speaks with a server by a stream: TCP, TLS on it, or a connection by a proxy. It reads whole messages, so that
// answers can be put between them.
type streamServer struct {
	net.Conn
	listened
	local       net.Addr
	permissions permissions
	mail        mailbox
	in          []byte // what has come and is no whole message yet
	rest        []byte // of a message that was read in part
}

func newStreamServer(c net.Conn, local net.Addr) *streamServer {
	return &streamServer{Conn: c, local: local, mail: mailbox{wake: c.SetReadDeadline}}
}

// tcpServer is a streamServer with what [transport.TCPConn] wants beside.
type tcpServer struct {
	*streamServer
	tcpOptions
}

// tcpOptions are those of a TCP connection that are not of every stream.
type tcpOptions interface {
	CloseRead() error
	CloseWrite() error
	SetLinger(sec int) error
	SetKeepAlive(keepalive bool) error
	SetKeepAlivePeriod(d time.Duration) error
	SetNoDelay(noDelay bool) error
	SetWriteBuffer(bytes int) error
	SetReadBuffer(bytes int) error
}

// ReadFrom implements [transport.TCPConn].
func (s tcpServer) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{s.streamServer}, r)
}

// LocalAddr implements [net.Conn].
func (s *streamServer) LocalAddr() net.Addr { return s.local }

// Write implements [net.Conn]. pion writes a message at a time.
func (s *streamServer) Write(b []byte) (int, error) {
	send, answer := s.permissions.outgoing(b)
	if answer != nil {
		s.mail.put(answer)
	}
	if !send {
		return len(b), nil
	}
	return s.Conn.Write(b)
}

// Read implements [net.Conn].
func (s *streamServer) Read(b []byte) (int, error) {
	for len(s.rest) == 0 {
		if err := s.next(b); err != nil {
			return 0, err
		}
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// next goes one step to the next message: it takes an answer of ours, or a message that is whole, or waits for more, for which it
// uses buf.
func (s *streamServer) next(buf []byte) error {
	if s.rest = s.mail.take(); s.rest != nil {
		return nil
	}
	if frame := s.in[:frameSize(s.in)]; len(frame) > 0 {
		s.in = s.in[len(frame):]
		if s.permissions.incoming(frame) {
			s.rest = frame // which is read before anything is appended to in
		}
		return nil
	}
	n, err := s.Conn.Read(buf)
	switch {
	case n > 0:
		s.hear()
		s.in = append(s.in, buf[:n]...)
	case errors.Is(err, os.ErrDeadlineExceeded): // there is mail
	default:
		return err
	}
	return nil
}

// frameSize is how many bytes the first message has (RFC 8656 section 12.5: padded to 4 on a stream), 0 if it is not whole.
// What is no message is all of it, for pion to complain about.
func frameSize(b []byte) int {
	if len(b) < 4 {
		return 0
	}
	var size int
	switch {
	case b[0]&0xc0 == 0x40: // a channel's number
		size = 4 + (int(binary.BigEndian.Uint16(b[2:]))+3)&^3
	case len(b) < 20:
		return 0
	case stun.IsMessage(b):
		size = 20 + int(binary.BigEndian.Uint16(b[2:]))
	default:
		return len(b)
	}
	if len(b) < size {
		return 0
	}
	return size
}

// secureServers are those that are spoken to by TLS. We do that, as pion would lay TLS over what reads and writes messages here;
// pion takes them for servers on TCP.
type secureServers struct {
	hosts map[string]string // by host and port
	addrs *sync.Map         // *net.TCPAddr as it was handed to pion, which hands it back; to the host
}

// ourTLS has pion take servers on TLS for servers on TCP. One that is both, at one port, stays pion's.
func ourTLS(uris []*stun.URI) (pions []*stun.URI, secure secureServers) {
	secure = secureServers{hosts: map[string]string{}, addrs: new(sync.Map)}
	at := func(u *stun.URI) string { return net.JoinHostPort(u.Host, strconv.Itoa(u.Port)) }
	plain := map[string]bool{}
	for _, u := range uris {
		if u.Scheme == stun.SchemeTypeTURN && u.Proto == stun.ProtoTypeTCP {
			plain[at(u)] = true
		}
	}
	for _, u := range uris {
		if u.Scheme == stun.SchemeTypeTURNS && u.Proto != stun.ProtoTypeUDP && !plain[at(u)] {
			secure.hosts[at(u)] = u.Host
			own := *u
			own.Scheme, own.Proto = stun.SchemeTypeTURN, stun.ProtoTypeTCP
			u = &own
		}
		pions = append(pions, u)
	}
	return pions, secure
}

// resolved notes that an address is a server's.
func (s secureServers) resolved(hostPort string, a *net.TCPAddr) {
	if host, port, err := net.SplitHostPort(hostPort); err == nil {
		if host, ok := s.hosts[net.JoinHostPort(host, port)]; ok {
			s.addrs.Store(a, host)
		}
	}
}

// of returns the name of a server by its address, "" if it is not to be spoken to by TLS.
func (s secureServers) of(a *net.TCPAddr) string {
	if s.addrs == nil {
		return ""
	}
	host, _ := s.addrs.Load(a)
	name, _ := host.(string)
	return name
}

// early is a network of a test, whose TURN servers are asked for permissions as those of the machine's network are.
type early struct{ transport.Net }

// ListenPacket implements [transport.Net].
func (e early) ListenPacket(network, addr string) (net.PacketConn, error) {
	c, err := e.Net.ListenPacket(network, addr)
	if err != nil {
		return nil, err
	}
	return newPacketServer(virtual{c}, c.LocalAddr()), nil
}

// virtual is a socket of a virtual network, whose timeouts have an error of their own.
type virtual struct{ net.PacketConn }

// ReadFrom implements [net.PacketConn].
func (v virtual) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := v.PacketConn.ReadFrom(b)
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		err = os.ErrDeadlineExceeded
	}
	return n, from, err
}
