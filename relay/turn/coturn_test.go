package turn

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jingled/jingled/relay/turn/alloc"
)

// coturnTool finds one of coturn's test programs. CI must have them, and root can install them.
func coturnTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" || os.Geteuid() == 0 {
			t.Fatalf("%s is missing: install coturn", name)
		}
		t.Skipf("%s is not installed (package coturn)", name)
	}
	return path
}

func runTool(dir string, limit time.Duration, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}

var receivedRE = regexp.MustCompile(`tot_send_msgs=(\d+), tot_recv_msgs=(\d+)`)

// TestCoturnClient has coturn's own test client judge every mode it knows.
func TestCoturnClient(t *testing.T) {
	uclient := coturnTool(t, "turnutils_uclient")
	type mode struct {
		name      string
		transport Transport
		v6        bool
		args      []string
		// share of what is sent that must come back, in percent; 100 when zero. In its passive mode the tool's
		// second half has no peer: coturn's own server returns the same half.
		share int
		// tries: with two families the tool deletes one at random, perhaps the one it needs.
		tries int
	}
	modes := []mode{
		{name: "udp", args: []string{"-c"}},
		{name: "udp rtp and rtcp pair"},
		{name: "send indications", args: []string{"-s", "-c"}},
		{name: "mandatory padding", args: []string{"-D", "-c"}},
		{name: "dont fragment", args: []string{"-g", "-c"}},
		{name: "extra requests", args: []string{"-G", "-c"}},
		{name: "mobility", args: []string{"-M", "-c"}},
		{name: "client to client", args: []string{"-y"}},
		{name: "explicit IPv4", args: []string{"-X", "-c"}},
		{name: "big packets", args: []string{"-c", "-l", "1400"}},
		{name: "tcp", transport: alloc.TCP, args: []string{"-t", "-c"}},
		{name: "tcp indications", transport: alloc.TCP, args: []string{"-t", "-s", "-c"}},
		{name: "tcp mobility", transport: alloc.TCP, args: []string{"-t", "-M", "-c"}},
		{name: "tls", transport: alloc.TLS, args: []string{"-t", "-S", "-c"}},
		{name: "dtls", transport: alloc.DTLS, args: []string{"-S", "-c"}},
		{name: "dtls indications", transport: alloc.DTLS, args: []string{"-S", "-s", "-c"}},
		{name: "tcp relay", transport: alloc.TCP, args: []string{"-T"}},
		{name: "tcp relay passive", transport: alloc.TCP, args: []string{"-P"}, share: 50},
		{name: "tcp relay over tls", transport: alloc.TLS, args: []string{"-T", "-S"}},
	}
	if hasIPv6() {
		modes = append(modes,
			mode{name: "ipv6", v6: true, args: []string{"-x", "-c"}},
			mode{name: "ipv6 tcp", v6: true, transport: alloc.TCP, args: []string{"-t", "-x", "-c"}},
			mode{name: "dual allocation", args: []string{"-Z"}, tries: 10},
		)
	}
	for _, loops := range []int{0, 2} {
		c := testConfig(t)
		c.Loops, c.Portable = loops, loops == 0
		if !c.Portable && !fastPath {
			continue
		}
		t.Run(fmt.Sprintf("loops=%d", loops), func(t *testing.T) {
			s := start(t, c)
			// The tool mostly waits, so all modes run at once.
			type result struct {
				args []string
				out  string
				err  error
			}
			results := make([]chan result, len(modes))
			for i, m := range modes {
				to := addr(t, s, m.transport, m.v6)
				args := append([]string{}, m.args...)
				args = append(args, "-u", "user", "-w", "secret", "-n", "12", "-m", "2", "-z", "5", "-e", to.Addr().String(),
					"-r", strconv.Itoa(echoPair(t, to.Addr().String())), "-p", strconv.Itoa(int(to.Port())), to.Addr().String())
				results[i] = make(chan result, 1)
				dir := t.TempDir()
				go func() {
					r := result{args: args}
					for range max(m.tries, 1) {
						if r.out, r.err = runTool(dir, 90*time.Second, uclient, args...); r.err == nil {
							break
						}
					}
					results[i] <- r
				}()
			}
			for i, m := range modes {
				t.Run(m.name, func(t *testing.T) {
					r := <-results[i]
					got := receivedRE.FindAllStringSubmatch(r.out, -1)
					if r.err != nil || len(got) == 0 {
						t.Fatalf("%v: %v\n%s", r.args, r.err, tail(r.out, 3000))
					}
					sent, _ := strconv.Atoi(got[len(got)-1][1])
					received, _ := strconv.Atoi(got[len(got)-1][2])
					if m.share == 0 {
						m.share = 100
					}
					if sent == 0 || received*100 < sent*m.share {
						t.Errorf("sent %d, received %d:\n%s", sent, received, tail(r.out, 1500))
					}
				})
			}
		})
	}
}

