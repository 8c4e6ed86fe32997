package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/jingled/jingled/api/client"
	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/internal/testkit"
)

// asProgram makes this test's binary run as jingled.
const asProgram = "JINGLED_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run())
	}
	code := m.Run()
	if releaseDir != "" {
		_ = os.RemoveAll(releaseDir)
	}
	os.Exit(code)
}

// place is where a jingled of a test lives.
type place struct{ home string }

func newPlace(t testing.TB) place {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the tests use signals and permissions of Unix")
	}
	dir, err := os.MkdirTemp("", "jd") // names of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return place{dir}
}

// config writes a configuration without accounts that can connect anywhere.
func (p place) config(t *testing.T) string {
	t.Helper()
	path := filepath.Join(p.home, "config.toml")
	text := "[[account]]\njid = \"alice@example.test\"\npassword_file = \"pw\"\nconnect = \"127.0.0.1:1\"\npin = \"" + strings.Repeat("AB:", 31) + "ab\"\n"
	for name, text := range map[string]string{path: text, filepath.Join(p.home, "pw"): "secret-word\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func (p place) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = p.env()
	return cmd
}

func (p place) env() []string {
	return append(os.Environ(), asProgram+"=1", "HOME="+p.home, "XDG_RUNTIME_DIR="+p.home, "XDG_STATE_HOME="+p.home+"/state",
		"XDG_CONFIG_HOME="+p.home, "JINGLED_SOCKET=", "NOTIFY_SOCKET=", "STATE_DIRECTORY=", "LISTEN_FDS=")
}

// child is a jingled with --parent-stdin.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
	hello greeting
}

func (p place) child(t *testing.T, args ...string) *child {
	t.Helper()
	c := &child{cmd: p.command(t, append([]string{"--parent-stdin"}, args...)...)}
	c.cmd.Stderr = os.Stderr
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	c.out = bufio.NewReader(out)
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(line, &c.hello); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return c
}

// wait returns the exit status and what else came on standard output.
func (c *child) wait(t *testing.T) string {
	t.Helper()
	stop := time.AfterFunc(20*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer stop.Stop()
	rest, err := io.ReadAll(c.out)
	if err != nil {
		t.Error(err)
	}
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("jingled ended with %v", err)
	}
	return string(rest)
}

func TestParentStdin(t *testing.T) {
	p := newPlace(t)
	c := p.child(t)
	if c.hello.PID != c.cmd.Process.Pid || c.hello.Version != "devel" {
		t.Errorf("%+v", c.hello)
	}
	st, err := os.Stat(c.hello.Socket)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", st, err)
	}
	if st, err := os.Stat(filepath.Dir(c.hello.Socket)); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("its folder: %v, %v", st, err)
	}
	api := client.DialToken(c.hello.Socket, c.hello.Token)
	defer api.Close()
	res, err := api.Daemon.ListAccounts(t.Context(), &jingledv1.ListAccountsRequest{})
	if err != nil || len(res.GetAccounts()) != 0 {
		t.Errorf("accounts %v, %v", res, err)
	}
	if _, err := api.History.ListHistory(t.Context(), &jingledv1.ListHistoryRequest{}); err == nil || !strings.Contains(err.Error(), "state folder") {
		t.Errorf("history: %v", err)
	}
	other := p.child(t) // a second parent has a second one
	if other.hello.Socket == c.hello.Socket || other.hello.Token == c.hello.Token {
		t.Error("two children have one socket, or one token")
	}
	// Other programs of the user have no business there.
	for _, token := range []string{"", "x", other.hello.Token} {
		stranger := client.DialToken(c.hello.Socket, token)
		defer stranger.Close()
		_, err := stranger.Daemon.ListAccounts(t.Context(), &jingledv1.ListAccountsRequest{})
		if connect.CodeOf(err) != connect.CodeUnauthenticated || !strings.Contains(err.Error(), "the program that started it") {
			t.Errorf("with the token %q: %v", token, err)
		}
		events, err := stranger.Events.Watch(t.Context(), &jingledv1.WatchRequest{})
		if err == nil && events.Receive() {
			t.Errorf("with the token %q there are events", token)
		}
	}
	if len(c.hello.Token) < 26 {
		t.Errorf("the token is %q", c.hello.Token)
	}
	for _, x := range []*child{c, other} {
		if err := x.stdin.Close(); err != nil {
			t.Fatal(err)
		}
		if rest := x.wait(t); rest != "" {
			t.Errorf("more on standard output: %q", rest)
		}
		if _, err := os.Stat(filepath.Dir(x.hello.Socket)); !os.IsNotExist(err) {
			t.Errorf("the socket's folder is left behind: %v", err)
		}
	}
}

