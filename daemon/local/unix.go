//go:build linux || darwin || freebsd

package local

import (
	"fmt"
	"net"
	"os"
)

// checkUnix asks the kernel whose process is at the other end. Root may connect as well: it could anyway.
func checkUnix(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var uid uint32
	var uidErr error
	if err := raw.Control(func(fd uintptr) { uid, uidErr = peerUID(int(fd)) }); err != nil {
		return err
	}
	if uidErr != nil {
		return uidErr
	}
	if uid != 0 && int(uid) != os.Getuid() {
		return fmt.Errorf("it belongs to another user: %d", uid)
	}
	return nil
}
