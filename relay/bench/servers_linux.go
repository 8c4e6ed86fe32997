package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jingled/jingled/relay/internal/loadgen"
)

// contender is a server under test.
type contender struct {
	name string
	// args start it; at is where it listens.
	args func(b *bench, at netip.AddrPort, g *loadgen.Generator) []string
	// raw: no TURN server but a forwarder, with so many sockets to the peers.
	raw int
	// pacedOnly: it differs from another contender only at fixed rates.
	pacedOnly bool
	// singlesOnly: only saturated rows of single packets over UDP.
	singlesOnly bool
	// vethOnly: only in network namespaces.
	vethOnly bool
	// says prints a line when it is ready; others are asked.
	says bool
}

func contenders() []contender {
	ours := func(kind string, more ...string) func(*bench, netip.AddrPort, *loadgen.Generator) []string {
		return func(b *bench, at netip.AddrPort, _ *loadgen.Generator) []string {
			args := append([]string{b.self, "serve", kind, "-listen", at.String()}, more...)
			if b.opt.profile != "" && kind == "relay" {
				b.profiles++
				args = append(args, "-profile", fmt.Sprintf("%s.%d", b.opt.profile, b.profiles))
			}
			return args
		}
	}
	return []contender{
		{name: "coturn", args: coturn},
		{name: "pion", args: ours("pion"), says: true},
		{name: "forward", raw: 1, says: true, args: forwarder(1)},
		{name: "forward-n", raw: udpClients, says: true, args: forwarder(udpClients), singlesOnly: true},
		{name: "relay", args: ours("relay"), says: true},
		{name: "relay-nc", args: ours("relay", "-coalesce", "-1ns"), says: true, pacedOnly: true},
		{name: "relay-tc", args: ours("relay", "-offload", "tc"), says: true, vethOnly: true},
		{name: "relay-xdp", args: ours("relay", "-offload", "xdp"), says: true, vethOnly: true},
	}
}

func forwarder(sockets int) func(*bench, netip.AddrPort, *loadgen.Generator) []string {
	return func(b *bench, at netip.AddrPort, g *loadgen.Generator) []string {
		c, p := g.Ports()
		return []string{
			b.self, "serve", "forward", "-listen", at.String(), "-clients", fmt.Sprintf("%v:%d", clientNet.Addr(), c),
			"-peers", fmt.Sprintf("%v:%d", peerNet.Addr(), p), "-sockets", strconv.Itoa(sockets),
		}
	}
}

// coturn is Debian's, with one relay thread and nothing that costs time. The system's service is not touched.
func coturn(b *bench, at netip.AddrPort, _ *loadgen.Generator) []string {
	return []string{
		"turnserver", "-n", "--listening-ip=" + at.Addr().String(), fmt.Sprintf("--listening-port=%d", at.Port()), "--relay-ip=" + at.Addr().String(),
		"--lt-cred-mech", "--user=" + user + ":" + password, "--realm=" + realm, "--relay-threads=1", "--no-tls", "--no-dtls", "--no-cli",
		"--allow-loopback-peers", "--simple-log", "--log-file=" + filepath.Join(b.dir, "coturn.log"),
		"--pidfile=" + filepath.Join(b.dir, "coturn.pid"), "--userdb=" + filepath.Join(b.dir, "turndb"),
	}
}

var (
	clientNet = netip.MustParsePrefix("127.1.0.0/16")
	peerNet   = netip.MustParsePrefix("127.2.0.0/16")
	loopback  = netip.MustParseAddr("127.0.0.1")
)

// running is a server process and the generator that faces it.
type running struct {
	cmd *exec.Cmd
	gen *loadgen.Generator
}

// start runs a contender on its CPU and waits until it answers.
func (b *bench) start(c *contender) (*running, error) {
	at, err := freePort()
	if err != nil {
		return nil, err
	}
	r := &running{}
	lc := loadgen.Config{
		Server: at, Clients: clientNet, Peers: peerNet, Device: "lo", Username: user, Password: password,
		Raw: c.raw > 0, RawPeers: netip.AddrPortFrom(at.Addr(), at.Port()+1), RawPorts: c.raw,
	}
	if b.veth != nil {
		at = netip.AddrPortFrom(vethServer, at.Port())
		lc.Server, lc.Clients, lc.Peers, lc.Device = at, vethClients, vethPeers, ""
		if err := b.veth.world.enter(); err != nil {
			return nil, err
		}
	}
	if r.gen, err = loadgen.New(lc); err != nil {
		return nil, err
	}
	args := c.args(b, at, r.gen)
	r.cmd = exec.Command(args[0], args[1:]...)
	r.cmd.Dir = b.dir
	r.cmd.Stderr = os.Stderr
	if !c.says {
		r.cmd.Stderr = nil
	}
	// Whatever happens to the benchmark, no server stays behind.
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out io.ReadCloser
	if c.says {
		if out, err = r.cmd.StdoutPipe(); err != nil {
			r.gen.Close()
			return nil, err
		}
	}
	if err := b.spawn(r.cmd); err != nil {
		r.gen.Close()
		return nil, fmt.Errorf("starting %s: %w", c.name, err)
	}
	if b.opt.nice != 0 {
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", r.cmd.Process.Pid), []byte(strconv.Itoa(b.opt.nice)), 0)
	}
	if c.says {
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || strings.TrimSpace(line) != "ready" {
			r.stop()
			return nil, fmt.Errorf("%s did not start: %q %w", c.name, line, err)
		}
		return r, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.gen.AwaitServer(ctx); err != nil {
		r.stop()
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	return r, nil
}

// spawn starts cmd on the servers' CPU. The thread that starts it must live on: the process dies with it (PR_SET_PDEATHSIG).
func (b *bench) spawn(cmd *exec.Cmd) error {
	reply := make(chan error)
	b.starts <- func() {
		err := error(nil)
		if b.veth != nil {
			err = b.veth.relay.enter()
		}
		if err == nil {
			err = cmd.Start()
		}
		reply <- err
	}
	return <-reply
}

func (r *running) stop() {
	r.gen.Close()
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	t := time.AfterFunc(2*time.Second, func() { _ = r.cmd.Process.Kill() })
	_ = r.cmd.Wait()
	t.Stop()
}

// freePort finds an even port that UDP and TCP may use, and the next for UDP.
func freePort() (netip.AddrPort, error) {
	for port := 21000 + 2*(os.Getpid()%2000); port < 29000; port += 2 {
		at := netip.AddrPortFrom(loopback, uint16(port))
		if portFree(at) && portFree(netip.AddrPortFrom(loopback, uint16(port+1))) {
			return at, nil
		}
	}
	return netip.AddrPort{}, errors.New("no free port")
}

func portFree(at netip.AddrPort) bool {
	u, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return false
	}
	defer u.Close()
	l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return false
	}
	l.Close()
	return true
}
