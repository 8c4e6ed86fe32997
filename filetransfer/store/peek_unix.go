//go:build linux || darwin

package store

import (
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// canPeek says that [hasMore] can tell.
const canPeek = true

// hasMore reports whether bytes have arrived at a TCP connection that were not read. It does not wait.
func hasMore(src io.Reader) bool {
	c, ok := src.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	_ = raw.Read(func(fd uintptr) bool {
		n, _, _ = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return true
	})
	return n > 0
}
