//go:build unix

package si

import "syscall"

// look tells how much there is to read from a socket, and reads nothing. done says that waiting changes nothing any more.
func look(fd uintptr) (n int, done bool, err error) {
	var b [1]byte
	for {
		n, _, err = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		if err != syscall.EINTR {
			return n, err != syscall.EAGAIN, err
		}
	}
}