// TestCoturnHostile lets coturn's client misbehave: corrupted requests, wrong ones, sudden ends, mass connects. The tool itself may
// hang or fail; the server must serve the next client as ever, and keep nothing.
func TestCoturnHostile(t *testing.T) {
	uclient := coturnTool(t, "turnutils_uclient")
	s := start(t, testConfig(t))
	for _, tr := range []Transport{alloc.UDP, alloc.TCP} {
		to := addr(t, s, tr, false)
		for _, m := range []string{"-N", "-R", "-B", "-O"} {
			args := []string{m, "-c", "-u", "user", "-w", "secret", "-n", "20", "-m", "5", "-z", "5", "-e", "127.0.0.1",
				"-r", strconv.Itoa(echoPair(t, "127.0.0.1")), "-p", strconv.Itoa(int(to.Port())), "127.0.0.1"}
			if tr == alloc.TCP {
				args = append([]string{"-t"}, args...)
			}
			_, _ = runTool(t.TempDir(), 6*time.Second, uclient, args...)
		}
		pionEcho(t, s, tr, false)
	}
	if s.Counters().DroppedMalformed == 0 {
		t.Error("the tool sent nothing malformed")
	}
}

// TestCoturnDiscovery has coturn's RFC 5780 client examine us from loopback, where no NAT is.
func TestCoturnDiscovery(t *testing.T) {
	tool := coturnTool(t, "turnutils_natdiscovery")
	c := testConfig(t)
	ports := [2]uint16{freePort(t), freePort(t)}
	c.Discovery = &Discovery{Primary: netip.MustParseAddr("127.0.0.1"), Alternate: netip.MustParseAddr("127.0.0.2"), PrimaryPort: ports[0], AlternatePort: ports[1]}
	start(t, c)
	out, err := runTool(t.TempDir(), 60*time.Second, tool, "-m", "-f", "-P", "-p", strconv.Itoa(int(ports[0])), "127.0.0.1")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"NAT with Endpoint Independent Mapping", "NAT with Endpoint Independent Filtering"} {
		if !strings.Contains(out, want) && !strings.Contains(out, "No NAT") {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

// echoPair answers on two consecutive ports, as RTP and RTCP would, and returns the first.
func echoPair(t testing.TB, host string) int {
	t.Helper()
	for range 100 {
		a, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		port := a.LocalAddr().(*net.UDPAddr).Port
		b, err := net.ListenPacket("udp", net.JoinHostPort(host, strconv.Itoa(port+1)))
		if err != nil {
			a.Close()
			continue
		}
		var wg sync.WaitGroup
		for _, c := range []net.PacketConn{a, b} {
			wg.Go(func() {
				buf := make([]byte, 1<<16)
				for {
					n, from, err := c.ReadFrom(buf)
					if err != nil {
						return
					}
					_, _ = c.WriteTo(buf[:n], from)
				}
			})
		}
		t.Cleanup(func() { a.Close(); b.Close(); wg.Wait() })
		return port
	}
	t.Fatal("no two free ports in a row")
	return 0
}
