package turn

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/jingled/jingled/relay/turn/alloc"
)

const (
	listenerBatch = 32
	relayBatch    = 8
	bufferSize    = 1 << 16
	// headroom is in front of every buffer: a head and the payload behind it leave as one piece.
	headroom = 64
	// Buffers at a stride of 64 KiB would fight for the same cache sets.
	bufferStride = headroom + bufferSize + 1<<10
	maxTrain     = 64    // UDP_MAX_SEGMENTS of older kernels
	maxTrainSize = 65000 // below what one IP packet holds
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   [4]byte
}

// receiver reads batches. Its buffers are used again by the next read.
type receiver struct {
	msgs  [listenerBatch]mmsghdr
	iovs  [listenerBatch]unix.Iovec
	names [listenerBatch]unix.RawSockaddrInet6
	ctrl  [listenerBatch][64]byte
	block []byte
}

func newReceiver() *receiver {
	r := &receiver{block: make([]byte, listenerBatch*bufferStride)}
	for i := range r.msgs {
		r.iovs[i].Base = &r.block[i*bufferStride+headroom]
		r.iovs[i].SetLen(bufferSize)
		h := &r.msgs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Control = &r.ctrl[i][0]
		r.reset(i)
	}
	return r
}

func (r *receiver) reset(i int) {
	r.msgs[i].hdr.Namelen = unix.SizeofSockaddrInet6
	r.msgs[i].hdr.SetControllen(len(r.ctrl[i]))
}

// read fetches up to batch datagrams, or trains of them, without waiting.
func (r *receiver) read(fd, batch int) int {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&r.msgs[0])), uintptr(batch), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n) // at most batch
}

// packet returns what read put in place i: sender, bytes, and the size of each datagram in them but the last.
func (r *receiver) packet(i int, s *sock, drops *uint64) (from netip.AddrPort, b []byte, size int) {
	m := &r.msgs[i]
	at := i*bufferStride + headroom
	b = r.block[at : at+int(m.n) : at+int(m.n)]
	size = len(b)
	name := &r.names[i]
	if name.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		from = netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), networkPort(&v4.Port))
	} else {
		from = netip.AddrPortFrom(netip.AddrFrom16(name.Addr), networkPort(&name.Port))
	}
	ctrl := r.ctrl[i][:min(int(m.hdr.Controllen), len(r.ctrl[i]))] // set by the kernel, bounded
	for len(ctrl) >= unix.SizeofCmsghdr+4 {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&ctrl[0]))
		n := int(h.Len) // checked below
		if n < unix.SizeofCmsghdr+4 || n > len(ctrl) {
			break
		}
		v := binary.NativeEndian.Uint32(ctrl[unix.SizeofCmsghdr:])
		switch {
		case h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO:
			if v > 0 {
				size = int(v)
			}
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_RXQ_OVFL:
			*drops += uint64(v - s.overflow)
			s.overflow = v
		}
		ctrl = ctrl[min(unix.CmsgSpace(n-unix.SizeofCmsghdr), len(ctrl)):]
	}
	r.reset(i)
	return from, b, size
}

// before is the n bytes of headroom before packet i and the first size bytes of it.
func (r *receiver) before(i, n, size int) []byte {
	at := i*bufferStride + headroom
	return r.block[at-n : at+size : at+size]
}

func networkPort(p *uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:])
}

// rawSockaddr writes a as the kernel wants it and returns its length.
func rawSockaddr(dst *unix.RawSockaddrInet6, a netip.AddrPort) uint32 {
	if a.Addr().Is4() {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(dst))
		v4.Family = unix.AF_INET
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&v4.Port))[:], a.Port())
		v4.Addr = a.Addr().As4()
		return unix.SizeofSockaddrInet4
	}
	dst.Family = unix.AF_INET6
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&dst.Port))[:], a.Port())
	dst.Flowinfo, dst.Scope_id = 0, 0
	dst.Addr = a.Addr().As16()
	return unix.SizeofSockaddrInet6
}

// sendOne sends one datagram without waiting.
func sendOne(fd int, to netip.AddrPort, b []byte) error {
	var name unix.RawSockaddrInet6
	n := rawSockaddr(&name, to)
	var p unsafe.Pointer
	if len(b) > 0 {
		p = unsafe.Pointer(&b[0])
	}
	return retry(func() unix.Errno {
		_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(p), uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL,
			uintptr(unsafe.Pointer(&name)), uintptr(n))
		return errno
	})
}

