package natlab

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/testkit/impair"
)

// NewFarSite is NewSite with a bad line between the router and the internet: up is from the site, down is to it. Everything takes
// that line, also what belongs to TCP.
func NewFarSite(t testing.TB, k Kind, n int, cfg impair.Config) (*Site, *impair.Pump) {
	t.Helper()
	var pump *impair.Pump
	s := newSite(t, k, n, func(l link, t testing.TB, upper, lower int) {
		t.Helper()
		far, near := tunnel(t, lower, l.lower), tunnel(t, upper, l.upper)
		if upper == 0 {
			run(t, "sh", "-ec", l.config(1, l.upper))
			t.Cleanup(func() { _ = exec.Command("ip", "link", "del", l.upper).Run() })
		} else {
			in(t, upper, l.config(1, l.upper))
		}
		in(t, lower, l.config(2, l.lower), "ip route add default via "+l.addr(1))
		var err error
		if pump, err = impair.NewPump(far, near, cfg); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = pump.Close() })
	})
	return s, pump
}

// SpareTCP is for impair.Config.Spares: it spares all of IPv4 and IPv6 that is not UDP.
func SpareTCP(packet []byte) bool {
	const udp = 17
	switch packet[0] >> 4 {
	case 4:
		return len(packet) < 20 || packet[9] != udp
	case 6:
		return len(packet) < 40 || packet[6] != udp
	}
	return true
}

// tunnel makes a network device in a namespace, 0 for the internet, whose packets are read and written here.
func tunnel(t testing.TB, pid int, name string) *os.File {
	t.Helper()
	// A namespace is a thread's. The thread must come back and live on: processes that it has started end with it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = home.Close() }()
	f, err := openTunnel(pid, name)
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		panic(err) // all that follows would be at the wrong place
	}
	if err != nil {
		testkit.Missing(t, "packets cannot be taken from the kernel: run as root, with /dev/net/tun: "+err.Error())
	}
	return f
}

func openTunnel(pid int, name string) (*os.File, error) {
	if pid != 0 {
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err != nil {
			return nil, err
		}
		defer func() { _ = ns.Close() }()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return nil, fmt.Errorf("setns: %w", err)
		}
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), "tun:"+name), nil
}
