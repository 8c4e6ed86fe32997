package transfers

import (
	"io"
	"net"

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
