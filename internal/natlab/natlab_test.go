//go:build linux

package natlab_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/natlab"
	"github.com/jingled/jingled/internal/selfsigned"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/relay"
)

var (
	all   = flag.Bool("all-nats", false, "try every pair of NATs instead of some")
	write = flag.String("write", "", "write the matrix of -all-nats to this file")
)

// The addresses of the internet's servers: XMPP with TLS on port 443, and TURN, on 3478 and with TLS on 443.
const (
	xmpp4, turn4 = "10.99.0.2", "10.99.0.3"
	second4      = "10.99.0.4" // of the TURN server, for RFC 5780
	xmpp6, turn6 = "2001:db8:ff::2", "2001:db8:ff::3"
	secret       = "a secret that relay and server share"
)

const binaryEnv = "JINGLED_TEST_JINGLE"

// some are the pairs that make test tries.
var some = [][2]natlab.Kind{
	{natlab.Open, natlab.PortRestricted},
	{natlab.FullCone, natlab.Symmetric},
	{natlab.PortRestricted, natlab.PortRestricted},
	{natlab.Restricted, natlab.Symmetric},
	{natlab.PortRestricted, natlab.Symmetric},
	{natlab.NoUDP, natlab.FullCone},
	{natlab.OnlyHTTPS, natlab.OnlyHTTPS},
	{natlab.DoubleNAT, natlab.Restricted},
	{natlab.DualStack, natlab.IPv6},
	{natlab.Open, natlab.IPv6},
	{natlab.OnlyHTTPS, natlab.IPv6},
}

type result struct {
	path          natlab.Path
	local, remote string
	setup         time.Duration
	road          string        // of the file
	file          time.Duration // from the offer to the end
}

