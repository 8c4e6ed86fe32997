package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/turn/v5"
	"go.uber.org/goleak"

	"github.com/jingled/jingled/ice"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// peer is an agent that trickles to another one.
type peer struct {
	*Agent
	mu         sync.Mutex
	paired     chan Pair
	candidates []ice.Candidate
	states     []State
	gathered   chan struct{}
}

func newPeer(t *testing.T, cfg Config) *peer {
	t.Helper()
	p := &peer{gathered: make(chan struct{}), paired: make(chan Pair, 10)}
	a, err := NewAgent(cfg, Handler{
		Candidate: func(c ice.Candidate) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.candidates = append(p.candidates, c)
		},
		Pair:     func(pair Pair) { p.paired <- pair },
		Gathered: func() { close(p.gathered) },
		State: func(s State) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.states = append(p.states, s)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Agent = a
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// connect lets two agents find each other and sends a packet each way.
func connect(t *testing.T, a, b *peer) {
	t.Helper()
	for _, p := range []*peer{a, b} {
		if err := p.Gather(); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []*peer{a, b} {
		<-p.gathered
	}
	ufrag, pwd := b.Credentials()
	ca, err := a.Start(true, ufrag, pwd)
	if err != nil {
		t.Fatal(err)
	}
	ufrag, pwd = a.Credentials()
	cb, err := b.Start(false, ufrag, pwd)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range [][2]*peer{{a, b}, {b, a}} {
		for _, c := range x[0].candidates {
			if err := c.Validate(); err != nil {
				t.Errorf("our own candidate %+v: %v", c, err)
			}
			if err := x[1].AddRemote(c); err != nil {
				t.Error(err)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	for _, p := range []*peer{a, b} {
		if err := p.Wait(ctx); err != nil {
			t.Fatalf("%v; %s", err, p.Report())
		}
	}
	for _, x := range [][2]net.Conn{{ca, cb}, {cb, ca}} {
		if _, err := x[0].Write([]byte("packet")); err != nil {
			t.Error(err)
		}
		buf := make([]byte, 100)
		if n, err := x[1].Read(buf); err != nil || string(buf[:n]) != "packet" {
			t.Errorf("read %q, %v", buf[:n], err)
		}
	}
}

func TestHostCandidatesConnect(t *testing.T) {
	a, b := newPeer(t, Config{LoopbackOnly: true}), newPeer(t, Config{LoopbackOnly: true})
	start := time.Now()
	connect(t, a, b)
	t.Logf("connected in %v", time.Since(start))
	pair := <-a.paired
	if got, ok := a.Selected(); !ok || got != pair {
		t.Errorf("selected %v, %v; told %v", got, ok, pair)
	}
	if pair.Relayed() || !pair.Local.Addr.Addr().IsLoopback() || !pair.Remote.Addr.Addr().IsLoopback() {
		t.Errorf("the path is %v", pair)
	}
	for _, c := range a.candidates {
		if addr, ok := c.Addr(); !ok || !addr.IsLoopback() || c.Generation != 0 || c.Component != 1 || c.Protocol != "udp" {
			t.Errorf("candidate %+v", c)
		}
	}
	if _, err := a.Start(true, "abcd", strings.Repeat("x", 22)); err == nil {
		t.Error("it can be started twice")
	}
}

func onLoopback() turn.RelayAddressGenerator {
	return &turn.RelayAddressGeneratorStatic{RelayAddress: net.IPv4(127, 0, 0, 1), Address: "127.0.0.1"}
}

// serveTURN runs a TURN server for "user" with the password "secret" until the test ends.
func serveTURN(t *testing.T, cfg turn.ServerConfig) {
	t.Helper()
	cfg.Realm = "test"
	cfg.AuthHandler = func(ra *turn.RequestAttributes) (string, []byte, bool) {
		return ra.Username, turn.GenerateAuthKey("user", "test", "secret"), ra.Username == "user"
	}
	s, err := turn.NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func turnServer(t *testing.T) Server {
	t.Helper()
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveTURN(t, turn.ServerConfig{PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: pc, RelayAddressGenerator: onLoopback()}}})
	return Server{URI: fmt.Sprintf("turn:%s?transport=udp", pc.LocalAddr()), Username: "user", Password: "secret"}
}

func TestRelayOnlyHidesAddresses(t *testing.T) {
	server := turnServer(t)
	a := newPeer(t, Config{LoopbackOnly: true, Policy: RelayOnly, Servers: []Server{server, {URI: "nonsense"}}})
	b := newPeer(t, Config{LoopbackOnly: true})
	start := time.Now()
	connect(t, a, b)
	if d := time.Since(start); d > 1500*time.Millisecond {
		t.Errorf("a relayed path took %v", d)
	}
	if pair := <-a.paired; !pair.Relayed() {
		t.Errorf("the path is %v", pair)
	}
	if len(a.candidates) == 0 {
		t.Error("no candidates")
	}
	for _, c := range a.candidates {
		if c.Type != ice.Relayed || c.RelAddr != "0.0.0.0" || c.RelPort != 9 {
			t.Errorf("candidate %+v", c)
		}
	}
}

func TestRelayOnlyNeedsARelay(t *testing.T) {
	for _, servers := range [][]Server{nil, {{URI: "stun:127.0.0.1:1"}}, {{URI: "turn:127.0.0.1"}}} {
		if _, err := NewAgent(Config{Policy: RelayOnly, Servers: servers}, Handler{}); !errors.Is(err, ErrNoRelay) {
			t.Errorf("%v: %v", servers, err)
		}
	}
}

func candidate(change func(*ice.Candidate)) ice.Candidate {
	c := ice.Candidate{Component: 1, Foundation: "1", IP: "127.0.0.1", Port: 9, Priority: 1, Protocol: "udp", Type: ice.Host}
	if change != nil {
		change(&c)
	}
	return c
}

func TestCandidatesThatAreNotChecked(t *testing.T) {
	p := newPeer(t, Config{LoopbackOnly: true})
	for name, change := range map[string]func(*ice.Candidate){
		"tcp":         func(c *ice.Candidate) { c.Protocol, c.TCPType = "tcp", "active" },
		"component 2": func(c *ice.Candidate) { c.Component = 2 },
		"elsewhere":   func(c *ice.Candidate) { c.IP = "192.0.2.1" },
		"name":        func(c *ice.Candidate) { c.IP = "3d5ce0bd.local" },
		"no port":     func(c *ice.Candidate) { c.Port = 0 },
		"injection":   func(c *ice.Candidate) { c.Foundation = "1 1 udp" },
		"no address":  func(c *ice.Candidate) { c.IP = "" },
	} {
		if err := p.AddRemote(candidate(change)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := p.AddRemote(candidate(nil)); err != nil {
		t.Error(err)
	}
	n := 0
	for range 100 {
		if errors.Is(p.AddRemote(candidate(nil)), ErrTooManyCandidates) {
			n++
		}
	}
	if n < 60 {
		t.Errorf("%d of 100 candidates are too many", n)
	}
}

func TestAddresses(t *testing.T) {
	normal, loop := Config{}, Config{LoopbackOnly: true}
	for _, c := range []struct {
		addr                                string
		use, check, useOnLoop, checkOnLoops bool
	}{
		{"192.0.2.1", true, true, false, false}, {"10.0.0.1", true, true, false, false},
		{"127.0.0.1", false, false, true, true}, {"::1", false, false, true, true},
		{"::ffff:127.0.0.1", false, false, true, true}, {"2001:db8::1", true, true, false, false},
		{"fe80::1", false, true, false, false}, {"0.0.0.0", true, false, false, false},
		{"224.0.0.1", true, false, false, false}, {"255.255.255.255", true, false, false, false},
		{"ff02::1", true, false, false, false}, {"::", true, false, false, false},
	} {
		a := netip.MustParseAddr(c.addr)
		got := [4]bool{normal.mayUse(a), normal.mayCheck(a), loop.mayUse(a), loop.mayCheck(a)}
		if want := [4]bool{c.use, c.check, c.useOnLoop, c.checkOnLoops}; got != want {
			t.Errorf("%s: %v, want %v", c.addr, got, want)
		}
		both := Config{Loopback: true}
		if use, check := both.mayUse(a), both.mayCheck(a); use != (c.use || c.useOnLoop) || check != (c.check || c.checkOnLoops) {
			t.Errorf("%s with the loopback as well: %v, %v", c.addr, use, check)
		}
	}
	only := Config{Address: func(a netip.Addr) bool { return a.Is4() }}
	if only.mayUse(netip.MustParseAddr("2001:db8::1")) {
		t.Error("the filter is not asked")
	}
}

func TestNoPathFails(t *testing.T) {
	p := newPeer(t, Config{LoopbackOnly: true, ConnectTimeout: 2 * time.Second, DisconnectAfter: 500 * time.Millisecond})
	if err := p.Gather(); err != nil {
		t.Fatal(err)
	}
	c, err := p.Start(true, "abcd", strings.Repeat("x", 22))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AddRemote(candidate(nil)); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		p.mu.Lock()
		failed := len(p.states) > 0 && p.states[len(p.states)-1] == Failed
		p.mu.Unlock()
		if failed {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("states are %v", p.states)
		}
		time.Sleep(10 * time.Millisecond) // polls a real network
	}
	if r := p.Report(); !strings.Contains(r, "of the peer: 1 host") {
		t.Errorf("report: %s", r)
	}
	if _, err := c.Write([]byte("x")); err == nil {
		t.Error("a packet can be written nowhere")
	}
}

func TestSecretsStayOutOfLogs(t *testing.T) {
	s := Server{URI: "turn:127.0.0.1:3478", Username: "user", Password: "hush"}
	var b bytes.Buffer
	l := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug - 8}))
	l.Info("server", "s", s, "list", []Server{s}, "cfg", fmt.Sprintf("%v %+v %#v", s, []Server{s}, s))
	a := newPeer(t, Config{LoopbackOnly: true, Log: l})
	bp := newPeer(t, Config{LoopbackOnly: true})
	connect(t, a, bp)
	_, pwd := a.Credentials()
	_, theirs := bp.Credentials()
	for _, secret := range []string{"hush", pwd, theirs} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}

func TestParsePolicy(t *testing.T) {
	for s, want := range map[string]Policy{"": All, "all": All, "relay": RelayOnly} {
		if p, err := ParsePolicy(s); err != nil || p != want {
			t.Errorf("%q: %v, %v", s, p, err)
		}
	}
	if _, err := ParsePolicy("direct"); err == nil {
		t.Error("no error")
	}
}
