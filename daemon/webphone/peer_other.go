//go:build !linux

package webphone

import "net"

// checkPeer takes every connection: these systems do not tell whose a connection over the loopback is.
func checkPeer(net.Conn) error { return nil }
