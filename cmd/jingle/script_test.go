package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
)

// The scripts in testdata run this test's binary as the program jingle, each in processes of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"jingle": main})
}

// TestScripts pins docs/cli.md, with a server in this process. There is no time that all scripts share: on a busy machine
// the last ones would pay for the first.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", Cmds: commands(), RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			passwords := map[string]string{"alice": rand.Text(), "bob": rand.Text(), "carol": rand.Text()}
			srv := testkit.Embedded(env.T().(testing.TB), xmppserver.Config{Accounts: passwords})
			env.Setenv("JINGLE_LOOPBACK", "true")
			if err := srv.Befriend("alice", "bob"); err != nil {
				return err
			}
			return prepare(env, place{srv.Domain(), srv.Addr(), srv.DirectTLSAddr(), srv.CA()}, passwords)
		},
	})
}

// TestServers lets the same command line work over servers of other people. Media and files find the loopback by
// themselves there, as that is where the server is.
func TestServers(t *testing.T) {
	// With stream management they would wait for minutes before they tell anybody that a client is gone.
	for _, kind := range testkit.Kinds(t) {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			scriptsAt(t, testkit.Start(t, kind, testkit.Options{NoProxy: true, NoResumption: true}))
		})
	}
}

func scriptsAt(t *testing.T, srv *testkit.Server) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/servers", Cmds: commands(), RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			tb := env.T().(testing.TB)
			passwords := map[string]string{}
			script := filepath.Base(tb.Name())
			for _, who := range []string{"alice", "bob", "carol"} {
				passwords[script+"-"+who] = rand.Text()
				srv.AddUser(tb, script+"-"+who, passwords[script+"-"+who])
			}
			srv.Befriend(tb, script+"-alice", script+"-bob")
			return prepare(env, place{srv.Domain, srv.Addr, srv.DirectTLSAddr, srv.CA}, passwords)
		},
	})
}

// place is where a server is.
type place struct {
	domain, addr, direct string
	ca                   []byte
}

// prepare gives a script its accounts: $ALICE, $BOB, $CAROL with password files of those names, and $ALICE_ARGS etc.
// to log in with; everything else is in the environment.
func prepare(env *testscript.Env, at place, passwords map[string]string) error {
	for user, pw := range passwords {
		who := user[strings.LastIndex(user, "-")+1:]
		if err := os.WriteFile(filepath.Join(env.WorkDir, who+".password"), []byte(pw+"\n"), 0o600); err != nil {
			return err
		}
		env.Setenv(strings.ToUpper(who), user+"@"+at.domain)
	}
	ca := filepath.Join(env.WorkDir, "ca.pem")
	if err := os.WriteFile(ca, at.ca, 0o600); err != nil {
		return err
	}
	env.Setenv("ADDR", at.addr)
	env.Setenv("DIRECT", at.direct)
	env.Setenv("DOMAIN", at.domain)
	env.Setenv("JINGLE_STANDALONE", "true")
	env.Setenv("JINGLE_CONNECT", at.addr)
	env.Setenv("JINGLE_TLS", "starttls")
	env.Setenv("JINGLE_CA", ca)
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("XDG_RUNTIME_DIR", env.WorkDir)
	// With the race detector a program sleeps for a second at its end, unless it is told otherwise.
	env.Setenv("GORACE", "atexit_sleep_ms=10")
	// Unix sockets have short names.
	short, err := os.MkdirTemp("", "j")
	if err != nil {
		return err
	}
	env.Defer(func() { _ = os.RemoveAll(short) })
	env.Setenv("SHORT", short)
	return nil
}

// patience is for everything that a script waits for.
const patience = 40 * time.Second

// inherited are the variables of a script that programs in the background get.
var inherited = []string{
	"PATH", "HOME", "CREDENTIALS_DIRECTORY", "TMPDIR", "WORK", "XDG_RUNTIME_DIR", "JINGLED_SOCKET", "GORACE", "GOCOVERDIR",
	"JINGLE_STANDALONE", "JINGLE_CONNECT", "JINGLE_TLS", "JINGLE_CA", "JINGLE_PIN", "JINGLE_LOOPBACK", "JINGLE_JSON",
	"JINGLE_CONFIG", "JINGLE_SOCKET", "JINGLE_JID", "JINGLE_PASSWORD_FILE", "JINGLE_VERBOSE",
}

// job is a program that runs beside a script. Its output goes to NAME.out and NAME.err.
type job struct {
	cmd   *exec.Cmd
	ended chan error
	tty   *os.File // its terminal, or nil
}

// jobs are those of one script.
type jobs struct {
	mu   sync.Mutex
	byID map[string]*job
}

