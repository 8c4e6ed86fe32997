package agent

import (
	"context"
	"crypto/tls"
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
	six     bool // there is no IPv4
	socket  func(transport.UDPConn) transport.UDPConn
	ctx     context.Context // of the agent's life
	cancel  context.CancelFunc
	secure  secureServers
	names   Names
	reached reachedByProxy

	mu   sync.Mutex
	open []server // sockets to servers
	over bool
}

func newNet(cfg Config, secure secureServers) (*network, error) {
	std, err := stdnet.NewNet()
	if err != nil {
		return nil, err
	}
	ifaces, err := std.Interfaces()
	if err != nil {
		return nil, err
	}
	n := &network{Net: std, six: onlySix(ifaces), socket: cfg.Socket, secure: secure, names: cfg.Names}
	if n.names == nil {
		n.names = net.DefaultResolver
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n, nil
}

// giveUp ends what is under way with servers that have said nothing. The others are told that we need them no more.
func (n *network) giveUp() {
	n.cancel()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.over = true
	for _, c := range n.open {
		if !c.heard() {
			_ = c.Close()
		}
	}
	n.open = nil
}

func (n *network) keep(c server) {
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
	if addr != nil && isDummy(addr.IP.String()) {
		return nil, errDummy
	}
	c, err := n.Net.ListenUDP(network, addr)
	if err != nil {
		return nil, err
	}
	// The kernel cuts it to what it allows, and less is no failure.
	_ = c.SetReadBuffer(socketBuffer)
	_ = c.SetWriteBuffer(socketBuffer)
	if n.socket != nil {
		c = n.socket(c)
	}
	return c, nil
}

// ListenPacket implements [transport.Net]. pion talks to TURN servers with it.
func (n *network) ListenPacket(network, addr string) (net.PacketConn, error) {
	if n.six && isDummy(addr) {
		network, addr = "udp6", "[::]:0"
	}
	c, err := n.Net.ListenPacket(network, addr)
	if err != nil {
		return nil, err
	}
	s := newPacketServer(c, n.local(c.LocalAddr()))
	n.keep(s)
	return s, nil
}

// DialTCP implements [transport.Net].
func (n *network) DialTCP(network string, local, remote *net.TCPAddr) (transport.TCPConn, error) {
	if n.six {
		network = "tcp"
	}
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
	s, err := n.begin(tcp, n.secure.of(remote))
	if err != nil {
		return nil, err
	}
	return tcpServer{s, tcp}, nil
}

// begin makes a server of a connection to it, by TLS if it has a name to be known by. The connection is closed if that fails.
func (n *network) begin(c net.Conn, host string) (*streamServer, error) {
	if host != "" {
		ctx, cancel := context.WithTimeout(n.ctx, turnDialTimeout)
		defer cancel()
		secure := tls.Client(c, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12})
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = c.Close()
			return nil, err
		}
		c = secure
	}
	s := newStreamServer(c, n.local(c.LocalAddr()))
	n.keep(s)
	return s, nil
}
