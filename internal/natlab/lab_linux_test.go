package natlab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jingled/jingled/internal/testkit"
)

// Site is a host behind a router.
type Site struct {
	Kind         Kind
	router, host int // processes that hold the namespaces
}

// Enable makes this machine forward packets between the sites that are made, and adds addresses to it.
func Enable(t testing.TB, addrs ...string) {
	t.Helper()
	for _, f := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		if err := os.WriteFile("/proc/sys/net/"+f, []byte("1"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range addrs {
		words := []string{"addr", "add", a, "dev", "lan"}
		if strings.Contains(a, ":") {
			words = append(words, "nodad")
		}
		run(t, "ip", words...)
	}
}

// NewSite makes the site number n, of 1 to 250; it is gone at the test's end. Its name must not be in use.
func NewSite(t testing.TB, k Kind, n int) *Site {
	t.Helper()
	testkit.Binary(t, "nft", "nftables")
	testkit.Binary(t, "nsenter", "util-linux")
	s := &Site{Kind: k, router: hold(t), host: hold(t)}
	wan, lan := fmt.Sprintf("wan%d", n), fmt.Sprintf("lan%d", n)
	r, h := strconv.Itoa(s.router), strconv.Itoa(s.host)
	run(t, "ip", "link", "add", wan, "type", "veth", "peer", "name", "wan", "netns", r)
	run(t, "ip", "link", "add", lan, "netns", r, "type", "veth", "peer", "name", "eth", "netns", h)
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", wan).Run() })
	v4 := k != IPv6
	outside, inside := fmt.Sprintf("198.51.%d", n), fmt.Sprintf("192.168.%d", n)
	outside6, inside6 := fmt.Sprintf("2001:db8:%x", n), fmt.Sprintf("2001:db8:%x:1", n)
	run(t, "ip", "link", "set", wan, "up")
	var router, host []string
	if v4 {
		run(t, "ip", "addr", "add", outside+".1/24", "dev", wan)
		router = []string{"ip addr add " + outside + ".2/24 dev wan", "ip addr add " + inside + ".1/24 dev " + lan,
			"echo 1 >/proc/sys/net/ipv4/ip_forward"}
		host = []string{"ip addr add " + inside + ".2/24 dev eth"}
		if k == Open {
			run(t, "ip", "route", "add", inside+".0/24", "via", outside+".2")
		}
	} else {
		run(t, "ip", "addr", "add", outside6+"::1/64", "dev", wan, "nodad")
		router = []string{"ip addr add " + outside6 + "::2/64 dev wan nodad", "ip addr add " + inside6 + "::1/64 dev " + lan + " nodad",
			"echo 1 >/proc/sys/net/ipv6/conf/all/forwarding"}
		host = []string{"ip addr add " + inside6 + "::2/64 dev eth nodad"}
		run(t, "ip", "route", "add", inside6+"::/64", "via", outside6+"::2")
	}
	router = append(router, "ip link set lo up", "ip link set wan up", "ip link set "+lan+" up")
	host = append(host, "ip link set lo up", "ip link set eth up")
	if v4 {
		router = append(router, "ip route add default via "+outside+".1")
		host = append(host, "ip route add default via "+inside+".1")
	} else {
		router = append(router, "ip route add default via "+outside6+"::1")
		host = append(host, "ip route add default via "+inside6+"::1")
	}
	text := strings.NewReplacer("1.1.1.1", outside+".2", "2.2.2.2", inside+".2").Replace(rules(k))
	router = append(router, "nft -f - <<'END'\n"+text+"END")
	in(t, s.router, router)
	in(t, s.host, host)
	return s
}

// Command is a program that is to run on the site's host.
func (s *Site) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"-t", strconv.Itoa(s.host), "-n", name}, args...)...)
}

// in runs a script in a namespace.
func in(t testing.TB, pid int, lines []string) {
	t.Helper()
	run(t, "nsenter", "-t", strconv.Itoa(pid), "-n", "sh", "-ec", strings.Join(lines, "\n"))
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// hold makes a network namespace and returns the process that keeps it.
func hold(t testing.TB) int {
	t.Helper()
	cmd := exec.Command("sleep", "3600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}
