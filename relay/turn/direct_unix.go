//go:build unix

package turn

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// direct writes to a connection without waiting. Its parts live here so that a write allocates nothing; one write at a time.
type direct struct {
	raw syscall.RawConn
	try func(fd uintptr) bool
	b   []byte
	n   int
	err error
}

func (d *direct) once(fd uintptr) bool {
	d.n, d.err = unix.Write(int(fd), d.b)
	return true
}

func (d *direct) write(b []byte) (int, error) {
	d.b, d.n, d.err = b, 0, nil
	err := d.raw.Write(d.try)
	d.b = nil
	if err != nil {
		return 0, err
	}
	return max(d.n, 0), d.err
}

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
	d := &direct{raw: raw}
	d.try = d.once
	return d.write
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
