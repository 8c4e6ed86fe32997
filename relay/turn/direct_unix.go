//go:build unix

package turn

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// directWriter returns a write that never waits, or nil.
func directWriter(c net.Conn) func([]byte) (int, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return func(b []byte) (n int, err error) {
		werr := raw.Write(func(fd uintptr) bool {
			n, err = unix.Write(int(fd), b)
			return true
		})
		if werr != nil {
			return 0, werr
		}
		return max(n, 0), err
	}
}

// reuse lets the sockets of a TCP relay share its address: one listens, others connect from it (RFC 6062 section 5.2).
func reuse(_, _ string, c syscall.RawConn) error {
	var err error
	cerr := c.Control(func(fd uintptr) {
		if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err == nil {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}
	})
	if cerr != nil {
		return cerr
	}
	return err
}
