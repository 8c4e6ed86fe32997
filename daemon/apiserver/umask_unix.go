//go:build unix

package apiserver

import (
	"net"

	"golang.org/x/sys/unix"
)

// listenPrivate listens on a Unix socket that has the mode 0600 from its first moment.
func listenPrivate(path string) (net.Listener, error) {
	old := unix.Umask(0o177)
	defer unix.Umask(old)
	return net.Listen("unix", path)
}
