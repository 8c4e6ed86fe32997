package agent

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
)

// socketBuffer is what a UDP socket may hold, in bytes. The kernel's default of 208 KiB has room for 270 small packets
// only, which a busy moment fills.
const socketBuffer = 1 << 20

// turnDialTimeout is how long a TURN server may take to answer a TCP connection. A firewall that drops says nothing.
const turnDialTimeout = 5 * time.Second

// network is the machine's network for one agent: with larger UDP buffers, and one that can be given up while pion waits
// for servers that do not answer.
type network struct {
	*stdnet.Net
	ctx    context.Context // of the agent's life
	cancel context.CancelFunc

	mu   sync.Mutex
	open []io.Closer // sockets to servers
	over bool
}

func newNet() (*network, error) {
	std, err := stdnet.NewNet()
	if err != nil {
		return nil, err
	}
	n := &network{Net: std}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n, nil
}

// giveUp ends what is under way with servers.
func (n *network) giveUp() {
	n.cancel()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.over = true
	for _, c := range n.open {
		_ = c.Close()
	}
	n.open = nil
}

func (n *network) keep(c io.Closer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.over {
		_ = c.Close()
		return
	}
	n.open = append(n.open, c)
}

// ListenUDP implements [transport.Net].
func (n *network) ListenUDP(network string, addr *net.UDPAddr) (transport.UDPConn, error) {
	c, err := n.Net.ListenUDP(network, addr)
	if err == nil {
		// The kernel cuts it to what it allows, and less is no failure.
		_ = c.SetReadBuffer(socketBuffer)
		_ = c.SetWriteBuffer(socketBuffer)
	}
	return c, err
}

// ListenPacket implements [transport.Net]. pion talks to TURN servers with it.
func (n *network) ListenPacket(network, addr string) (net.PacketConn, error) {
	c, err := n.Net.ListenPacket(network, addr)
	if err == nil {
		n.keep(c)
	}
	return c, err
}

// DialTCP implements [transport.Net].
func (n *network) DialTCP(network string, local, remote *net.TCPAddr) (transport.TCPConn, error) {
	d := net.Dialer{Timeout: turnDialTimeout}
	if local != nil {
		d.LocalAddr = local
	}
	c, err := d.DialContext(n.ctx, network, remote.String())
	if err != nil {
		return nil, err
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		_ = c.Close()
		return nil, net.UnknownNetworkError(network)
	}
	n.keep(tcp)
	return tcp, nil
}
