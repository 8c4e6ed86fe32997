//go:build !unix

package turn

import (
	"net"
	"syscall"
)

// directWriter returns nil: writes go through the stream's writer.
func directWriter(net.Conn) func([]byte) (int, error) { return nil }

// reuse does nothing: connecting from a listening address fails on systems without SO_REUSEPORT, and Connect then answers 447.
func reuse(string, string, syscall.RawConn) error { return nil }