// retry tries twice: an ICMP error for an earlier packet is reported once, by whatever comes next.
func retry(send func() unix.Errno) error {
	errno := send()
	switch errno {
	case 0:
		return nil
	case unix.EAGAIN, unix.EMSGSIZE, unix.EINVAL, unix.EIO, unix.EPERM, unix.EBADF:
		return errno
	}
	if errno = send(); errno != 0 {
		return errno
	}
	return nil
}

// train is a run of datagrams of one size (the last may be shorter) from one socket to one address. It leaves as one system call
// that the kernel, or the network card, cuts up.
type train struct {
	sock  *sock
	to    netip.AddrPort
	size  int // of the first
	last  int
	n     int
	bytes int
	niov  int
	iovs  [3 * maxTrain]unix.Iovec
	heads [maxTrain + 1][alloc.MaxHead]byte
	name  unix.RawSockaddrInet6
	msg   unix.Msghdr
	ctrl  [24]byte
}

var zeros [4]byte

// head is where the next datagram's head may be written. It stays untouched until the train has left.
func (t *train) head() *[alloc.MaxHead]byte { return &t.heads[t.n] }

// add puts a datagram of head, payload and pad zero bytes on the train, or sends the train first.
func (f *fastIO) add(s *sock, to netip.AddrPort, head, payload []byte, pad int) {
	t := &f.tx
	size := len(head) + len(payload) + pad
	if t.n > 0 && (t.sock != s || t.to != to || size > t.size || t.last < t.size || t.n == maxTrain || t.bytes+size > maxTrainSize || s.single || size == 0) {
		var keep [alloc.MaxHead]byte
		k := copy(keep[:], head)
		f.flush()
		if k > 0 {
			head = t.heads[0][:copy(t.heads[0][:], keep[:k])]
		}
	}
	if t.n == 0 {
		t.sock, t.to, t.size = s, to, size
	}
	t.n++
	t.last = size
	t.bytes += size
	if len(head) > 0 {
		t.iov(head)
	}
	if len(payload) > 0 {
		t.iov(payload)
	}
	if pad > 0 {
		t.iov(zeros[:pad])
	}
}

func (t *train) iov(b []byte) {
	t.iovs[t.niov].Base = &b[0]
	t.iovs[t.niov].SetLen(len(b))
	t.niov++
}

// flush sends the train.
func (f *fastIO) flush() {
	t := &f.tx
	if t.n == 0 {
		return
	}
	if t.sock.fd >= 0 {
		if t.sock.relay != nil {
			f.toPeers++
		} else {
			f.toClients++
		}
		if err := t.send(0, t.niov, t.n > 1); err != nil {
			f.unsent(err)
		}
	}
	t.n, t.niov, t.bytes = 0, 0, 0
	t.sock = nil
}

// unsent deals with a train that the kernel refused: one without segmentation is lost; the datagrams of others go one by
// one. That helps where a device cannot segment, and where a datagram is larger than the MTU and must be fragmented.
func (f *fastIO) unsent(err error) {
	t := &f.tx
	if t.n == 1 {
		f.failed++
		return
	}
	if errors.Is(err, unix.EIO) {
		t.sock.single = true
	}
	from, left := 0, 0
	for i := range t.niov {
		left += int(t.iovs[i].Len) // a datagram
		if left < t.size && i < t.niov-1 {
			continue
		}
		if t.send(from, i+1, false) != nil {
			f.failed++
		}
		from, left = i+1, 0
	}
}

// send sends the vectors from to end as one message.
func (t *train) send(from, end int, segment bool) error {
	n, name := uint32(0), unsafe.Pointer(nil)
	if !t.sock.peer.IsValid() {
		n, name = rawSockaddr(&t.name, t.to), unsafe.Pointer(&t.name)
	}
	if end-from == 1 && !segment {
		v := &t.iovs[from]
		return retry(func() unix.Errno {
			_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(t.sock.fd), uintptr(unsafe.Pointer(v.Base)), uintptr(v.Len),
				unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uintptr(name), uintptr(n))
			return errno
		})
	}
	h := &t.msg
	h.Name = (*byte)(name)
	h.Namelen = n
	h.Iov = &t.iovs[from]
	h.SetIovlen(end - from)
	h.Control = nil
	h.SetControllen(0)
	if segment {
		c := (*unix.Cmsghdr)(unsafe.Pointer(&t.ctrl[0]))
		c.Level, c.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(2))
		binary.NativeEndian.PutUint16(t.ctrl[unix.CmsgLen(0):], uint16(t.size)) // a datagram
		h.Control = &t.ctrl[0]
		h.SetControllen(unix.CmsgSpace(2))
	}
	return retry(func() unix.Errno {
		_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(t.sock.fd), uintptr(unsafe.Pointer(h)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		return errno
	})
}
