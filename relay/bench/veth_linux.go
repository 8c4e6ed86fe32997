package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/jingled/jingled/relay/internal/loadgen"
)

// Relaying in the kernel needs an interface that packets come in by. So these rows run over a veth pair between two network
// namespaces: the servers' and the world's, where the generator's sockets are. Clients and peers are behind a gateway.

var (
	vethServer  = netip.MustParseAddr("10.77.0.1")
	vethWorld   = netip.MustParseAddr("10.77.0.2")
	vethClients = netip.MustParsePrefix("10.78.0.0/16")
	vethPeers   = netip.MustParsePrefix("10.79.0.0/16")
)

// space is a network namespace, held by a sleeping process.
type space struct {
	holder *exec.Cmd
	fd     int
}

type veth struct{ relay, world, home *space }

func newSpace(b *bench) (*space, error) {
	s := &space{holder: exec.Command("sleep", "3600"), fd: -1}
	s.holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	reply := make(chan error)
	b.starts <- func() { reply <- s.holder.Start() }
	if err := <-reply; err != nil {
		return nil, fmt.Errorf("a network namespace: %w", err)
	}
	var err error
	s.fd, err = unix.Open(fmt.Sprintf("/proc/%d/ns/net", s.holder.Process.Pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return s, err
}

func (s *space) close() {
	if s == nil {
		return
	}
	unix.Close(s.fd)
	if s.holder != nil {
		_ = s.holder.Process.Kill()
		_ = s.holder.Wait()
	}
}

// enter moves the calling thread there.
func (s *space) enter() error { return unix.Setns(s.fd, unix.CLONE_NEWNET) }

func (s *space) ip(args ...string) error {
	if err := s.enter(); err != nil {
		return err
	}
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return nil
}

// overVeth runs the rows of that group, if any are asked for.
func (b *bench) overVeth(list []contender) (err error) {
	var todo []row
	for _, r := range rows() {
		if r.group == overVeth && selected(b.opt.rows, r.name) {
			todo = append(todo, r)
		}
	}
	list = slices.DeleteFunc(slices.Clone(list), func(c contender) bool { return c.raw > 0 || c.pacedOnly })
	if len(todo) == 0 || len(list) == 0 {
		return nil
	}
	if os.Geteuid() != 0 {
		return errors.New("they need root, for network namespaces and to load a program into the kernel")
	}
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	v := &veth{home: &space{fd: home}}
	defer v.home.close()
	defer func() { err = errors.Join(err, v.home.enter()) }()
	defer func() { b.veth = nil; v.relay.close(); v.world.close() }()
	if v.relay, err = newSpace(b); err != nil {
		return err
	}
	if v.world, err = newSpace(b); err != nil {
		return err
	}
	for _, step := range []struct {
		in   *space
		args []string
	}{
		{v.relay, []string{"link", "add", "jrelay0", "type", "veth", "peer", "name", "jworld0", "netns", strconv.Itoa(v.world.holder.Process.Pid)}},
		{v.relay, []string{"link", "set", "lo", "up"}},
		{v.relay, []string{"link", "set", "jrelay0", "up"}},
		{v.relay, []string{"addr", "add", vethServer.String() + "/24", "dev", "jrelay0"}},
		{v.world, []string{"link", "set", "lo", "up"}},
		{v.world, []string{"link", "set", "jworld0", "up"}},
		{v.world, []string{"addr", "add", vethWorld.String() + "/24", "dev", "jworld0"}},
		{v.world, []string{"route", "add", "local", vethClients.String(), "dev", "lo"}},
		{v.world, []string{"route", "add", "local", vethPeers.String(), "dev", "lo"}},
		{v.relay, []string{"route", "add", vethClients.String(), "via", vethWorld.String()}},
		{v.relay, []string{"route", "add", vethPeers.String(), "via", vethWorld.String()}},
	} {
		if err := step.in.ip(step.args...); err != nil {
			return err
		}
	}
	if err := v.relay.enter(); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/jrelay0/forwarding", []byte("1"), 0); err != nil {
		return err
	}
	b.veth = v
	for round := range b.opt.rounds {
		if err := b.generatorAlone(todo); err != nil {
			return err
		}
		for i := range list {
			c := &list[(i+round)%len(list)]
			if err := b.load(c, overVeth, todo); err != nil {
				fmt.Fprintf(os.Stderr, "round %d: %s over veth: %v\n", round+1, c.name, err)
			}
		}
	}
	return nil
}

// generatorAlone measures what the generator takes to send packets to itself, within its namespace.
func (b *bench) generatorAlone(todo []row) error {
	if err := b.veth.world.enter(); err != nil {
		return err
	}
	g, err := loadgen.New(loadgen.Config{Server: netip.MustParseAddrPort("10.79.1.1:1"), Clients: vethClients, Peers: vethPeers, Raw: true})
	if err != nil {
		return err
	}
	defer g.Close()
	if err := g.OpenDirect(udpClients); err != nil {
		return err
	}
	for _, r := range todo {
		flow := r.flow
		flow.Duration = b.opt.duration
		drive := g.Saturate
		if flow.Rate > 0 {
			drive = g.Pace
		}
		res, err := drive(flow)
		if err != nil {
			return err
		}
		if res.Measured > 0 {
			b.alone[r.name] = append(b.alone[r.name], figures{whole: res.Work.Seconds() / float64(res.Measured) * 1e6})
		}
	}
	return nil
}
