package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The bare forwarder is what relaying costs at least with sockets: receive a batch, send each packet on. It knows no clients:
// the host part of an address is kept and the network changed. Trains stay trains. With one socket to the peers it is the
// floor of any program; with a socket for each client, as TURN must have them, the floor of a TURN server.

const (
	forwardBatch  = 32
	forwardBuffer = 1<<16 + 1<<10 + 64
)

type hop struct {
	to    []int // the sockets to send from: by the client's number where there are several
	net   [2]byte
	port  uint16
	msgs  [forwardBatch]mmsghdr
	iovs  [forwardBatch]unix.Iovec
	names [forwardBatch]unix.RawSockaddrInet4
	ctrl  [forwardBatch][64]byte
}

// forwardBuf is shared: a batch is sent before the next is read.
type forwardBuf [forwardBatch * forwardBuffer]byte

type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   [4]byte
}

// forward relays what clients send to at to the peers with the same host number, and what peers send to at's next port back.
func forward(ctx context.Context, at netip.AddrPort, clients, peers string, sockets int) error {
	c, err := netip.ParseAddrPort(clients)
	if err != nil {
		return err
	}
	p, err := netip.ParseAddrPort(peers)
	if err != nil {
		return err
	}
	front, err := forwardSocket(at)
	if err != nil {
		return err
	}
	var back []int
	for i := range sockets {
		fd, err := forwardSocket(netip.AddrPortFrom(at.Addr(), at.Port()+1+uint16(i)))
		if err != nil {
			return err
		}
		back = append(back, fd)
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	buf := new(forwardBuf)
	out, in := newHop(back, p, buf), newHop([]int{front}, c, buf)
	for _, fd := range append(back, front) {
		if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, int(fd), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			return err
		}
	}
	ready()
	var events [256]unix.EpollEvent
	for ctx.Err() == nil {
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
		if errno != 0 || n == 0 {
			m, err := unix.EpollWait(ep, events[:], 500)
			if err != nil {
				continue
			}
			n = uintptr(m)
		}
		for _, e := range events[:n] {
			if int(e.Fd) == front {
				out.relay(front)
			} else {
				in.relay(int(e.Fd))
			}
		}
	}
	return nil
}

func forwardSocket(at netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20)
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1); err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}); err != nil {
		return -1, fmt.Errorf("bind %v: %w", at, err)
	}
	return fd, nil
}

func newHop(to []int, target netip.AddrPort, buf *forwardBuf) *hop {
	a := target.Addr().As4()
	h := &hop{to: to, net: [2]byte{a[0], a[1]}, port: target.Port()}
	for i := range h.msgs {
		h.iovs[i].Base = &buf[i*forwardBuffer]
		m := &h.msgs[i].hdr
		m.Name, m.Iov, m.Control = (*byte)(unsafe.Pointer(&h.names[i])), &h.iovs[i], &h.ctrl[i][0]
		m.SetIovlen(1)
	}
	return h
}

// relay forwards what fd has.
func (h *hop) relay(fd int) {
	for i := range h.msgs {
		h.iovs[i].SetLen(1 << 16)
		h.msgs[i].hdr.Namelen = unix.SizeofSockaddrInet4
		h.msgs[i].hdr.SetControllen(len(h.ctrl[i]))
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&h.msgs[0])), forwardBatch, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return
	}
	for i := range int(n) {
		m := &h.msgs[i]
		segment := 0
		if m.hdr.Controllen >= unix.SizeofCmsghdr+4 {
			c := (*unix.Cmsghdr)(unsafe.Pointer(&h.ctrl[i][0]))
			if c.Level == unix.IPPROTO_UDP && c.Type == unix.UDP_GRO {
				segment = int(binary.NativeEndian.Uint32(h.ctrl[i][unix.SizeofCmsghdr:]))
			}
		}
		name := &h.names[i]
		name.Addr[0], name.Addr[1] = h.net[0], h.net[1]
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&name.Port))[:], h.port)
		h.iovs[i].SetLen(int(m.n))
		m.hdr.SetControllen(0)
		if segment > 0 && segment < int(m.n) {
			c := (*unix.Cmsghdr)(unsafe.Pointer(&h.ctrl[i][0]))
			c.Level, c.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
			c.SetLen(unix.CmsgLen(2))
			binary.NativeEndian.PutUint16(h.ctrl[i][unix.CmsgLen(0):], uint16(segment))
			m.hdr.SetControllen(unix.CmsgSpace(2))
		}
	}
	if len(h.to) > 1 {
		for i := range int(n) {
			host := h.names[i].Addr
			to := h.to[((int(host[2])-1)*250+int(host[3])-1)%len(h.to)]
			_, _, _ = unix.RawSyscall(unix.SYS_SENDMSG, uintptr(to), uintptr(unsafe.Pointer(&h.msgs[i].hdr)), unix.MSG_DONTWAIT)
		}
		return
	}
	for at := 0; at < int(n); {
		k, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(h.to[0]), uintptr(unsafe.Pointer(&h.msgs[at])), n-uintptr(at), unix.MSG_DONTWAIT, 0, 0)
		if errno != 0 {
			at++ // lost
			continue
		}
		at += int(k)
	}
}
