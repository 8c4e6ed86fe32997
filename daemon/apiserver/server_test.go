package apiserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	"github.com/jingled/jingled/api/client"
	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/api/jingled/v1/jingledv1connect"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/apiserver"
	"github.com/jingled/jingled/internal/memlisten"
	"github.com/jingled/jingled/internal/testkit"
)

func TestMain(m *testing.M) {
	if status, knocking := testkit.Knocking(); knocking {
		os.Exit(status)
	}
	goleak.VerifyTestMain(m)
}

// shortDir is a folder whose name leaves room for that of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "j")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// serve runs a daemon without accounts behind a listener until the test ends.
func serve(t *testing.T, l net.Listener, log *slog.Logger) {
	t.Helper()
	d, err := daemon.New(daemon.Config{Version: "of a test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- apiserver.Serve(ctx, l, d, log) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Serve does not return")
		}
	})
}

func onSocket(t *testing.T) string {
	t.Helper()
	path := filepath.Join(shortDir(t), "sub", "s")
	l, err := apiserver.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, nil)
	return path
}

func TestSocket(t *testing.T) {
	path := onSocket(t)
	for p, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if st, err := os.Stat(p); err != nil || (runtime.GOOS != "windows" && st.Mode().Perm() != want) {
			t.Errorf("%s: %v, %v", p, st.Mode(), err)
		}
	}
	if _, err := apiserver.Listen(path); !errors.Is(err, apiserver.ErrRunning) || !strings.Contains(err.Error(), path) {
		t.Errorf("a second one: %v", err)
	}
	c := client.Dial(path)
	defer c.Close()
	info, err := c.Daemon.GetInfo(t.Context(), &jingledv1.GetInfoRequest{})
	if err != nil || info.GetVersion() != "of a test" || info.GetApiMinor() != daemon.APIMinor {
		t.Errorf("%v, %v", info, err)
	}
}

func TestSocketIsLeftBehind(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	l, err := apiserver.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as if it was killed
	_ = l.Close()
	if l, err = apiserver.Listen(path); err != nil {
		t.Fatalf("over a dead one's: %v", err)
	}
	_ = l.Close()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is left behind: %v", err)
	}
	// What is no socket is somebody's.
	if err := os.WriteFile(path, []byte("dear diary"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := apiserver.Listen(path); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("over a file: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "dear diary" {
		t.Errorf("the file is %q, %v", b, err)
	}
}

func TestDefaultSocket(t *testing.T) {
	t.Setenv("JINGLED_SOCKET", "")
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/7")
	if p, err := apiserver.DefaultSocket(); err != nil || filepath.ToSlash(p) != "/run/user/7/jingled/jingled.sock" {
		t.Errorf("%s, %v", p, err)
	}
	t.Setenv("JINGLED_SOCKET", "/here")
	if p, err := apiserver.DefaultSocket(); err != nil || p != "/here" {
		t.Errorf("%s, %v", p, err)
	}
	t.Setenv("JINGLED_SOCKET", "")
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("HOME", "/home/user")
	if p, err := apiserver.DefaultSocket(); err != nil || !strings.HasSuffix(filepath.ToSlash(p), "/jingled/jingled.sock") {
		t.Errorf("%s, %v", p, err)
	}
}

// Another user is turned away even where the permissions would let them in.
func TestOtherUserIsRefused(t *testing.T) {
	var logged lockedBuffer
	dir := shortDir(t)
	path := filepath.Join(dir, "s")
	l, err := apiserver.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, l, slog.New(slog.NewTextHandler(&logged, nil)))
	for _, p := range []string{dir, path} {
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for uid, want := range map[int]int{0: testkit.Answered, testkit.Nobody: testkit.ShutOut} {
		if got := testkit.KnockAs(t, uid, "unix", path); got != want {
			t.Errorf("user %d: %d, want %d", uid, got, want)
		}
	}
	if !strings.Contains(logged.String(), "belongs to another user") {
		t.Errorf("log: %s", &logged)
	}
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestRequestsAreBounded(t *testing.T) {
	path := onSocket(t)
	c := client.Dial(path)
	defer c.Close()
	_, err := c.Calls.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: strings.Repeat("x", 2<<20)})
	if connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("%v", err)
	}
	if _, err := c.Daemon.GetInfo(t.Context(), &jingledv1.GetInfoRequest{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestGarbage(t *testing.T) {
	path := onSocket(t)
	for _, garbage := range []string{
		"\x00\x01\x02\x03\r\n\r\n", "SSH-2.0-x\r\n", "GET\r\n\r\n", "<stream:stream>", "\x16\x03\x01\x02\x00",
		"POST /jingled.v1.DaemonService/GetInfo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5\r\nConnection: close\r\n\r\n{\"a\"]",
		"POST /jingled.v1.DaemonService/GetInfo HTTP/1.1\r\nHost: x\r\nContent-Type: application/proto\r\nContent-Length: 4\r\nConnection: close\r\n\r\n\xff\xff\xff\xff",
		"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n",
	} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(15 * time.Second))
		_, _ = io.WriteString(conn, garbage) // it may be cut off before it is all said
		if u, ok := conn.(*net.UnixConn); ok {
			_ = u.CloseWrite()
		}
		answer, err := io.ReadAll(conn)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%.30q: nothing happens", garbage)
		}
		if strings.HasPrefix(string(answer), "HTTP/1.1 200") {
			t.Errorf("%.30q is answered with %.60q", garbage, answer)
		}
		_ = conn.Close()
	}
	// The API as plain JSON over HTTP, as curl has it.
	h := &http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}}
	res, err := h.Post("http://x/jingled.v1.DaemonService/GetInfo", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(b), `"version":"of a test"`) {
		t.Errorf("%d %s %v", res.StatusCode, b, err)
	}
}