// TestNATs calls from behind one NAT to behind another, with the command line's program at both ends, and wants the
// shortest path that there is.
func TestNATs(t *testing.T) {
	testkit.Binary(t, "nft", "nftables")
	program := build(t)
	args := []string{binaryEnv + "=" + program}
	if *all {
		args = append(args, "JINGLED_TEST_ALL_NATS=1", "JINGLED_TEST_WRITE="+*write)
	}
	if !testkit.InNetwork(t, args...) {
		return
	}
	pairs := some
	if os.Getenv("JINGLED_TEST_ALL_NATS") != "" {
		pairs = nil
		for i, a := range natlab.Kinds() {
			for _, b := range natlab.Kinds()[i:] {
				pairs = append(pairs, [2]natlab.Kind{a, b})
			}
		}
	}
	l := newLab(t, program)
	results := make(map[[2]natlab.Kind]result)
	site := 0
	next := func() int { site++; return site }
	// A machine that stalls for longer than ICE gives the shorter path takes the longer one: once that is forgiven.
	judge := func(t *testing.T, want natlab.Path, meet func() result) (r result) {
		for try := range 2 {
			r = meet()
			t.Logf("%s (%s-%s) in %v; a file by %s in %v", r.path, r.local, r.remote, r.setup, r.road, r.file)
			if r.path == want || want == natlab.Reflexive && r.path == natlab.Direct {
				return r
			}
			if try > 0 {
				t.Errorf("%s, but %s is possible", r.path, want)
			}
		}
		return r
	}
	for _, pair := range pairs {
		t.Run(fmt.Sprintf("%s with %s", pair[0], pair[1]), func(t *testing.T) {
			results[pair] = judge(t, natlab.Best(pair[0], pair[1]), func() result {
				return l.meet(t, natlab.NewSite(t, pair[0], next()), natlab.NewSite(t, pair[1], next()))
			})
		})
	}
	twins := make(map[natlab.Twins]result)
	for _, w := range natlab.AllTwins() {
		t.Run("behind one router, "+string(w), func(t *testing.T) {
			twins[w] = judge(t, w.Best(), func() result {
				sites := natlab.NewTwins(t, w, next())
				return l.meet(t, sites[0], sites[1])
			})
		})
	}
	table := matrix(results, twins)
	t.Log("\n" + table)
	if file := os.Getenv("JINGLED_TEST_WRITE"); file != "" && !t.Failed() {
		if err := os.WriteFile(file, []byte(document(table, len(results)+len(twins))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// build makes the program; once for all tests and for the processes that they start.
func build(t *testing.T) string {
	t.Helper()
	if program := os.Getenv(binaryEnv); program != "" {
		return program
	}
	program, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

var built = sync.OnceValues(func() (string, error) {
	program := filepath.Join(scratch, "jingle")
	if out, err := exec.Command("go", "build", "-o", program, "../../cmd/jingle").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return program, nil
})

// scratch is a folder for the time of all tests.
var scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if scratch, err = os.MkdirTemp("", "natlab"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	_ = os.RemoveAll(scratch)
	os.Exit(status)
}

type lab struct {
	program, dir, trust string
	server              *testkit.Server
	users               int
}

// serverWithRelays is the server, which tells of our relay by all the ways to it (XEP-0215).
func serverWithRelays(t *testing.T) *testkit.Server {
	t.Helper()
	o := testkit.Options{Address: testkit.NetworkAddress, NoProxy: true, Secret: secret}
	for _, host := range []string{turn4, turn6} {
		for _, way := range []testkit.Relay{
			{Type: "stun", Transport: "udp", Port: 3478}, {Type: "turn", Transport: "udp", Port: 3478},
			{Type: "turn", Transport: "tcp", Port: 3478}, {Type: "turns", Transport: "tcp", Port: 443},
		} {
			way.Host = host
			o.Relays = append(o.Relays, way)
		}
	}
	return testkit.Start(t, testkit.Chosen(t), o)
}

func newLab(t *testing.T, program string) *lab {
	t.Helper()
	natlab.Enable(t, xmpp4+"/24", turn4+"/24", second4+"/24", xmpp6+"/64", turn6+"/64")
	l := &lab{program: program, dir: t.TempDir()}
	l.server = serverWithRelays(t)
	forward(t, xmpp4, l.server.DirectTLSAddr)
	forward(t, xmpp6, l.server.DirectTLSAddr)

	chain, err := selfsigned.New(turn4, turn6)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, b []byte) string {
		path := filepath.Join(l.dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	l.trust = file("trust.pem", chain.CA)
	file("password", []byte("secret\n"))
	cfg := relay.Config{
		Realm: "lab.test", Credentials: relay.Credentials{Secrets: []string{secret}}, Admin: relay.Admin{Socket: "off"},
		TLS:   relay.TLS{Certificate: file("cert.pem", chain.Cert), Key: file("key.pem", chain.Key)},
		Peers: relay.Peers{Allow: []netip.Prefix{netip.MustParsePrefix("198.51.0.0/16"), netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("10.99.0.0/24"), netip.MustParsePrefix(turn4 + "/32"), netip.MustParsePrefix("2001:db8::/32")}},
	}
	cfg.Discovery = &relay.Discovery{Primary: netip.MustParseAddr(turn4), Alternate: netip.MustParseAddr(second4), PrimaryPort: 3478}
	for _, a := range []string{turn4, turn6} {
		ip := netip.MustParseAddr(a)
		cfg.Listen = append(cfg.Listen, relay.Listen{Transport: "udp", Address: netip.AddrPortFrom(ip, 3478)},
			relay.Listen{Transport: "tcp", Address: netip.AddrPortFrom(ip, 3478)}, relay.Listen{Transport: "tls", Address: netip.AddrPortFrom(ip, 443)})
		cfg.Relay.Address = append(cfg.Relay.Address, relay.RelayAddress{Bind: ip})
	}
	r, err := relay.New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-end; err != nil {
			t.Errorf("relay: %v", err)
		}
	})
	select {
	case <-r.Ready():
	case err := <-end:
		end <- nil
		t.Fatalf("relay: %v", err)
	}
	return l
}

// forward passes connections to port 443 of an address on.
func forward(t *testing.T, ip, to string) {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(ip, "443"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				s, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer s.Close()
				go func() {
					_, _ = io.Copy(s, c)
					_ = s.Close()
				}()
				_, _ = io.Copy(c, s)
			}()
		}
	}()
}

// event is a line of the program's output.
type event struct {
	Event   string  `json:"event"`
	SetupMS float64 `json:"setup_ms"`
	Reason  string  `json:"reason"`
	Text    string  `json:"text"`
	// Transport is the road of a file.
	Transport string `json:"transport"`
	// MOS and those after it are of a call's meter.
	MOS  float64 `json:"mos"`
	RTT  float64 `json:"rtt_ms"`
	Lost int     `json:"packets_lost"`
	Pair struct {
		LocalType  string `json:"local_type"`
		RemoteType string `json:"remote_type"`
	} `json:"candidate_pair"`
}

// meet makes one call and sends one file between sites.
func (l *lab) meet(t *testing.T, from, to *natlab.Site) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l.users++
	caller, callee := fmt.Sprintf("caller-%d", l.users), fmt.Sprintf("callee-%d", l.users)
	for _, user := range []string{caller, callee} {
		l.server.AddUser(t, user, "secret")
	}
	b := l.start(ctx, t, to, callee, "answer", "--once")
	b.until(t, "ready")
	began := time.Now()
	a := l.start(ctx, t, from, caller, "call", callee+"@"+l.server.Domain, "--audio-in", "tone:440", "--duration", "600ms")
	e := a.until(t, "call.connected")
	b.until(t, "call.connected")
	r := result{path: natlab.Reflexive, local: e.Pair.LocalType, remote: e.Pair.RemoteType, setup: time.Duration(e.SetupMS * float64(time.Millisecond)).Round(time.Millisecond)}
	switch {
	case r.local == "relay" || r.remote == "relay":
		r.path = natlab.Relayed
	case r.local == "host" && r.remote == "host":
		r.path = natlab.Direct
	}
	ending := time.Now()
	a.until(t, "call.ended")
	t.Logf("ringing after %v, connected after %v, ended in %v more", a.at["call.ringing"].Sub(began).Round(time.Millisecond),
		a.at["call.connected"].Sub(began).Round(time.Millisecond), time.Since(ending).Round(time.Millisecond))
	b.wait() // a file would be offered to a device that is about to leave
	l.send(ctx, t, from, to, caller, callee, &r)
	return r
}

// send sends a file of some size and looks at what comes.
func (l *lab) send(ctx context.Context, t *testing.T, from, to *natlab.Site, sender, receiver string, r *result) {
	t.Helper()
	name := sender + ".bin"
	data := make([]byte, 1<<20)
	_, _ = rand.Read(data)
	path, inbox := filepath.Join(l.dir, name), t.TempDir()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	b := l.start(ctx, t, to, receiver, "receive", "--dir", inbox, "--once")
	b.until(t, "ready")
	began := time.Now()
	a := l.start(ctx, t, from, sender, "send", receiver+"@"+l.server.Domain, path)
	e := b.until(t, "transfer.done")
	a.until(t, "transfer.done")
	r.road, r.file = e.Transport, time.Since(began).Round(time.Millisecond)
	if got, err := os.ReadFile(filepath.Join(inbox, name)); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes came, %v", len(got), len(data), err)
	}
}

