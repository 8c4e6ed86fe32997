package limits

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is a real Redis server that a test can stop and start again.
type store struct {
	t    testing.TB
	bin  string
	port string
	cmd  *exec.Cmd
}

func newStore(t testing.TB) *store {
	t.Helper()
	for _, name := range []string{"valkey-server", "redis-server"} {
		if bin, err := exec.LookPath(name); err == nil {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			_, port, _ := net.SplitHostPort(ln.Addr().String())
			ln.Close()
			s := &store{t: t, bin: bin, port: port}
			s.start()
			t.Cleanup(s.stop)
			return s
		}
	}
	t.Skip("neither valkey-server nor redis-server is installed")
	return nil
}

func (s *store) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.bin, "--port", s.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.t.TempDir())
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	until(s.t, "the store answers", func() bool {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+s.port, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (s *store) stop() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// until waits for something another process does; it fails after ten seconds.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("waited in vain until %s", what)
}

type node struct {
	*Limiter
	fleet   *Valkey
	stop    func()
	mu      sync.Mutex
	revoked []netip.AddrPort
}

func (n *node) revokedCount() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.revoked)
}

func newNode(t testing.TB, s *store, c Config) *node {
	t.Helper()
	f, err := NewValkey(ValkeyConfig{Addresses: []string{"127.0.0.1:" + s.port}, Poll: 20 * time.Millisecond, Lease: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{Limiter: limiter(t, c), fleet: f}
	n.Join(f, func(_ string, c netip.AddrPort) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.revoked = append(n.revoked, c)
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx, n.Limiter) }()
	var once sync.Once
	n.stop = func() { once.Do(func() { cancel(); <-done }) }
	t.Cleanup(n.stop)
	until(t, "the node has reached the store", f.Healthy)
	return n
}

func (n *node) others(user string) int {
	n.Limiter.mu.Lock()
	defer n.Limiter.mu.Unlock()
	if u := n.users[user]; u != nil {
		return u.others
	}
	return 0
}

func TestFleetSharesQuotas(t *testing.T) {
	s := newStore(t)
	a, b := newNode(t, s, Config{PerUser: 3}), newNode(t, s, Config{PerUser: 3})
	now := time.Now()
	a1, _ := a.Begin(now, "u", ap("192.0.2.1:1"))
	if _, err := a.Begin(now, "u", ap("192.0.2.1:2")); err != nil {
		t.Fatal(err)
	}
	until(t, "node a's sessions are in the store", func() bool { b.fleet.Touch("u"); return len(a.zset(t, s, "u")) == 2 })
	b1, err := b.Begin(now, "u", ap("192.0.2.1:3"))
	if err != nil {
		t.Fatal(err)
	}
	until(t, "b knows of a's", func() bool { return b.others("u") == 2 })
	if _, err := b.Begin(now, "u", ap("192.0.2.1:4")); !errors.Is(err, ErrUserQuota) {
		t.Errorf("the fourth session in the fleet: %v", err)
	}
	a1.End()
	until(t, "b knows that one ended", func() bool { b.fleet.Touch("u"); return b.others("u") == 1 })
	if _, err := b.Begin(now, "u", ap("192.0.2.1:4")); err != nil {
		t.Errorf("there is room again: %v", err)
	}
	b1.End()
	a.stop() // gives its leases back
	until(t, "a's lease is gone", func() bool { b.fleet.Touch("u"); return b.others("u") == 0 })
}

// A burst on several nodes at once is admitted at first and cut to the limit a round trip later.
func TestFleetRevokesABurst(t *testing.T) {
	s := newStore(t)
	a, b := newNode(t, s, Config{PerUser: 5}), newNode(t, s, Config{PerUser: 5})
	for i := range 5 {
		for _, n := range []*node{a, b} {
			if _, err := n.Begin(time.Now(), "u", netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(i+1))); err != nil {
				// the round trip was faster than the burst, which is as good
				n.mu.Lock()
				n.revoked = append(n.revoked, netip.AddrPort{})
				n.mu.Unlock()
			}
		}
	}
	until(t, "five are given back", func() bool { return a.revokedCount()+b.revokedCount() >= 5 })
	until(t, "five are left", func() bool { return len(a.zset(t, s, "u")) == 5 })
}

