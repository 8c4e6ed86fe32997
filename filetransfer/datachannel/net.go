package datachannel

import pion "github.com/pion/transport/v4"

// socketBuffer is what a UDP socket may hold, in bytes: what comes in while this process waits for a processor.
const socketBuffer = 4 << 20

// socket makes a UDP socket ready for bulk.
func socket(c pion.UDPConn) pion.UDPConn {
	// The kernel cuts it to what it allows, and less is no failure.
	_ = c.SetReadBuffer(socketBuffer)
	_ = c.SetWriteBuffer(socketBuffer)
	return bulk(c)
}
