package loadgen

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	batch   = 64
	rxBatch = 32
	rxSize  = 1 << 16
	// Buffers at a stride of 64 KiB would fight for the same cache sets.
	rxStride = rxSize + 1<<10 + 64
	txSize   = maxTrain * (4 + maxSize)
)

type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   [4]byte
}

// udp is a wildcard socket whose packets carry any source address.
type udp struct {
	fd   int
	port uint16

	msgs  [batch]mmsghdr
	iovs  [batch]unix.Iovec
	names [batch]unix.RawSockaddrInet4
	ctrl  [batch][64]byte
	buf   [batch][txSize]byte
	n     int // queued

	rmsgs  [rxBatch]mmsghdr
	riovs  [rxBatch]unix.Iovec
	rnames [rxBatch]unix.RawSockaddrInet4
	rctrl  [rxBatch][64]byte
	rbuf   []byte
}

func openUDP(device string) (*udp, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("loadgen: socket: %w", err)
	}
	u := &udp{fd: fd, rbuf: make([]byte, rxBatch*rxStride)}
	fail := func(what string, err error) (*udp, error) {
		unix.Close(fd)
		return nil, fmt.Errorf("loadgen: %s: %w", what, err)
	}
	if device != "" {
		if err := unix.BindToDevice(fd, device); err != nil {
			return fail("bind to "+device, err)
		}
	}
	const buffer = 8 << 20
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, buffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, buffer)
	}
	// A train that arrives as one is counted as its packets. Without this the kernel would cut it up, at the cost of whoever sends.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1); err != nil {
		return fail("UDP_GRO", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{}); err != nil {
		return fail("bind", err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return fail("getsockname", err)
	}
	if v4, ok := sa.(*unix.SockaddrInet4); ok {
		u.port = uint16(v4.Port)
	}
	for i := range u.msgs {
		h := &u.msgs[i].hdr
		u.iovs[i].Base = &u.buf[i][0]
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&u.names[i])), unix.SizeofSockaddrInet4
		h.Iov = &u.iovs[i]
		h.SetIovlen(1)
		h.Control = &u.ctrl[i][0]
		c := (*unix.Cmsghdr)(unsafe.Pointer(&u.ctrl[i][0]))
		c.Level, c.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
		c.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
		s := (*unix.Cmsghdr)(unsafe.Pointer(&u.ctrl[i][unix.CmsgSpace(unix.SizeofInet4Pktinfo)]))
		s.Level, s.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		s.SetLen(unix.CmsgLen(2))
	}
	for i := range u.rmsgs {
		h := &u.rmsgs[i].hdr
		u.riovs[i].Base = &u.rbuf[i*rxStride]
		u.riovs[i].SetLen(rxSize)
		h.Name = (*byte)(unsafe.Pointer(&u.rnames[i]))
		h.Iov = &u.riovs[i]
		h.SetIovlen(1)
		h.Control = &u.rctrl[i][0]
		u.rearm(i)
	}
	return u, nil
}

func (u *udp) rearm(i int) {
	u.rmsgs[i].hdr.Namelen = unix.SizeofSockaddrInet4
	u.rmsgs[i].hdr.SetControllen(len(u.rctrl[i]))
}

// slot is the buffer of the next packet to queue, or nil when the queue is full.
func (u *udp) slot() *[txSize]byte {
	if u.n == batch {
		return nil
	}
	return &u.buf[u.n]
}

// queue adds what was written to slot: size bytes in segments of segment bytes each.
func (u *udp) queue(from, to [4]byte, port uint16, size, segment int) {
	i := u.n
	u.n++
	u.iovs[i].SetLen(size)
	name := &u.names[i]
	name.Family, name.Addr = unix.AF_INET, to
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&name.Port))[:], port)
	info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&u.ctrl[i][unix.CmsgLen(0)]))
	info.Spec_dst = from
	n := unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	if segment < size {
		binary.NativeEndian.PutUint16(u.ctrl[i][n+unix.CmsgLen(0):], uint16(segment))
		n += unix.CmsgSpace(2)
	}
	u.msgs[i].hdr.SetControllen(n)
}

// flush sends what is queued, and waits in a spin while the kernel takes no more.
func (u *udp) flush() error {
	at := 0
	for tries := 0; at < u.n; {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(u.fd), uintptr(unsafe.Pointer(&u.msgs[at])), uintptr(u.n-at), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			at += int(n)
		case unix.EAGAIN, unix.ENOBUFS, unix.EINTR:
		default:
			// An ICMP error for an earlier packet is reported once.
			if tries++; tries > 8 {
				u.n = 0
				return fmt.Errorf("loadgen: send: %w", errno)
			}
		}
	}
	u.n = 0
	return nil
}

// receive fetches a batch without waiting.
func (u *udp) receive() int {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(u.fd), uintptr(unsafe.Pointer(&u.rmsgs[0])), rxBatch, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// packet is what receive put in place i, and the size of each datagram in it but the last. from is the sender.
func (u *udp) packet(i int) (b []byte, segment int) {
	m := &u.rmsgs[i]
	b = u.rbuf[i*rxStride : i*rxStride+int(m.n)]
	segment = len(b)
	if m.hdr.Controllen >= unix.SizeofCmsghdr+4 {
		c := (*unix.Cmsghdr)(unsafe.Pointer(&u.rctrl[i][0]))
		if c.Level == unix.IPPROTO_UDP && c.Type == unix.UDP_GRO {
			segment = int(binary.NativeEndian.Uint32(u.rctrl[i][unix.SizeofCmsghdr:]))
		}
	}
	u.rearm(i)
	return b, max(segment, 1)
}

// drops is how many packets the kernel had no room for.
func (u *udp) drops() uint64 {
	var info [9]uint32 // SK_MEMINFO_DROPS is the last
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(u.fd), unix.SOL_SOCKET, unix.SO_MEMINFO, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0
	}
	return uint64(info[8])
}

func (u *udp) close() { unix.Close(u.fd) }

// monotonic is the time in nanoseconds.
func monotonic() uint64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return uint64(ts.Nano())
}