func TestFleetLosesItsStoreAndFindsItAgain(t *testing.T) {
	s := newStore(t)
	a, b := newNode(t, s, Config{PerUser: 2}), newNode(t, s, Config{PerUser: 2})
	now := time.Now()
	if _, err := a.Begin(now, "u", ap("192.0.2.1:1")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Begin(now, "u", ap("192.0.2.1:2")); err != nil {
		t.Fatal(err)
	}
	until(t, "both know", func() bool { a.fleet.Touch("u"); b.fleet.Touch("u"); return a.others("u") == 1 && b.others("u") == 1 })

	s.stop()
	until(t, "both have noticed", func() bool { return !a.fleet.Healthy() && !b.fleet.Healthy() })
	began := time.Now()
	h, err := a.Begin(now, "u", ap("192.0.2.1:3"))
	if err != nil {
		t.Errorf("without the store the node's own limit holds, and that is not reached: %v", err)
	}
	if _, err := a.Begin(now, "u", ap("192.0.2.1:4")); !errors.Is(err, ErrUserQuota) {
		t.Errorf("the node's own limit does not hold: %v", err)
	}
	if d := time.Since(began); d > 50*time.Millisecond {
		t.Errorf("deciding took %v without the store", d)
	}
	if err := a.Ban(Ban{User: "mallory", Until: now.Add(time.Hour)}); err != nil || !a.Banned(now, "mallory", netip.Addr{}) {
		t.Errorf("a ban without the store: %v", err)
	}
	h.End()

	s.start() // empty
	until(t, "both are back", func() bool { return a.fleet.Healthy() && b.fleet.Healthy() })
	until(t, "the emptied store has healed", func() bool { return len(a.zset(t, s, "u")) == 2 })
	until(t, "b knows of a again", func() bool { b.fleet.Touch("u"); return b.others("u") == 1 })
	until(t, "the ban has reached b", func() bool { return b.Banned(now, "mallory", netip.Addr{}) })
}

func TestFleetSharesBans(t *testing.T) {
	s := newStore(t)
	a, b := newNode(t, s, Config{}), newNode(t, s, Config{})
	end := time.Now().Add(time.Hour)
	net6 := Ban{Prefix: netip.MustParsePrefix("2001:db8::/32"), Until: end}
	_ = a.Ban(Ban{User: "u:with:colons", Until: end})
	_ = a.Ban(net6)
	until(t, "b has heard", func() bool {
		return b.Banned(time.Now(), "u:with:colons", netip.Addr{}) && b.Banned(time.Now(), "", netip.MustParseAddr("2001:db8::1"))
	})
	b.Unban(net6)
	until(t, "a has heard that one is lifted", func() bool { return !a.Banned(time.Now(), "", netip.MustParseAddr("2001:db8::1")) })
	if !a.Banned(time.Now(), "u:with:colons", netip.Addr{}) {
		t.Error("the other ban is gone too")
	}
}

func TestValkeyThatWasNeverThere(t *testing.T) {
	f, err := NewValkey(ValkeyConfig{Addresses: []string{"127.0.0.1:1"}, Poll: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	l := limiter(t, Config{PerUser: 1})
	l.Join(f, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.Run(ctx, l) }()
	if _, err := l.Begin(time.Now(), "u", ap("192.0.2.1:1")); err != nil {
		t.Error(err)
	}
	if _, err := l.Begin(time.Now(), "u", ap("192.0.2.1:2")); !errors.Is(err, ErrUserQuota) {
		t.Error(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// zset asks the store itself, by a connection of its own.
func (n *node) zset(t testing.TB, s *store, user string) []string {
	t.Helper()
	c, err := net.DialTimeout("tcp", "127.0.0.1:"+s.port, time.Second)
	if err != nil {
		return nil
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte("ZRANGE jingle-relay:user:" + user + " 0 -1\r\n")); err != nil {
		return nil
	}
	b := make([]byte, 4096)
	k, _ := c.Read(b)
	var out []string
	for line := range strings.Lines(string(b[:k])) {
		if strings.Contains(line, "/") {
			out = append(out, line)
		}
	}
	return out
}