// Somebody who opens the stream of events and never reads holds nobody up.
func TestClientThatNeverReads(t *testing.T) {
	path := onSocket(t)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := "\x00\x00\x00\x00\x02{}"
	_, err = fmt.Fprintf(conn, "POST /jingled.v1.EventService/Watch HTTP/1.1\r\nHost: x\r\nContent-Type: application/connect+json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	if err != nil {
		t.Fatal(err)
	}
	c := client.Dial(path)
	defer c.Close()
	for range 20 {
		if _, err := c.Daemon.ListAccounts(t.Context(), &jingledv1.ListAccountsRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	// And the end of the daemon does not wait for it: that is checked at the end of the test.
}

// All three protocols, and a stream that ends with its reader, over a listener inside the process.
func TestProtocolsInMemory(t *testing.T) {
	l := memlisten.New()
	serve(t, l, nil)
	c := client.New(l.Dial)
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := c.Events.Watch(ctx, &jingledv1.WatchRequest{})
	if err != nil || !stream.Receive() || stream.Msg().GetEvent().GetHello() == nil {
		t.Fatalf("%v, %v", stream.Msg(), err)
	}
	cancel()
	if stream.Receive() || connect.CodeOf(stream.Err()) != connect.CodeCanceled {
		t.Errorf("after the end: %v", stream.Err())
	}
	_ = stream.Close()

	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	h2 := &http.Transport{Protocols: protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return l.Dial(ctx) }}
	defer h2.CloseIdleConnections()
	grpc := jingledv1connect.NewEventServiceClient(&http.Client{Transport: h2}, "http://x", connect.WithGRPC())
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	stream, err = grpc.Watch(ctx, &jingledv1.WatchRequest{})
	if err != nil || !stream.Receive() || stream.Msg().GetEvent().GetHello() == nil {
		t.Fatalf("gRPC: %v, %v", stream.Msg(), err)
	}
	cancel()
	for stream.Receive() {
		continue
	}
	_ = stream.Close()
	web := jingledv1connect.NewDaemonServiceClient(&http.Client{Transport: h2}, "http://x", connect.WithGRPCWeb())
	if info, err := web.GetInfo(t.Context(), &jingledv1.GetInfoRequest{}); err != nil || info.GetVersion() != "of a test" {
		t.Errorf("gRPC-Web: %v, %v", info, err)
	}
}
