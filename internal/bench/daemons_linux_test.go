package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jingled/jingled/api/client"
	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

var (
	programDir string // what TestMain removes
	// program builds jingled as it is shipped.
	program = sync.OnceValues(func() (string, error) {
		var err error
		if programDir, err = os.MkdirTemp("", "jingled-bench-"); err != nil {
			return "", err
		}
		path := filepath.Join(programDir, "jingled")
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "github.com/jingled/jingled/cmd/jingled")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build: %w\n%s", err, out)
		}
		return path, nil
	})
)

func TestMain(m *testing.M) {
	code := m.Run()
	if programDir != "" {
		_ = os.RemoveAll(programDir)
	}
	os.Exit(code)
}

// scratch is a folder in memory if there is one, so that no disk is measured.
func scratch(b *testing.B) string {
	b.Helper()
	const memory = "/dev/shm"
	if st, err := os.Stat(memory); err != nil || !st.IsDir() {
		return b.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "jingled-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// noise writes a file of random bytes.
func noise(b *testing.B, dir string, size int64) string {
	b.Helper()
	path := filepath.Join(dir, "noise.bin")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	random := rand.NewChaCha8([32]byte{1})
	buf := make([]byte, 1<<20)
	for left := size; left > 0; {
		p := buf[:min(left, int64(len(buf)))]
		_, _ = random.Read(p)
		if _, err := f.Write(p); err != nil {
			b.Fatal(err)
		}
		left -= int64(len(p))
	}
	return path
}

// server is where the accounts are.
type server struct {
	addr, domain string
	ca           []byte
}

// end is a jingled with one account, in a process of its own.
type end struct {
	b     *testing.B
	jid   string
	inbox string
	pid   int
	api   *client.Client
	// events are those of transfers, as they come.
	events chan *jingledv1.Event
}

// begin starts a jingled and waits until its account is online. The account's password is "secret".
func begin(b *testing.B, srv server, user string) *end {
	b.Helper()
	path, err := program()
	if err != nil {
		b.Fatal(err)
	}
	home, err := os.MkdirTemp("", "jb") // names of sockets are short
	if err != nil {
		b.Fatal(err)
	}
	e := &end{b: b, jid: user + "@" + srv.domain, inbox: scratch(b), events: make(chan *jingledv1.Event, 10000)}
	text := fmt.Sprintf("loopback = true\ndownloads = %q\nstate = \"state\"\n[[account]]\njid = %q\npassword_file = \"pw\"\nconnect = %q\nca = \"ca.pem\"\n",
		e.inbox, e.jid, srv.addr)
	for name, text := range map[string][]byte{"config.toml": []byte(text), "pw": []byte("secret\n"), "ca.pem": srv.ca} {
		if err := os.WriteFile(filepath.Join(home, name), text, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	cmd := exec.Command(path, "--parent-stdin", "--config", filepath.Join(home, "config.toml"))
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_RUNTIME_DIR="+home, "XDG_STATE_HOME="+home, "XDG_CONFIG_HOME="+home,
		"DBUS_SESSION_BUS_ADDRESS=")
	var log bytes.Buffer
	cmd.Stderr = &log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	b.Cleanup(func() {
		cancel()
		watching.Wait()
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil || b.Failed() {
			b.Logf("%s: %v\n%s", e.jid, err, log.String())
		}
		_ = os.RemoveAll(home)
	})
	var hello struct{ Socket, Token string }
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &hello)
	}
	if err != nil {
		b.Fatalf("%v: %s", err, line)
	}
	e.pid, e.api = cmd.Process.Pid, client.DialToken(hello.Socket, hello.Token)
	b.Cleanup(e.api.Close)
	e.online()
	stream, err := e.api.Events.Watch(ctx, &jingledv1.WatchRequest{})
	if err != nil {
		b.Fatal(err)
	}
	watching.Go(func() {
		for stream.Receive() {
			e.events <- stream.Msg().GetEvent()
		}
		_ = stream.Close()
	})
	return e
}

func (e *end) online() {
	e.b.Helper()
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		res, err := e.api.Daemon.ListAccounts(e.b.Context(), &jingledv1.ListAccountsRequest{})
		if err == nil && len(res.GetAccounts()) == 1 && res.GetAccounts()[0].GetState() == jingledv1.AccountState_ACCOUNT_STATE_ONLINE {
			return
		}
		if time.Now().After(until) {
			e.b.Fatalf("%s is not online: %v, %v", e.jid, res, err)
		}
	}
}

