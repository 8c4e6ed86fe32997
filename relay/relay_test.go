package relay

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	pion "github.com/pion/turn/v5"
	"go.uber.org/goleak"

	"github.com/jingled/jingled/relay/credentials"
)

// Certmagic keeps a rate limiter for each directory, and looks after its lock files for some seconds more.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*RingBufferRateLimiter).loop"),
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"))
}

// running is a relay in a test.
type running struct {
	*Relay
	t    testing.TB
	cfg  Config
	log  *logBuffer
	stop func() error
}

// logBuffer keeps the relay's log, to look for what must not be in it.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func run(t testing.TB, change func(*Config)) *running {
	t.Helper()
	cfg := Dev(0)
	cfg.Performance.Loops = 1
	dir := t.TempDir()
	cfg.Admin.Socket = filepath.Join(dir, "admin.sock")
	cfg.Metrics.Listen = netip.MustParseAddrPort("127.0.0.1:0")
	cfg.Records.File = filepath.Join(dir, "records.json")
	cfg.AccessLog = Journal{File: filepath.Join(dir, "access.json"), TruncateIPv4: 16}
	if change != nil {
		change(&cfg)
	}
	r := &running{t: t, cfg: cfg, log: &logBuffer{}}
	var err error
	if r.Relay, err = New(cfg, slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	var once sync.Once
	var result error
	r.stop = func() error { once.Do(func() { cancel(); result = <-done }); return result }
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		for _, s := range cfg.Credentials.Secrets {
			if strings.Contains(r.log.String(), s) {
				t.Error("a secret is in the log")
			}
		}
	})
	select {
	case <-r.Ready():
	case err := <-done:
		t.Fatalf("Run: %v\n%s", err, r.log)
	case <-time.After(10 * time.Second):
		t.Fatal("not ready")
	}
	return r
}

// allocation is a pion client's, with the peer that it talks to.
type allocation struct {
	client *pion.Client
	relay  net.PacketConn
	conn   net.PacketConn
}

func (r *running) dial(user, pass string) (*allocation, error) {
	r.t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	to := r.Addrs().TURN[0].Address.String()
	c, err := pion.NewClient(&pion.ClientConfig{STUNServerAddr: to, TURNServerAddr: to, Conn: conn, Username: user, Password: pass, Realm: r.cfg.Realm, RTO: 50 * time.Millisecond})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := c.Listen(); err != nil {
		r.t.Fatal(err)
	}
	a := &allocation{client: c, conn: conn}
	r.t.Cleanup(a.close)
	a.relay, err = c.Allocate()
	return a, err
}

func (a *allocation) close() {
	if a.relay != nil {
		a.relay.Close()
		a.relay = nil
	}
	a.client.Close()
	a.conn.Close()
}

func (r *running) allocate(user string) *allocation {
	r.t.Helper()
	is, err := r.Issue(user, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	a, err := r.dial(is.Username, is.Password)
	if err != nil {
		r.t.Fatalf("allocate: %v\n%s", err, r.log)
	}
	return a
}

// echo sends n packets to a peer on loopback that sends them back, and reports how many came.
func (r *running) echo(a *allocation, n int) int {
	r.t.Helper()
	peer, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	defer peer.Close()
	go func() {
		b := make([]byte, 2048)
		for {
			k, from, err := peer.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = peer.WriteTo(b[:k], from)
		}
	}()
	got := 0
	b := make([]byte, 2048)
	for range n {
		if _, err := a.relay.WriteTo([]byte("hello over the relay"), peer.LocalAddr()); err != nil {
			break
		}
		_ = a.relay.SetReadDeadline(time.Now().Add(2 * time.Second))
		if k, _, err := a.relay.ReadFrom(b); err != nil || string(b[:k]) != "hello over the relay" {
			break
		}
		got++
	}
	return got
}

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

func lines(t testing.TB, file string) []map[string]any {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	var out []map[string]any
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		var m map[string]any
		if err := json.Unmarshal(sc.Bytes(), &m); err != nil {
			t.Fatalf("%s: %v", sc.Text(), err)
		}
		out = append(out, m)
	}
	return out
}

