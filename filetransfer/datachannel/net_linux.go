package datachannel

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
	"unsafe"

	pion "github.com/pion/transport/v4"
	"golang.org/x/sys/unix"
)

const (
	// gatherTime is how long a packet of bulk waits for others to leave with it.
	gatherTime = 100 * time.Microsecond
	// bulkPacket is the least size of a packet that waits; handshakes, checks and acknowledgements are smaller.
	bulkPacket = 1000
	// The kernel takes at most 64 KiB and, on older ones, 64 segments in one call.
	maxBatch    = 60 << 10
	maxSegments = 64
)

// bulk makes a socket for bulk of a socket, if the kernel can: one call sends many packets (UDP_SEGMENT), and one
// receives many (UDP_GRO).
func bulk(c pion.UDPConn) pion.UDPConn {
	udp, ok := c.(*net.UDPConn)
	if !ok {
		return c
	}
	raw, err := udp.SyscallConn()
	if err != nil {
		return c
	}
	var gro, gso error
	err = raw.Control(func(fd uintptr) {
		_, gso = unix.GetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT)
		if gso == nil {
			gro = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO, 1)
		}
	})
	if err != nil || gso != nil || gro != nil {
		return c
	}
	b := &bulkConn{
		UDPConn: udp, in: make([]byte, 64<<10), oob: make([]byte, 64),
		out: make([]byte, 0, maxBatch),
	}
	b.later = newLater(gatherTime, &b.writeM, b.flush)
	return b
}

// bulkConn is a UDP socket that sends and receives many packets with a call. It implements pion's
// ice.AddrPortReaderWriter.
type bulkConn struct {
	*net.UDPConn

	readM sync.Mutex
	in    []byte
	oob   []byte
	rest  []byte // packets of in that were not read yet, of segment bytes each, the last perhaps shorter
	seg   int
	from  netip.AddrPort

	writeM   sync.Mutex
	out      []byte // packets that wait, of size bytes each
	size     int
	packets  int
	to       netip.AddrPort
	apart    bool // the kernel does not segment on this path
	later    *later
	closing  sync.Once
	closeErr error
}

// ReadFromAddrPort reads one packet.
func (b *bulkConn) ReadFromAddrPort(p []byte) (int, netip.AddrPort, error) {
	b.readM.Lock()
	defer b.readM.Unlock()
	if len(b.rest) == 0 {
		n, oobn, _, from, err := b.ReadMsgUDPAddrPort(b.in, b.oob)
		if err != nil {
			return 0, from, err
		}
		b.rest, b.from, b.seg = b.in[:n], from, max(n, 1)
		if s := segmentSize(b.oob[:oobn]); s > 0 {
			b.seg = s
		}
	}
	packet := b.rest[:min(b.seg, len(b.rest))]
	b.rest = b.rest[len(packet):]
	return copy(p, packet), b.from, nil
}

// segmentSize reads the control message that says how large the packets in a read are; 0 if it was one.
func segmentSize(oob []byte) int {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for _, m := range msgs {
		if m.Header.Level == unix.SOL_UDP && m.Header.Type == unix.UDP_GRO && len(m.Data) >= 2 {
			return int(binary.NativeEndian.Uint16(m.Data))
		}
	}
	return 0
}

// ReadFrom implements [net.PacketConn].
func (b *bulkConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := b.ReadFromAddrPort(p)
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// WriteToAddrPort sends a packet, or keeps it for a moment to send it with those that follow.
func (b *bulkConn) WriteToAddrPort(p []byte, to netip.AddrPort) (int, error) {
	b.writeM.Lock()
	defer b.writeM.Unlock()
	if b.packets > 0 && (to != b.to || len(p) > b.size || len(b.out)+len(p) > maxBatch) {
		if err := b.flush(); err != nil {
			return 0, err
		}
	}
	if len(p) < bulkPacket || b.apart {
		if b.packets == 0 {
			return b.WriteToUDPAddrPort(p, to)
		}
		if len(p) > b.size { // cannot be: it was flushed
			return 0, errors.New("datachannel: packets out of order")
		}
	}
	if b.packets == 0 {
		b.to, b.size = to, len(p)
		b.later.waits()
	}
	b.out = append(b.out, p...)
	b.packets++
	if len(p) < b.size || b.packets == maxSegments {
		return len(p), b.flush() // only the last may be shorter
	}
	return len(p), nil
}

// flush sends what waits; b.writeM is held.
func (b *bulkConn) flush() error {
	out, n := b.out, b.packets
	b.out, b.packets = b.out[:0], 0
	if n == 0 {
		return nil
	}
	if n > 1 && !b.apart {
		oob := make([]byte, unix.CmsgSpace(2))
		h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
		h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
		h.SetLen(unix.CmsgLen(2))
		binary.NativeEndian.PutUint16(oob[unix.CmsgLen(0):], uint16(b.size))
		_, _, err := b.WriteMsgUDPAddrPort(out, oob, b.to)
		if err == nil || !errors.Is(err, unix.EIO) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EMSGSIZE) {
			return err
		}
		b.apart = true // e.g. a device without checksum offload
	}
	for len(out) > 0 {
		p := out[:min(b.size, len(out))]
		out = out[len(p):]
		if _, err := b.WriteToUDPAddrPort(p, b.to); err != nil {
			return err
		}
	}
	return nil
}

// WriteTo implements [net.PacketConn].
func (b *bulkConn) WriteTo(p []byte, to net.Addr) (int, error) {
	u, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, &net.OpError{Op: "write", Net: "udp", Addr: to, Err: net.InvalidAddrError("not a UDP address")}
	}
	return b.WriteToAddrPort(p, u.AddrPort())
}

// Close sends what waits and closes the socket.
func (b *bulkConn) Close() error {
	b.closing.Do(func() {
		b.writeM.Lock()
		_ = b.flush()
		b.writeM.Unlock()
		b.later.stop()
		b.closeErr = b.UDPConn.Close()
	})
	return b.closeErr
}
