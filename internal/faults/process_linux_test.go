package faults

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/internal/testkit"
)

// program is jingle answer in a process of its own, which can be stopped.
type program struct {
	cmd  *exec.Cmd
	mu   sync.Mutex
	seen map[string]int // events, by their names
	news chan struct{}
}

func answering(t *testing.T, srv *testkit.Server, user string) *program {
	t.Helper()
	dir := t.TempDir()
	bin, password := filepath.Join(dir, "jingle"), filepath.Join(dir, "password")
	if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/jingle").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "--standalone", "--json", "--loopback", "--jid", srv.Account(user), "--password-file", password,
		"--connect", srv.Addr, "--ca", srv.CAFile, "answer", "--audio-in", "tone:1000")
	cmd.Env = append(os.Environ(), "HOME="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &program{cmd: cmd, seen: map[string]int{}, news: make(chan struct{})}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var e struct{ Event string }
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				p.mu.Lock()
				p.seen[e.Event]++
				close(p.news)
				p.news = make(chan struct{})
				p.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-read
		_ = cmd.Wait()
	})
	p.until(t, "ready", 1)
	return p
}

func (p *program) until(t *testing.T, event string, times int) {
	t.Helper()
	limit := time.After(patience)
	for {
		p.mu.Lock()
		n, news := p.seen[event], p.news
		p.mu.Unlock()
		if n >= times {
			return
		}
		select {
		case <-news:
		case <-limit:
			t.Fatalf("the program says %s %d times, not %d", event, n, times)
		}
	}
}

// TestSuspended stops a process as a laptop that sleeps does. Whoever sleeps for a moment keeps the call; after a longer time the
// call has ended at both sides, with a reason, and the next one works at once. JINGLED_SUSPEND is the longer time in
// seconds.
func TestSuspended(t *testing.T) {
	t.Parallel() // most of it is waiting
	testkit.Each(t, suspended)
}

func suspended(t *testing.T, srv *testkit.Server) {
	t.Parallel()
	long := 20
	if n, err := strconv.Atoi(os.Getenv("JINGLED_SUSPEND")); err == nil {
		long = n
	}
	srv.AddUser(t, "romeo", "secret")
	srv.AddUser(t, "juliet", "secret")
	srv.Befriend(t, "romeo", "juliet")
	b := answering(t, srv, "juliet")
	a := stay(t, srv, "romeo", nil)
	begin := func(n int) string {
		t.Helper()
		res, err := a.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: srv.Account("juliet"), Media: &jingledv1.Media{AudioIn: "tone:440"}})
		if err != nil {
			t.Fatal(err)
		}
		a.must(a.after(0, res.GetSid(), "the connection", func(e *jingledv1.Event) bool { return e.GetCallConnected() != nil }))
		b.until(t, "call.connected", n)
		return res.GetSid()
	}
	sleep := func(d time.Duration) {
		t.Helper()
		if err := b.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		time.Sleep(d)
		if err := b.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	sid := begin(1)
	sleep(3 * time.Second)
	if err := a.heard(sid); err != nil {
		t.Errorf("after a moment: %v", err)
	}
	sleep(time.Duration(long) * time.Second)
	// It may have been saved, or not; then both know.
	if err := a.heard(sid); err != nil {
		e, err := a.after(0, sid, "the end", ended)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("after %d s: %v", long, e.GetCallEnded())
		if e.GetCallEnded().GetReason() == "" || e.GetCallEnded().GetText() == "" {
			t.Errorf("nobody is told why: %v", e.GetCallEnded())
		}
	} else if _, err := a.EndCall(t.Context(), &jingledv1.EndCallRequest{Sid: sid}); err != nil {
		t.Error(err)
	}
	b.until(t, "call.ended", 1)
	sid = begin(2)
	if err := a.heard(sid); err != nil {
		t.Error(err)
	}
}

