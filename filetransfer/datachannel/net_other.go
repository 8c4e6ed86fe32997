//go:build !linux

package datachannel

import pion "github.com/pion/transport/v4"

// bulk returns the socket as it is.
func bulk(c pion.UDPConn) pion.UDPConn { return c }