// await returns the next event that is meant.
func (e *end) await(what string, is func(*jingledv1.Event) bool) *jingledv1.Event {
	e.b.Helper()
	timeout := time.After(30 * time.Minute)
	for {
		select {
		case ev := <-e.events:
			if f := ev.GetTransferFailed(); f != nil {
				e.b.Fatalf("%s, waiting for %s: %v", e.jid, what, f)
			}
			if is(ev) {
				return ev
			}
		case <-timeout:
			e.b.Fatalf("%s: no %s", e.jid, what)
		}
	}
}

// idle lets a process rest, so that what it has above that can be told, and forgets its peak.
func (e *end) idle() (mib float64) {
	e.b.Helper()
	if err := os.WriteFile(e.proc("clear_refs"), []byte("5"), 0); err != nil { // proc(5): resets the peak
		e.b.Fatal(err)
	}
	return e.status("VmRSS")
}

func (e *end) proc(name string) string { return "/proc/" + strconv.Itoa(e.pid) + "/" + name }

// status returns a line of memory, in MiB.
func (e *end) status(name string) float64 {
	e.b.Helper()
	text, err := os.ReadFile(e.proc("status"))
	if err != nil {
		e.b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if key, value, _ := strings.Cut(line, ":"); key == name {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			if err != nil {
				e.b.Fatal(err)
			}
			return kib / 1024
		}
	}
	e.b.Fatalf("no %s in %s", name, text)
	return 0
}

// cpu returns the processor time that a process has used, from proc(5): ticks of 10 ms.
func (e *end) cpu() time.Duration {
	e.b.Helper()
	text, err := os.ReadFile(e.proc("stat"))
	if err != nil {
		e.b.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	ticks := 0
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			e.b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// carried is what a transfer took.
type carried struct {
	took time.Duration
	// cpu and memory (the peak in MiB above what it was before) are the sender's and the receiver's.
	cpu       [2]time.Duration
	memory    [2]float64
	encrypted string
	verified  bool
}

// carry sends a file from one to the other. The time is the receiver's, from the first byte to the file under its name.
func carry(from, to *end, req *jingledv1.SendFileRequest) carried {
	b := from.b
	b.Helper()
	req.Peer = to.jid
	ends := [2]*end{from, to}
	var idle [2]float64
	var used [2]time.Duration
	for i, e := range ends {
		idle[i], used[i] = e.idle(), e.cpu()
	}
	if _, err := from.api.Transfers.SendFile(b.Context(), req); err != nil {
		b.Fatal(err)
	}
	offer := to.await("offer", func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
	if _, err := to.api.Transfers.AcceptFile(b.Context(), &jingledv1.AcceptFileRequest{Sid: offer.GetSid()}); err != nil {
		b.Fatal(err)
	}
	started := to.await("start", func(e *jingledv1.Event) bool { return e.GetTransferStarted() != nil })
	ended := func(e *jingledv1.Event) bool { return e.GetTransferDone() != nil }
	done := to.await("end", ended)
	from.await("end", ended)
	c := carried{
		took:      done.GetTime().AsTime().Sub(started.GetTime().AsTime()),
		encrypted: started.GetTransferStarted().GetEncryption(), verified: done.GetTransferDone().GetVerified(),
	}
	for i, e := range ends {
		c.cpu[i], c.memory[i] = e.cpu()-used[i], e.status("VmHWM")-idle[i]
	}
	if err := os.Remove(done.GetTransferDone().GetPath()); err != nil {
		b.Fatal(err)
	}
	return c
}
