//go:build darwin || freebsd

package local

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// checkUnix asks the kernel whose process is at the other end. Root may connect as well: it could anyway.
func checkUnix(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Xucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	}); err != nil {
		return err
	}
	if credErr != nil {
		return credErr
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Getuid() {
		return fmt.Errorf("it is of the user %d", cred.Uid)
	}
	return nil
}