// A call's worth: issue, allocate, relay, watch, kick, and the lines that remain.
func TestSessionFromIssueToRecord(t *testing.T) {
	r := run(t, nil)
	c := NewClient(r.cfg.Admin.Socket)
	ctx := t.Context()
	is, err := c.Issue(ctx, "romeo@example.org", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	a, err := r.dial(is.Username, is.Password)
	if err != nil {
		t.Fatal(err)
	}
	if n := r.echo(a, 5); n != 5 {
		t.Fatalf("%d of 5 packets came back", n)
	}
	list, err := c.Sessions(ctx)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	s := list[0]
	if s.User != "romeo@example.org" || s.Kind != "turn" || s.Transport != "udp" || s.BytesUp != 100 || s.BytesDown != 100 || s.PacketsUp != 5 ||
		s.Client.String() != a.conn.LocalAddr().String() || len(s.Relayed) != 1 {
		t.Errorf("%+v", s)
	}
	st, err := c.Status(ctx)
	if err != nil || st.Sessions != 1 || st.TURN.Allocations != 1 || len(st.Listening) != 2 || st.Draining {
		t.Errorf("%+v, %v", st, err)
	}
	if n, err := c.Kick(ctx, Selector{User: "juliet@example.org"}); n != 0 || err != nil {
		t.Errorf("kicked %d of somebody else, %v", n, err)
	}
	if _, err := c.Kick(ctx, Selector{}); err == nil {
		t.Error("an empty selector was taken")
	}
	if n, err := c.Kick(ctx, Selector{User: "romeo@example.org"}); n != 1 || err != nil {
		t.Errorf("kicked %d, %v", n, err)
	}
	until(t, "the record is written", func() bool { return len(lines(t, r.cfg.Records.File)) == 1 })
	rec := lines(t, r.cfg.Records.File)[0]
	if rec["event"] != "end" || rec["reason"] != "kicked" || rec["bytes_up"] != 100.0 || rec["user"] != "romeo@example.org" || rec["client"] != s.Client.String() {
		t.Errorf("%v", rec)
	}
	until(t, "the access log is written", func() bool { return len(lines(t, r.cfg.AccessLog.File)) >= 2 })
	access := lines(t, r.cfg.AccessLog.File)
	if len(access) != 2 || access[0]["event"] != "start" || access[1]["client"] != "127.0.0.0:0" {
		t.Errorf("%v", access)
	}
	if strings.Contains(r.log.String(), is.Password) || strings.Contains(r.log.String(), is.Username) {
		t.Error("a credential is in the log")
	}
}

func TestBanEndsAndKeepsOut(t *testing.T) {
	r := run(t, nil)
	c := NewClient(r.cfg.Admin.Socket)
	r.allocate("mallory")
	if n, err := c.Ban(t.Context(), Selector{User: "mallory"}, time.Hour); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	is, _ := r.Issue("mallory", 0)
	if _, err := r.dial(is.Username, is.Password); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("a banned user allocates: %v", err)
	}
	r.allocate("alice")
	bans, err := c.Bans(t.Context())
	if err != nil || len(bans) != 1 || bans[0].User != "mallory" {
		t.Errorf("%v, %v", bans, err)
	}
	if err := c.Unban(t.Context(), Selector{User: "mallory"}); err != nil {
		t.Error(err)
	}
	r.allocate("mallory")
	if _, err := c.Ban(t.Context(), Selector{All: true}, time.Hour); err == nil {
		t.Error("everybody was banned")
	}
}

