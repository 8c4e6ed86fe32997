package agent

import (
	"net"

	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
)

// socketBuffer is what a UDP socket may hold, in bytes. The kernel's default of 208 KiB has room for 270 small packets
// only, which a busy moment fills.
const socketBuffer = 1 << 20

// buffered is the network with larger UDP buffers.
type buffered struct{ *stdnet.Net }

func newNet() (transport.Net, error) {
	n, err := stdnet.NewNet()
	return buffered{n}, err
}

// ListenUDP implements [transport.Net].
func (b buffered) ListenUDP(network string, addr *net.UDPAddr) (transport.UDPConn, error) {
	c, err := b.Net.ListenUDP(network, addr)
	if err == nil {
		// The kernel cuts it to what it allows, and less is no failure.
		_ = c.SetReadBuffer(socketBuffer)
		_ = c.SetWriteBuffer(socketBuffer)
	}
	return c, err
}
