package local_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/jingled/jingled/daemon/local"
	"github.com/jingled/jingled/internal/testkit"
)

func TestMain(m *testing.M) {
	if status, knocking := testkit.Knocking(); knocking {
		os.Exit(status)
	}
	goleak.VerifyTestMain(m)
}

// echo answers with the address that it is for.
func echo(addr string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, addr) })
}

// run runs a server until the test ends, and returns when it can be opened.
func run(t *testing.T, cfg local.Config) (s *local.Server, addr string, stop func()) {
	t.Helper()
	cfg.What, cfg.Handler = "the test", echo
	s, err := local.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(); err == nil {
		t.Error("it is open and does not run")
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = func() {
		if cancel == nil {
			return
		}
		cancel()
		cancel = nil
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) { // Run begins
		if addr, err = s.Open(); err == nil {
			return s, addr, stop
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func get(t *testing.T, addr string) string {
	t.Helper()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Get("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestServer(t *testing.T) {
	s, addr, stop := run(t, local.Config{Usual: "127.0.0.1:0"})
	if got := get(t, addr); got != addr {
		t.Errorf("the handler is for %q, the server is at %q", got, addr)
	}
	if again, err := s.Open(); again != addr || err != nil {
		t.Errorf("open again: %s, %v", again, err)
	}
	stop()
	if _, err := s.Open(); err == nil || !strings.Contains(err.Error(), "the test cannot be served") {
		t.Errorf("open after the end: %v", err)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("it still listens")
	}
}

// The usual port may be taken; one that was asked for may not.
func TestPortIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, addr, _ := run(t, local.Config{Usual: l.Addr().String()}); addr == l.Addr().String() {
		t.Errorf("two listen at %s", addr)
	}
	s, err := local.New(local.Config{What: "the test", Handler: echo, Listen: l.Addr().String(), AtOnce: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "the test cannot be served") {
		t.Errorf("on a port that is taken: %v", err)
	}
}

func TestOnlyLoopback(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", "192.0.2.1:80", "localhost:80", "127.0.0.1", "[::]:1"} {
		if _, err := local.New(local.Config{Listen: listen}); err == nil {
			t.Errorf("%s is taken", listen)
		}
	}
	if _, err := local.New(local.Config{Listen: "[::1]:0"}); err != nil {
		t.Error(err)
	}
}

func TestSameUser(t *testing.T) {
	_, mine, _ := run(t, local.Config{Listen: "127.0.0.1:0", SameUser: true})
	_, everybodys, _ := run(t, local.Config{Listen: "127.0.0.1:0"})
	for _, c := range []struct {
		addr      string
		uid, want int
	}{
		{mine, 0, testkit.Answered}, {mine, testkit.Nobody, testkit.ShutOut}, {everybodys, testkit.Nobody, testkit.Answered},
	} {
		if got := testkit.KnockAs(t, c.uid, "tcp", c.addr); got != c.want {
			t.Errorf("user %d: %d, want %d", c.uid, got, c.want)
		}
	}
}
