package datachannel

import (
	"net"

	pion "github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
)

// socketBuffer is what a UDP socket may hold, in bytes: what comes in while this process waits for a processor.
const socketBuffer = 4 << 20

// network is the machine's, with sockets for bulk.
type network struct{ *stdnet.Net }

func newNet() (pion.Net, error) {
	n, err := stdnet.NewNet()
	return network{n}, err
}

// ListenUDP implements [pion.Net].
func (n network) ListenUDP(netw string, addr *net.UDPAddr) (pion.UDPConn, error) {
	c, err := n.Net.ListenUDP(netw, addr)
	if err != nil {
		return nil, err
	}
	// The kernel cuts it to what it allows, and less is no failure.
	_ = c.SetReadBuffer(socketBuffer)
	_ = c.SetWriteBuffer(socketBuffer)
	return bulk(c), nil
}