type program struct {
	name   string
	cmd    *exec.Cmd
	events chan event
	at     map[string]time.Time // when an event came
	mu     sync.Mutex
	out    strings.Builder
}

func (l *lab) start(ctx context.Context, t *testing.T, s *natlab.Site, user string, args ...string) *program {
	t.Helper()
	server := xmpp4
	if s.Kind == natlab.IPv6 {
		server = xmpp6
	}
	flags := []string{"--standalone", "--json", "-vv", "--jid", user + "@" + l.server.Domain, "--password-file", filepath.Join(l.dir, "password"),
		"--connect", net.JoinHostPort(server, "443"), "--ca", l.server.CAFile}
	cmd := s.Command(ctx, l.program, append(flags, args...)...)
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+l.trust, "HOME="+l.dir)
	p := &program{name: user, cmd: cmd, events: make(chan event, 1000), at: make(map[string]time.Time)}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = p
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.events)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			_, _ = p.Write(append(lines.Bytes(), '\n'))
			var e event
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				p.events <- e
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s at a %s site:\n%s", user, s.Kind, p.text())
		}
	})
	return p
}

// Write implements io.Writer.
func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *program) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// until returns the next event of a name.
func (p *program) until(t *testing.T, name string) event {
	t.Helper()
	limit := time.After(40 * time.Second)
	for {
		select {
		case e, ok := <-p.events:
			if !ok {
				t.Fatalf("%s ended before %s", p.name, name)
			}
			p.at[e.Event] = time.Now()
			if e.Event == name {
				return e
			}
			if e.Event == "call.ended" || e.Event == "transfer.failed" {
				t.Fatalf("%s: the end came before %s: %s %s", p.name, name, e.Reason, e.Text)
			}
		case <-limit:
			t.Fatalf("%s: no %s", p.name, name)
		}
	}
}

