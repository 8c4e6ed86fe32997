package testkit

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// networkEnv names, in a process that [InNetwork] has started, the test that it is for.
const networkEnv = "JINGLED_TEST_NETWORK"

// NetworkAddress is the address of this machine in a network of [InNetwork], on an interface that is not the loopback.
// It is of a range for private use, and nothing else can be reached.
const NetworkAddress = "10.99.0.1"

// InNetwork runs the calling test in a network namespace of its own, which has the loopback and [NetworkAddress], and
// which nothing leaves. That takes a process of its own: InNetwork returns false once that has ended with the test's
// result, and true inside of it. env is added to its environment. What needs a real network, such as fetching what the
// test is made of, goes before it. It needs root, or the right to make user namespaces.
func InNetwork(t *testing.T, env ...string) bool {
	t.Helper()
	ip := Binary(t, "ip", "iproute2")
	if os.Getenv(networkEnv) == t.Name() {
		// Without link-local addresses of IPv6: those come a second or two later, and a browser fails what it loads then.
		for _, line := range []string{
			"link set lo up", "link add lan type veth peer name lan-peer",
			"link set lan addrgenmode none", "link set lan-peer addrgenmode none", "addr add " + NetworkAddress + "/24 dev lan",
			"link set lan-peer up", "link set lan up",
		} {
			if out, err := exec.Command(ip, strings.Fields(line)...).CombinedOutput(); err != nil {
				t.Fatalf("ip %s: %v\n%s", line, err, out)
			}
		}
		return true
	}
	// A name without its subtests is a name for -test.run.
	args := []string{"-test.run=^" + t.Name() + "$", "-test.v", "-test.timeout=" + time.Until(deadline(t)).String()}
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), networkEnv+"="+t.Name()), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		Missing(t, "a network namespace needs root or unprivileged user namespaces: "+err.Error())
	}
	err := cmd.Wait()
	t.Logf("in a network of its own:\n%s", out.String())
	if err != nil {
		t.Error(err)
	}
	return false
}

// deadline leaves the inner process some seconds less than the test has, so that its own report is seen.
func deadline(t *testing.T) time.Time {
	if d, ok := t.Deadline(); ok {
		return d.Add(-5 * time.Second)
	}
	return time.Now().Add(10 * time.Minute)
}