func TestStateIsLocked(t *testing.T) {
	p := newPlace(t)
	config, dir := p.config(t), filepath.Join(p.home, "s")
	c := p.child(t, "--config", config, "--state", dir)
	out, err := p.command(t, "--config", config, "--state", dir, "--socket", filepath.Join(p.home, "other.sock")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another jingled uses this state folder: stop it first") || !strings.Contains(string(out), dir) {
		t.Errorf("a second one: %v, %s", err, out)
	}
	if _, err := os.Stat(filepath.Join(p.home, "other.sock")); !os.IsNotExist(err) {
		t.Errorf("the second one has made a socket: %v", err)
	}
	// What is remembered has no secret, and survives a kill.
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.cmd.Wait()
	again := p.child(t, "--config", config, "--state", dir)
	api := client.DialToken(again.hello.Socket, again.hello.Token)
	defer api.Close()
	stream, err := api.History.ExportState(t.Context(), &jingledv1.ExportStateRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for stream.Receive() {
		all = append(all, stream.Msg().String())
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(all, "\n")
	if !strings.Contains(text, "alice@example.test") || !strings.Contains(text, strings.Repeat("ab", 32)) {
		t.Errorf("export: %s", text)
	}
	if err := again.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	again.wait(t)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "secret-word") {
			t.Errorf("%s has the password", f)
		}
	}
}

// TestDefaultState finds the history where the documentation says.
func TestDefaultState(t *testing.T) {
	p := newPlace(t)
	p.config(t)
	o := options{}
	t.Setenv("XDG_STATE_HOME", p.home)
	t.Setenv("STATE_DIRECTORY", "")
	for _, c := range []struct{ flag, configured, systemd, want string }{
		{"", "", "", p.home + "/jingled"},
		{"", "", "/var/lib/a:/var/lib/b", "/var/lib/a"},
		{"", "/configured", "/var/lib/a", "/configured"},
		{"/flag", "/configured", "", "/flag"},
		{"none", "/configured", "", ""},
	} {
		o.state = c.flag
		t.Setenv("STATE_DIRECTORY", c.systemd)
		if got, err := o.stateDir(c.configured); err != nil || got != c.want {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}

// TestSocketActivation lets systemd's own tool open the socket and start jingled with the first connection.
func TestSocketActivation(t *testing.T) {
	p := newPlace(t)
	tool := testkit.Binary(t, "systemd-socket-activate", "systemd")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	socket, told := filepath.Join(p.home, "a.sock"), filepath.Join(p.home, "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: told, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd := exec.Command(tool, "-l", socket, "-E", asProgram+"=1", "-E", "NOTIFY_SOCKET="+told, "-E", "HOME="+p.home, self,
		"--config", p.config(t), "--state", "none")
	cmd.Env = p.env()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	api := client.New(func(ctx context.Context) (net.Conn, error) {
		for { // the tool needs a moment to open it
			c, err := new(net.Dialer).DialContext(ctx, "unix", socket)
			if err == nil || ctx.Err() != nil {
				return c, err
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	defer api.Close()
	if res, err := api.Daemon.GetInfo(ctx, &jingledv1.GetInfoRequest{}); err != nil || res.GetVersion() != "devel" {
		t.Fatalf("%v, %v", res, err)
	}
	_ = l.SetReadDeadline(time.Now().Add(20 * time.Second))
	b := make([]byte, 100)
	n, err := l.Read(b)
	if err != nil || string(b[:n]) != "READY=1" {
		t.Errorf("systemd was told %q, %v", b[:n], err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(socket); err != nil {
		t.Errorf("the socket is systemd's and must stay: %v", err)
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	var out strings.Builder
	c := newRoot()
	c.SetArgs([]string{"--help"})
	c.SetOut(&out)
	if err := c.Execute(); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"--config", "--socket", "--state", "--parent-stdin", "--verbose"} {
		if !strings.Contains(out.String(), f) {
			t.Errorf("no %s in the help", f)
		}
	}
}
