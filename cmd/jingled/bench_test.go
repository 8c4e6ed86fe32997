package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jingled/jingled/api/client"
	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
)

// releaseDir is what TestMain removes.
var releaseDir string

// release builds jingled without the race detector.
var release = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "jingled-release-")
	if err != nil {
		return "", err
	}
	releaseDir = dir
	path := filepath.Join(dir, "jingled")
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// started is a jingled of a benchmark.
type started struct {
	cmd           *exec.Cmd
	stdin         interface{ Close() error }
	socket, token string
	took          time.Duration // from nothing to the line that says that it is ready
}

// begin starts the program with an account and a state folder, and waits until it is ready.
func begin(t testing.TB, program, config, state string) *started {
	t.Helper()
	began := time.Now()
	cmd := exec.Command(program, "--parent-stdin", "--config", config, "--state", state)
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+filepath.Dir(config), "DBUS_SESSION_BUS_ADDRESS=")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	took := time.Since(began)
	var hello greeting
	if err == nil {
		err = json.Unmarshal(line, &hello)
	}
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Fatalf("%v: %s\n%s", err, line, log.String())
	}
	return &started{cmd, stdin, hello.Socket, hello.Token, took}
}

func (s *started) end(t testing.TB) {
	t.Helper()
	_ = s.stdin.Close()
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// resident is the memory of a process, in MiB: all of it, and what is its own and no file's.
func resident(t testing.TB, pid int) (rss, anonymous float64) {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		if err != nil {
			continue
		}
		switch name {
		case "VmRSS":
			rss = kib / 1024
		case "RssAnon":
			anonymous = kib / 1024
		}
	}
	return rss, anonymous
}

// nowhere writes a configuration whose account has a server that never answers.
func nowhere(t testing.TB, p place) string {
	t.Helper()
	path := filepath.Join(p.home, "config.toml")
	text := "[[account]]\njid = \"alice@example.test\"\npassword_file = \"pw\"\nconnect = \"127.0.0.1:1\"\n"
	for name, text := range map[string]string{path: text, filepath.Join(p.home, "pw"): "secret\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// baseline is the time that a program of Go takes that does nothing: this one, asked for its version.
func baseline(t testing.TB, program string) time.Duration {
	t.Helper()
	began := time.Now()
	if err := exec.Command(program, "--version").Run(); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

// BenchmarkStart prints how long jingled takes from nothing to ready, with one account, a state folder that is there, and a
// server that does not answer.
func BenchmarkStart(b *testing.B) {
	program, err := release()
	if err != nil {
		b.Fatal(err)
	}
	p := newPlace(b)
	config, state := nowhere(b, p), filepath.Join(p.home, "state")
	begin(b, program, config, state).end(b) // makes the database
	var took, nothing []time.Duration
	for b.Loop() {
		s := begin(b, program, config, state)
		took = append(took, s.took)
		s.end(b)
		nothing = append(nothing, baseline(b, program))
	}
	slices.Sort(took)
	slices.Sort(nothing)
	median := took[len(took)/2]
	b.ReportMetric(float64(median.Microseconds())/1000, "ready-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "worst-ms")
	b.ReportMetric(float64(median)/float64(nothing[len(nothing)/2]), "x-of---version")
}

// idling starts jingled with an account that is online, and lets it rest.
func idling(t testing.TB, rest time.Duration) *started {
	t.Helper()
	program, err := release()
	if err != nil {
		t.Fatal(err)
	}
	srv := testkit.Embedded(t, xmppserver.Config{Accounts: map[string]string{"alice": "secret", "bob": "secret"}})
	if err := srv.Befriend("alice", "bob"); err != nil {
		t.Fatal(err)
	}
	p := newPlace(t)
	config := filepath.Join(p.home, "config.toml")
	text := fmt.Sprintf("loopback = true\n[[account]]\njid = %q\npassword_file = \"pw\"\nconnect = %q\ntls = \"starttls\"\nca = \"ca.pem\"\n",
		"alice@"+srv.Domain(), srv.Addr())
	for name, b := range map[string][]byte{"config.toml": []byte(text), "pw": []byte("secret\n"), "ca.pem": srv.CA()} {
		if err := os.WriteFile(filepath.Join(p.home, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := begin(t, program, config, filepath.Join(p.home, "state"))
	t.Cleanup(func() { s.end(t) })
	c := client.DialToken(s.socket, s.token)
	defer c.Close()
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		res, err := c.Daemon.ListAccounts(t.Context(), &jingledv1.ListAccountsRequest{})
		if err == nil && len(res.GetAccounts()) == 1 && res.GetAccounts()[0].GetState() == jingledv1.AccountState_ACCOUNT_STATE_ONLINE {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("not online: %v, %v", res, err)
		}
	}
	time.Sleep(rest) // what is measured is how it rests
	return s
}

// BenchmarkIdleMemory prints what jingled takes with one account that is online.
func BenchmarkIdleMemory(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("it reads /proc")
	}
	s := idling(b, 3*time.Second)
	var rss, anonymous float64
	for b.Loop() {
		rss, anonymous = resident(b, s.cmd.Process.Pid)
	}
	b.ReportMetric(rss, "MiB-resident")
	b.ReportMetric(anonymous, "MiB-own")
}

// TestFrugal holds the bounds of docs/performance.md with room for a machine that is busy.
func TestFrugal(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it reads /proc")
	}
	s := idling(t, time.Second)
	if rss, own := resident(t, s.cmd.Process.Pid); rss > 40 {
		t.Errorf("%.1f MiB resident, %.1f of them its own; 40 is the bound", rss, own)
	}
	program, err := release()
	if err != nil {
		t.Fatal(err)
	}
	p := newPlace(t)
	config, state := nowhere(t, p), filepath.Join(p.home, "state")
	best := time.Minute
	for until := time.Now().Add(20 * time.Second); best > 100*time.Millisecond && time.Now().Before(until); {
		s := begin(t, program, config, state)
		best = min(best, s.took)
		s.end(t)
	}
	if best > 100*time.Millisecond {
		t.Errorf("the best start took %v; 100 ms is the bound", best)
	}
}
