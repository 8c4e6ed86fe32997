package socks5

import (
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// tcpBytes asks the kernel how many bytes it has received on a connection and how many of those sent were
// acknowledged. A FIN counts as one.
func tcpBytes(c *net.TCPConn) (received, acked uint64, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, 0, false
	}
	err = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			received, acked, ok = info.Bytes_received, info.Bytes_acked, true
		}
	})
	return received, acked, ok && err == nil
}

// kernelCounts says that tcpBytes works, so that a copy need not surface to show progress.
const kernelCounts = true

// move copies up to limit bytes, by splice(2). It returns io.EOF only if src ended before the limit.
func move(dst, src *net.TCPConn, limit int64) (int64, error) { return io.CopyN(dst, src, limit) }
