//go:build linux && (amd64 || arm64 || riscv64 || loong64)

package offload

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The tests run in a network namespace of their own: the test binary starts itself in one, which is the relay's. A second
// one, the world, is held by a sleeping process. A veth pair connects them; nothing leaves the two.

const insideEnv = "OFFLOAD_TEST_INSIDE"

const (
	relayIf = "jrelay0"
	worldIf = "jworld0"
)

// addresses of one family. The relay has one, the world three: a client, a peer and the gateway to another network with a peer.
type addresses struct {
	relay, client, peer, far netip.Addr
}

var (
	v4 = addresses{netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("10.77.0.2"), netip.MustParseAddr("10.77.0.3"), netip.MustParseAddr("10.78.0.9")}
	v6 = addresses{netip.MustParseAddr("fd77::1"), netip.MustParseAddr("fd77::2"), netip.MustParseAddr("fd77::3"), netip.MustParseAddr("fd78::9")}
)

// inside runs the test in a namespace: it returns true there. Outside it starts that and reports what it found.
func inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideEnv) != "" {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes network namespaces and loads an eBPF program")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("the program ip is missing: install iproute2")
		}
		t.Skip("the program ip is not installed (package iproute2)")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1", "-test.timeout=100s")
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	switch text := out.String(); {
	case err != nil && !errors.As(err, &exit):
		t.Skipf("this system does not let us make network namespaces: %v", err)
	case err != nil:
		t.Fatalf("in the namespace:\n%s", text)
	case strings.Contains(text, "--- SKIP: "+t.Name()+" "):
		t.Skipf("in the namespace:\n%s", text)
	default:
		t.Log(text)
	}
	return false
}

// world is the other namespace.
type world struct{ pid int }

// build makes the world and the link to it. offloadSums leaves checksums to the "card", as veth does if one lets it.
func build(t *testing.T, offloadSums bool) *world {
	t.Helper()
	sleeper := exec.Command("sleep", "100")
	sleeper.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	// The thread that starts it must live as long.
	runtime.LockOSThread()
	if err := sleeper.Start(); err != nil {
		t.Skipf("no second namespace: %v", err)
	}
	t.Cleanup(func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait(); runtime.UnlockOSThread() })
	w := &world{pid: sleeper.Process.Pid}
	ip(t, "link", "add", relayIf, "type", "veth", "peer", "name", worldIf, "netns", strconv.Itoa(w.pid))
	t.Cleanup(func() { ip(t, "link", "del", relayIf) })
	w.do(t, func() {
		ip(t, "link", "set", "lo", "up")
		ip(t, "link", "set", worldIf, "up")
		for _, a := range []addresses{v4, v6} {
			for i, x := range []netip.Addr{a.client, a.peer, a.far} {
				dev := worldIf
				if i == 2 {
					dev = "lo"
				}
				addAddress(t, dev, x)
			}
		}
		checksums(t, worldIf, offloadSums)
	})
	ip(t, "link", "set", "lo", "up")
	ip(t, "link", "set", relayIf, "up")
	checksums(t, relayIf, offloadSums)
	for _, a := range []addresses{v4, v6} {
		addAddress(t, relayIf, a.relay)
		far, _ := a.far.Prefix(16)
		ip(t, "route", "add", far.String(), "via", a.client.String())
	}
	for _, f := range []string{"ipv4", "ipv6"} {
		if err := os.WriteFile("/proc/sys/net/"+f+"/conf/"+relayIf+"/forwarding", []byte("1"), 0); err != nil {
			t.Skipf("forwarding cannot be enabled: %v", err)
		}
	}
	// The link is up when both ends can hear each other.
	for _, a := range []addresses{v4, v6} {
		for _, to := range []netip.Addr{a.client, a.peer} {
			w.await(t, a.relay, to)
		}
	}
	return w
}

func addAddress(t *testing.T, dev string, a netip.Addr) {
	t.Helper()
	args := []string{"addr", "add", a.String() + "/24", "dev", dev}
	if a.Is6() {
		args = []string{"addr", "add", a.String() + "/64", "dev", dev, "nodad"}
	}
	ip(t, args...)
}

// await sends datagrams until one arrives: then the neighbour is known.
func (w *world) await(t *testing.T, from, to netip.Addr) {
	t.Helper()
	in := w.listen(t, netip.AddrPortFrom(to, 0))
	out := listen(t, netip.AddrPortFrom(from, 0))
	for range 100 {
		_, _ = out.WriteToUDPAddrPort([]byte("hello"), addrOf(in))
		_ = in.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, _, err := in.ReadFromUDPAddrPort(make([]byte, 64)); err == nil {
			return
		}
	}
	t.Fatalf("no way from %v to %v", from, to)
}

// do runs f in the world. The thread that did it is thrown away.
func (w *world) do(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", w.pid))
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatalf("entering the world: %v", err)
	}
}

func (w *world) listen(t *testing.T, a netip.AddrPort) (c *net.UDPConn) {
	t.Helper()
	var err error
	w.do(t, func() { c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(a)) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func listen(t *testing.T, a netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func addrOf(c *net.UDPConn) netip.AddrPort {
	a := c.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// ip runs iproute2. It is called from goroutines that may not end the test.
func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Errorf("ip %v: %v %s", args, err, out)
	}
}

// checksums switches transmit checksum offloading of an interface, as ethtool does.
func checksums(t *testing.T, name string, on bool) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Error(err)
		return
	}
	defer unix.Close(fd)
	const setTxCsum = 0x17 // ETHTOOL_STXCSUM
	value := struct{ cmd, data uint32 }{cmd: setTxCsum}
	if on {
		value.data = 1
	}
	var req struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(req.name[:], name)
	req.data = unsafe.Pointer(&value)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
		t.Errorf("checksum offloading of %s: %v", name, errno)
	}
}

// mayFail says what an error of Open means for the test: where the kernel has what is needed, CI must have it working.
func mayFail(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var uts unix.Utsname
	_ = unix.Uname(&uts)
	release := unix.ByteSliceToString(uts.Release[:])
	var major, minor int
	_, _ = fmt.Sscanf(release, "%d.%d", &major, &minor)
	if errors.Is(err, ErrPermission) || errors.Is(err, ErrUnsupported) && (major < 6 || major == 6 && minor < 6 || os.Getenv("CI") != "true") {
		t.Skipf("Linux %s: %v", release, err)
	}
	t.Fatalf("Linux %s: %v", release, err)
}
