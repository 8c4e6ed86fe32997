package testkit

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// ofTest lets a server end with a test, and adds what it printed to the output of a failed one.
func ofTest(t testing.TB, s *Server, name string) *Server {
	t.Cleanup(func() {
		s.stop()
		logOnFailure(t, s, name)
	})
	return s
}

func logOnFailure(t testing.TB, s *Server, name string) {
	if t.Failed() {
		t.Logf("%s printed:\n%s", name, tail(s.log()))
	}
}

// Each runs a test once with each of [Kinds], all tests of a package with the same servers. The accounts that a
// test makes are its own, whatever it calls them, and so are its rooms ([Server.Room]), but it must not stop or restart the
// server. The package's TestMain ends them, see [Main].
func Each(t *testing.T, run func(t *testing.T, s *Server)) {
	t.Helper()
	for _, kind := range Kinds(t) {
		t.Run(string(kind), func(t *testing.T) { run(t, SharedServer(t, kind)) })
	}
}

// EachWith is [Each] with servers of the test's own.
func EachWith(t *testing.T, o Options, run func(t *testing.T, s *Server)) {
	t.Helper()
	for _, kind := range Kinds(t) {
		t.Run(string(kind), func(t *testing.T) { run(t, Start(t, kind, o)) })
	}
}

// shared are the servers of this process.
var shared struct {
	mu   sync.Mutex
	all  map[Kind]*Server
	dirs []string
}

var views atomic.Int64

// SharedServer returns the server of a kind that all tests of the package use, see [Each].
func SharedServer(t testing.TB, kind Kind) *Server {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	s := shared.all[kind]
	if s == nil {
		dir, err := os.MkdirTemp("", "shared-"+string(kind))
		if err != nil {
			t.Fatal(err)
		}
		shared.dirs = append(shared.dirs, dir)
		if kind == KindEjabberd {
			s = ejabberdIn(t, dir, EjabberdConfig{})
		} else {
			s = prosodyIn(t, dir, ProsodyConfig{})
		}
		if shared.all == nil {
			shared.all = make(map[Kind]*Server)
		}
		shared.all[kind] = s
	}
	t.Cleanup(func() { logOnFailure(t, s, string(kind)) })
	return s.view()
}

// view is the server for one test: names of accounts get a suffix that no other test has.
func (s *Server) view() *Server {
	v := *s
	suffix := fmt.Sprintf("-%d", views.Add(1))
	v.addUser = func(t testing.TB, user, password string) { s.addUser(t, user+suffix, password) }
	v.befriend = func(t testing.TB, a, b string) { s.befriend(t, a+suffix, b+suffix) }
	v.restart = func(t testing.TB, _ func(*process)) { t.Fatal("this server is shared and cannot be restarted") }
	v.stop = func() { panic("testkit: a shared server cannot be stopped") }
	v.suffix = suffix
	return &v
}

// Main is what TestMain runs in place of m where tests use [Each] or [SharedServer]: it ends their servers.
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(testkit.Main(m)) }
func Main(m *testing.M) interface{ Run() int } { return sharing{m} }

type sharing struct{ m *testing.M }

func (s sharing) Run() int {
	code := s.m.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	for _, server := range shared.all {
		server.stop()
	}
	for _, dir := range shared.dirs {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, strings.TrimSpace(err.Error()))
		}
	}
	return code
}