func TestQuotaAndWrongPassword(t *testing.T) {
	r := run(t, func(c *Config) { c.Limits.SessionsPerUser = 2; c.Limits.MaxFailures = 3 })
	r.allocate("u")
	r.allocate("u")
	is, _ := r.Issue("u", 0)
	if _, err := r.dial(is.Username, is.Password); err == nil || !strings.Contains(err.Error(), "486") {
		t.Errorf("the third allocation: %v", err)
	}
	r.allocate("v")
	for range 3 {
		if _, err := r.dial(is.Username, "wrong"); err == nil {
			t.Error("a wrong password was taken")
		}
	}
	is, _ = r.Issue("w", 0)
	if _, err := r.dial(is.Username, is.Password); err == nil {
		t.Error("guessing was not slowed down")
	}
	until(t, "refusals are in the access log", func() bool {
		for _, l := range lines(t, r.cfg.AccessLog.File) {
			if l["event"] == "refused" && l["code"] == 486.0 {
				return true
			}
		}
		return false
	})
}

// Reload under traffic: the secret is rotated, limits change, and no packet of a running call is lost.
func TestReloadLosesNothing(t *testing.T) {
	r := run(t, nil)
	a := r.allocate("u")
	old, _ := r.Issue("u", 0)
	stop, lost := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				lost <- n
				return
			default:
				n += 1 - r.echo(a, 1)
			}
		}
	}()
	cfg := r.cfg
	for i := range 20 {
		cfg.Credentials.Secrets = []string{strings.Repeat("new secret ", 3) + string(rune('a'+i)), r.cfg.Credentials.Secrets[0]}
		cfg.Limits.SessionsPerUser = 2 + i%2
		restart, err := r.Reload(cfg)
		if err != nil || len(restart) != 0 {
			t.Fatalf("%v, %v", restart, err)
		}
	}
	close(stop)
	if n := <-lost; n != 0 {
		t.Errorf("%d packets were lost", n)
	}
	if _, err := r.dial(old.Username, old.Password); err != nil {
		t.Errorf("a credential of the secret before: %v", err)
	}
	is, _ := r.Issue("w", 0)
	if is.Password != credentials.Password(cfg.Credentials.Secrets[0], is.Username) {
		t.Error("credentials are not issued with the new secret")
	}
	if _, err := r.dial(is.Username, is.Password); err != nil {
		t.Errorf("a credential of the new secret: %v", err)
	}
	cfg.Credentials.Secrets = cfg.Credentials.Secrets[:1]
	cfg.Listen = nil
	if restart, err := r.Reload(cfg); err != nil || strings.Join(restart, " ") != "listen" {
		t.Errorf("%v, %v", restart, err)
	}
	if _, err := r.dial(old.Username, old.Password); err == nil {
		t.Error("the dropped secret is still accepted")
	}
	cfg.Credentials.Secrets = []string{"short"}
	if _, err := r.Reload(cfg); err == nil {
		t.Error("a bad configuration was taken")
	}
	if is, _ := r.Issue("x", 0); !strings.Contains(is.Username, "x") {
		t.Error("the bad configuration broke the relay")
	}
}

func TestDrainWaitsForTheLastSession(t *testing.T) {
	r := run(t, nil)
	a := r.allocate("u")
	if err := NewClient(r.cfg.Admin.Socket).Drain(t.Context(), true, 0); err != nil {
		t.Fatal(err)
	}
	is, _ := r.Issue("v", 0)
	if _, err := r.dial(is.Username, is.Password); err == nil || !strings.Contains(err.Error(), "508") {
		t.Errorf("a draining relay allocates: %v", err)
	}
	if n := r.echo(a, 3); n != 3 {
		t.Errorf("%d of 3 packets in a running session", n)
	}
	if code, body := r.get("/healthz"); code != 503 || !strings.Contains(body, "draining") {
		t.Errorf("%d %s", code, body)
	}
	a.close()
	until(t, "the relay has ended", func() bool {
		_, err := NewClient(r.cfg.Admin.Socket).Status(context.Background())
		return errors.Is(err, ErrNotRunning)
	})
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if got := lines(t, r.cfg.Records.File); len(got) != 1 || got[0]["reason"] != "deleted" {
		t.Errorf("%v", got)
	}
}

