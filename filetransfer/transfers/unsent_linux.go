package transfers

import (
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// unsentTCP returns how many bytes a TCP socket holds that the other end has not acknowledged, and 0 for anything else.
func unsentTCP(c io.Closer) int {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return 0
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	_ = raw.Control(func(fd uintptr) {
		if v, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
			n = v
		}
	})
	return n
}

// resetTCP returns the pending error of a socket. Reading tells only the end, if that came first.
func resetTCP(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	pending := 0
	if e := raw.Control(func(fd uintptr) { pending, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR) }); e != nil {
		return e
	}
	if err == nil && pending != 0 {
		err = os.NewSyscallError("read", unix.Errno(pending))
	}
	return err
}