// hangUp interrupts the program as somebody at a terminal does.
func (p *program) hangUp(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
}

// wait waits for the program's end.
func (p *program) wait() {
	for range p.events {
	}
}

// matrix is two tables in Markdown.
func matrix(results map[[2]natlab.Kind]result, twins map[natlab.Twins]result) string {
	var b strings.Builder
	b.WriteString("| |")
	for _, k := range natlab.Kinds() {
		fmt.Fprintf(&b, " %s |", k)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(natlab.Kinds())) + "\n")
	cell := func(r result, ok bool) string {
		if !ok {
			return ""
		}
		return fmt.Sprintf(" %s, %d ms; %s, %.1f s", r.path, r.setup.Milliseconds(), r.road, r.file.Seconds())
	}
	for _, row := range natlab.Kinds() {
		fmt.Fprintf(&b, "| **%s** |", row)
		for _, column := range natlab.Kinds() {
			r, ok := results[[2]natlab.Kind{row, column}]
			b.WriteString(cell(r, ok) + " |")
		}
		b.WriteString("\n")
	}
	b.WriteString("\n| two hosts behind one router | |\n|---|---|\n")
	for _, w := range natlab.AllTwins() {
		r, ok := twins[w]
		fmt.Fprintf(&b, "| %s |%s |\n", w, cell(r, ok))
	}
	return b.String()
}

func document(table string, pairs int) string {
	return `# Calls and files through NATs

Calls and files between every two kinds of NAT, made by ` + "`go test ./internal/natlab -all-nats -write ../../docs/nat.md`" + `: two hosts, each
behind a router of its own, in network namespaces with nftables; ` + "`jingle call`, `answer`, `send` and `receive`" + ` at the ends, an XMPP
server on port 443, and ` + "`jingle-relay`" + ` for STUN and TURN over UDP, TCP and, on port 443, TLS, on IPv4 and IPv6.

Each cell has the path of the call with its ` + "`setup_ms`" + `, from the session-accept to the first packet of sound that was decoded, and the
road of a file of 1 MiB with the time from starting ` + "`jingle send`" + ` to the end, login and offer included. There is no proxy for
SOCKS5 bytestreams here, so files go directly or by a data channel, which takes the paths of calls.

` + table + fmt.Sprintf(`
All %d pairs connect. *Direct* is by the hosts' own addresses, *reflexive* by the addresses of their NATs, *relayed* by the
relay. The test fails for a pair that is relayed though a shorter path exists.

| kind | mapping of ports | who may send to them |
|---|---|---|
| open | none | everybody |
| full cone | one for all peers | everybody |
| restricted | one for all peers | addresses that were sent to |
| port-restricted | one for all peers | addresses and ports that were sent to |
| double NAT | port-restricted behind port-restricted | addresses and ports that were sent to |
| symmetric | one for each peer | the peer |
| UDP blocked | TCP only | |
| TCP 443 only | TCP to port 443 only | |
| dual stack | port-restricted for IPv4, none for IPv6 | addresses and ports that were sent to |
| IPv6 only | none: a stateful firewall, no IPv4 | addresses and ports that were sent to |

A host with IPv6 only and one with IPv4 only meet at the relay, which the first asks over IPv6 for an address of IPv4.

## Bad lines

`+"`TestBadLines`"+` puts a line between a router and the internet that loses, delays, doubles and reorders packets, in user space, by
decisions that a seed repeats (`+"`internal/testkit/impair`"+`). With 5 %% lost, 5 %% overtaken, 2 %% doubled and 50 to 60 ms each way a
tone is still heard for more than 0.9 of the time that it is sent, the meter's opinion score falls from 4.4 to about 3.5, and files of
300 kB come whole by data channel, SOCKS5 and in-band bytestreams. From the session-accept to the first sound, with 50 ms there and back: at
most 190 ms directly, 350 ms by a relay only, and 1.5 s with every third datagram lost, in the best of up to six calls.
`, pairs)
}
