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
	Kind Kind
	host int // the process that holds its namespace
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

// link is a network between two machines: the upper one has the address 1, the lower one 2.
type link struct {
	upper, lower string // the interfaces' names
	base         string // of addresses
	v6           bool
}

func (l link) addr(n int) string {
	if l.v6 {
		return fmt.Sprintf("%s::%d", l.base, n)
	}
	return fmt.Sprintf("%s.%d", l.base, n)
}

func (l link) prefix() string {
	if l.v6 {
		return "/64"
	}
	return "/24"
}

func (l link) config(n int, dev string) string {
	line := "ip addr add " + l.addr(n) + l.prefix() + " dev " + dev
	if l.v6 {
		line += " nodad"
	}
	return line + "\nip link set lo up\nip link set " + dev + " up"
}

// join lays a link between two namespaces; the upper one is 0 for the internet.
func (l link) join(t testing.TB, upper, lower int) {
	t.Helper()
	args := []string{"link", "add", l.upper}
	if upper != 0 {
		args = append(args, "netns", strconv.Itoa(upper))
	} else {
		t.Cleanup(func() { _ = exec.Command("ip", "link", "del", l.upper).Run() })
	}
	run(t, "ip", append(args, "type", "veth", "peer", "name", l.lower, "netns", strconv.Itoa(lower))...)
	if upper != 0 {
		in(t, upper, l.config(1, l.upper))
	} else {
		run(t, "sh", "-ec", l.config(1, l.upper))
	}
	in(t, lower, l.config(2, l.lower), "ip route add default via "+l.addr(1))
}

const forwarding = "echo 1 >/proc/sys/net/ipv4/ip_forward\necho 1 >/proc/sys/net/ipv6/conf/all/forwarding"

func load(t testing.TB, router int, rules string) {
	t.Helper()
	in(t, router, forwarding, "nft -f - <<'END'\n"+rules+"END")
}

// NewSite makes the site number n, of 1 to 250; it is gone at the test's end. The number must not be in use.
func NewSite(t testing.TB, k Kind, n int) *Site {
	t.Helper()
	return newSite(t, k, n, link.join)
}

// newSite makes a site whose router is joined to the internet in some way.
func newSite(t testing.TB, k Kind, n int, join func(l link, t testing.TB, upper, lower int)) *Site {
	t.Helper()
	testkit.Binary(t, "nft", "nftables")
	testkit.Binary(t, "nsenter", "util-linux")
	s := &Site{Kind: k, host: hold(t)}
	outside := link{upper: fmt.Sprintf("wan%d", n), lower: "wan", base: fmt.Sprintf("198.51.%d", n)}
	inside := link{upper: "lan", lower: "eth", base: fmt.Sprintf("192.168.%d", n)}
	if k == IPv6 {
		outside.base, outside.v6 = fmt.Sprintf("2001:db8:%x", n), true
		inside.base, inside.v6 = fmt.Sprintf("2001:db8:%x:1", n), true
	}
	router := hold(t)
	join(outside, t, 0, router)
	load(t, router, strings.NewReplacer("1.1.1.1", outside.addr(2), "2.2.2.2", inside.addr(2)).Replace(rules(k)))
	if k == DoubleNAT {
		home := hold(t)
		link{upper: "lan", lower: "wan", base: fmt.Sprintf("100.64.%d", n)}.join(t, router, home)
		load(t, home, rules(k))
		router = home
	}
	inside.join(t, router, s.host)
	if k == DualStack {
		outside6 := link{upper: outside.upper, lower: outside.lower, base: fmt.Sprintf("2001:db8:%x", n), v6: true}
		inside6 := link{upper: inside.upper, lower: inside.lower, base: fmt.Sprintf("2001:db8:%x:1", n), v6: true}
		run(t, "sh", "-ec", outside6.config(1, outside6.upper))
		in(t, router, outside6.config(2, outside6.lower), "ip route add default via "+outside6.addr(1), inside6.config(1, inside6.upper))
		in(t, s.host, inside6.config(2, inside6.lower), "ip route add default via "+inside6.addr(1))
		run(t, "ip", "route", "add", inside6.base+"::/64", "via", outside6.addr(2))
	}
	switch k {
	case Open:
		run(t, "ip", "route", "add", inside.base+".0/24", "via", outside.addr(2))
	case IPv6:
		run(t, "ip", "route", "add", inside.base+"::/64", "via", outside.addr(2))
	}
	return s
}

// NewTwins makes two hosts behind one router, as site number n.
func NewTwins(t testing.TB, w Twins, n int) [2]*Site {
	t.Helper()
	testkit.Binary(t, "nft", "nftables")
	out := [2]*Site{{Kind: PortRestricted, host: hold(t)}, {Kind: PortRestricted, host: hold(t)}}
	router := hold(t)
	outside := link{upper: fmt.Sprintf("wan%d", n), lower: "wan", base: fmt.Sprintf("198.51.%d", n)}
	outside.join(t, 0, router)
	lans := [2]link{
		{upper: "lan0", lower: "eth", base: fmt.Sprintf("192.168.%d", n)},
		{upper: "lan1", lower: "eth", base: fmt.Sprintf("172.16.%d", n)},
	}
	for i, s := range out {
		lans[i].join(t, router, s.host)
	}
	if w == Hairpin {
		in(t, router, "ip addr add "+outside.addr(3)+"/24 dev wan")
	}
	load(t, router, strings.NewReplacer("1.1.1.1", outside.addr(2), "1.1.1.2", outside.addr(3),
		"2.2.2.2", lans[0].addr(2), "3.3.3.3", lans[1].addr(2)).Replace(twinRules(w)))
	return out
}

// Command is a program that is to run on the site's host.
func (s *Site) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"-t", strconv.Itoa(s.host), "-n", name}, args...)...)
}

// in runs a script in a namespace.
func in(t testing.TB, pid int, lines ...string) {
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
