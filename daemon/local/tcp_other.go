//go:build !linux

package local

import "net"

// checkTCP takes every connection: these systems do not tell whose a connection over the loopback is.
func checkTCP(*net.TCPConn) error { return nil }