func commands() map[string]func(*testscript.TestScript, bool, []string) {
	running := map[string]*jobs{} // by working directory
	var mu sync.Mutex
	of := func(ts *testscript.TestScript) *jobs {
		mu.Lock()
		defer mu.Unlock()
		dir := ts.Getenv("WORK")
		if running[dir] == nil {
			running[dir] = &jobs{byID: map[string]*job{}}
			ts.Defer(running[dir].killAll)
		}
		return running[dir]
	}
	cmds := checks()
	// exits STATUS PROGRAM ARGS...: runs a program and looks at its exit status.
	cmds["exits"] = func(ts *testscript.TestScript, _ bool, args []string) {
		want, err := strconv.Atoi(args[0])
		ts.Check(err)
		if got := status(ts.Exec(args[1], args[2:]...)); got != want {
			ts.Fatalf("exit status %d, want %d", got, want)
		}
	}
	// bg NAME PROGRAM ARGS...: starts a program.
	cmds["bg"] = func(ts *testscript.TestScript, _ bool, args []string) { of(ts).start(ts, args[0], args[1], args[2:]) }
	// until NAME TEXT: waits until its standard output has a text.
	cmds["until"] = func(ts *testscript.TestScript, _ bool, args []string) { of(ts).until(ts, args[0], args[1]) }
	// end NAME STATUS: waits for its end.
	cmds["end"] = func(ts *testscript.TestScript, _ bool, args []string) { of(ts).end(ts, args[0], args[1]) }
	// within TIME NAME STATUS: waits for its end, but no longer than that.
	cmds["within"] = func(ts *testscript.TestScript, _ bool, args []string) {
		limit, err := time.ParseDuration(args[0])
		ts.Check(err)
		began := time.Now()
		of(ts).end(ts, args[1], args[2])
		if took := time.Since(began); took > limit {
			ts.Fatalf("it took %v", took)
		}
	}
	// signal NAME interrupt|kill
	cmds["signal"] = func(ts *testscript.TestScript, _ bool, args []string) {
		sig := map[string]os.Signal{"interrupt": os.Interrupt, "kill": os.Kill}[args[1]]
		ts.Check(of(ts).get(ts, args[0]).cmd.Process.Signal(sig))
	}
	maps.Copy(cmds, terminals(of))
	// jingled-is-built puts the daemon's program beside the script.
	cmds["jingled-is-built"] = func(ts *testscript.TestScript, _ bool, _ []string) {
		path, err := builtDaemon()
		ts.Check(err)
		ts.Setenv("JINGLED", path)
	}
	return cmds
}

var builtDaemon = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "jingled-built-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "jingled")
	cmd := exec.Command("go", "build", "-o", path, "github.com/jingled/jingled/cmd/jingled")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func status(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -2
}

func (j *jobs) start(ts *testscript.TestScript, name, program string, args []string) {
	path, err := exec.LookPath(program)
	ts.Check(err)
	cmd := j.command(ts, path, args)
	var files [2]*os.File
	for i, ext := range []string{".out", ".err"} {
		files[i], err = os.Create(ts.MkAbs(name + ext))
		ts.Check(err)
	}
	cmd.Stdout, cmd.Stderr = files[0], files[1]
	ts.Check(cmd.Start())
	one := &job{cmd: cmd, ended: make(chan error, 1)}
	go func() {
		one.ended <- cmd.Wait()
		_ = files[0].Close()
		_ = files[1].Close()
	}()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.byID[name] = one
}

func (j *jobs) command(ts *testscript.TestScript, path string, args []string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = ts.Getenv("WORK")
	for _, v := range inherited {
		if s := ts.Getenv(v); s != "" {
			cmd.Env = append(cmd.Env, v+"="+s)
		}
	}
	return cmd
}

func (j *jobs) get(ts *testscript.TestScript, name string) *job {
	j.mu.Lock()
	defer j.mu.Unlock()
	one := j.byID[name]
	if one == nil {
		ts.Fatalf("there is no %s", name)
	}
	return one
}

func (j *jobs) said(ts *testscript.TestScript, name string) string {
	return "\n" + name + " said:\n" + ts.ReadFile(name+".out") + ts.ReadFile(name+".err")
}

func (j *jobs) until(ts *testscript.TestScript, name, text string) {
	one := j.get(ts, name)
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) { // the output of another process
		over := false
		select {
		case err := <-one.ended:
			one.ended <- err
			over = true
		default:
		}
		if strings.Contains(ts.ReadFile(name+".out"), text) {
			return
		}
		if over || time.Now().After(deadline) {
			ts.Fatalf("%q does not come (ended: %v)%s", text, over, j.said(ts, name))
		}
	}
}

func (j *jobs) end(ts *testscript.TestScript, name, want string) {
	one := j.get(ts, name)
	select {
	case err := <-one.ended:
		one.ended <- err
		if got := strconv.Itoa(status(err)); got != want && !(want == "killed" && got == "-1") {
			ts.Fatalf("%s: exit status %s, want %s%s", name, got, want, j.said(ts, name))
		}
	case <-time.After(patience):
		ts.Fatalf("%s does not end%s", name, j.said(ts, name))
	}
}

func (j *jobs) killAll() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, one := range j.byID {
		_ = one.cmd.Process.Kill()
		<-one.ended
	}
}