func TestDrainEndsAtItsDeadline(t *testing.T) {
	r := run(t, nil)
	r.allocate("u")
	r.Drain(50 * time.Millisecond)
	until(t, "the relay has ended", func() bool {
		_, err := NewClient(r.cfg.Admin.Socket).Status(context.Background())
		return errors.Is(err, ErrNotRunning)
	})
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if got := lines(t, r.cfg.Records.File); len(got) != 1 || got[0]["reason"] != "shutdown" {
		t.Errorf("%v", got)
	}
}

func (r *running) get(path string) (int, string) {
	r.t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	res, err := c.Get("http://" + r.Addrs().Metrics.String() + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(b)
}

func TestMetricsAndHealth(t *testing.T) {
	r := run(t, func(c *Config) {
		c.SOCKS5.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
		c.XMPP = XMPP{Component: "relay.test", Server: "127.0.0.1:1", Secret: "s", Domains: []string{"test"}}
		c.Fleet.Valkey = []string{"127.0.0.1:1"}
	})
	a := r.allocate("somebody@example.org")
	r.echo(a, 3)
	code, body := r.get("/metrics")
	for _, want := range []string{
		"jingle_relay_allocations 1\n", `jingle_relay_packets_total{direction="to_peer"} 3`, `jingle_relay_bytes_total{direction="to_client"} 60`,
		`jingle_relay_requests_total{method="allocate"} 2`, `jingle_relay_errors_total{code="401"} 1`, `jingle_relay_dropped_total{reason="receive_buffer"} 0`,
		"jingle_relay_socks5_streams 0\n", "jingle_relay_xmpp_connected 0\n", "jingle_relay_fleet_connected 0\n", "jingle_relay_sessions 1\n", "go_goroutines",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
	if code != 200 || strings.Contains(body, "somebody") || strings.Contains(body, "127.0.0.1") {
		t.Errorf("%d; metrics name a user or an address", code)
	}
	if code, body := r.get("/healthz"); code != 200 || !strings.Contains(body, `"state":"ok"`) || !strings.Contains(body, `"xmpp":false`) {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := r.get("/debug/pprof/"); code != 404 {
		t.Errorf("%d", code)
	}
}

func TestAdminSocketIsPrivate(t *testing.T) {
	r := run(t, nil)
	st, err := os.Stat(r.cfg.Admin.Socket)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", st.Mode(), err)
	}
	entries, _ := os.ReadDir(filepath.Dir(r.cfg.Admin.Socket))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".s") {
			t.Errorf("%s is left behind", e.Name())
		}
	}
	if _, err := listenPrivate(r.cfg.Admin.Socket); err == nil || !strings.Contains(err.Error(), "running") {
		t.Errorf("a second relay took the socket: %v", err)
	}
	file := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenPrivate(file); err == nil {
		t.Error("a file was replaced by a socket")
	}
	_ = r.stop()
	if _, err := os.Stat(r.cfg.Admin.Socket); !errors.Is(err, os.ErrNotExist) {
		t.Error("the socket is left behind")
	}
}

func TestPortsThatAreTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	taken := ln.Addr().(*net.TCPAddr).AddrPort()
	for name, change := range map[string]func(*Config){
		"listen":  func(c *Config) { c.Listen[1].Address = taken },
		"metrics": func(c *Config) { c.Metrics.Listen = taken },
		"socks5": func(c *Config) {
			c.SOCKS5.Listen = []netip.AddrPort{taken}
			c.XMPP = XMPP{Component: "relay.test", Server: "127.0.0.1:1", Secret: "s", Domains: []string{"test"}}
		},
	} {
		cfg := Dev(0)
		change(&cfg)
		r, err := New(cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := r.Run(ctx); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}