// TestNoFilesLeft: without file descriptors a call cannot be made, which is said, and nothing else breaks; with them the next
// one can.
func TestNoFilesLeft(t *testing.T) {
	srv := testkit.SharedServer(t, testkit.Chosen(t))
	a, b := pair(t, srv, "mercutio")
	c := stay(t, srv, "mercutio", nil)
	sid, err := call(a, b)
	if err != nil {
		t.Fatal(err)
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	highest := 0
	for _, f := range fds {
		if n, err := strconv.Atoi(f.Name()); err == nil {
			highest = max(highest, n)
		}
	}
	tight := unix.Rlimit{Cur: uint64(highest + 1), Max: old.Max}
	var fill []*os.File
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &tight); err != nil {
		t.Fatal(err)
	}
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		fill = append(fill, f)
	}
	relax := func() {
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
		for _, f := range fill {
			_ = f.Close()
		}
		fill = nil
	}
	defer relax()
	second, err := call(b, c)
	if err == nil {
		t.Error("a call without sockets")
	} else {
		t.Logf("who calls is told: %v", err)
	}
	if err := a.heard(sid); err != nil {
		t.Errorf("the call that was there: %v", err)
	}
	relax()
	if second != "" {
		_, _ = b.EndCall(t.Context(), &jingledv1.EndCallRequest{Sid: second}) // it may be over
	}
	third, err := call(c, b)
	if err == nil {
		err = hangUp(c, b, third)
	}
	if err != nil {
		t.Errorf("the next call: %v", err)
	}
	if err := hangUp(a, b, sid); err != nil {
		t.Error(err)
	}
}

// small mounts a file system of some size, and fills it on demand.
func small(t *testing.T, size string) (dir string, fill func(on bool)) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		testkit.Missing(t, "a file system of its own cannot be mounted: run as root: "+err.Error())
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	filler := filepath.Join(dir, "filler")
	return dir, func(on bool) {
		if !on {
			_ = os.Remove(filler)
			return
		}
		f, err := os.Create(filler)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, n := range []int{1 << 16, 1 << 12, 1} {
			for block := make([]byte, n); ; {
				if _, err := f.Write(block); err != nil {
					break
				}
			}
		}
	}
}

// TestFullDisk: with a full disk calls are made as usual, only their history is missing; a file is refused before it is sent,
// with words; and all is well when there is room.
func TestFullDisk(t *testing.T) {
	srv := testkit.SharedServer(t, testkit.Chosen(t))
	srv.AddUser(t, "romeo", "secret")
	srv.AddUser(t, "juliet", "secret")
	srv.Befriend(t, "romeo", "juliet")
	state, fillState := small(t, "4m")
	inbox, fillInbox := small(t, "96m")
	a := stay(t, srv, "romeo", nil)
	b := stay(t, srv, "juliet", func(c *daemon.Config) { c.StateDir, c.Downloads = state, inbox })
	fillState(true)
	fillInbox(true)
	sid, err := call(a, b)
	if err == nil {
		err = hangUp(a, b, sid)
	}
	if err != nil {
		t.Errorf("a call with a full disk: %v", err)
	}
	path, sum := file(t, t.TempDir(), 300_000)
	since := a.now()
	if _, err := a.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: b.jid, Path: path}); err != nil {
		t.Fatal(err)
	}
	e, err := a.afterAny(since, "a refusal", func(e *jingledv1.Event) bool { return e.GetTransferFailed() != nil || e.GetTransferDone() != nil })
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	refusal := b.refusal
	b.mu.Unlock()
	if e.GetTransferFailed() == nil || refusal == nil {
		t.Errorf("a file on a full disk: %v, %v", e, refusal)
	}
	t.Logf("who sends is told: %v; who receives: %v", e.GetTransferFailed(), refusal)
	fillState(false)
	fillInbox(false)
	if _, err := a.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: b.jid, Path: path}); err != nil {
		t.Error(err)
	} else if err := sent(b, path, sum); err != nil {
		b.mu.Lock()
		t.Errorf("%v\nrefused: %v", err, b.refusal)
		b.mu.Unlock()
	}
	sid, err = call(a, b)
	if err == nil {
		err = hangUp(a, b, sid)
	}
	if err != nil {
		t.Errorf("the next call: %v", err)
	}
	history, err := b.ListHistory(t.Context(), &jingledv1.ListHistoryRequest{})
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, h := range history.GetEntries() {
		found = found || h.GetCall().GetSid() == sid
	}
	if !found {
		t.Errorf("the last call is not in the history: %v", history)
	}
}
