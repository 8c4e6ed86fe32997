package daemon_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
)

// home is a running daemon with one account, whose files are accepted into a folder.
type home struct {
	*daemon.Daemon
	dir    string
	events chan *jingledv1.Event
	jid    string

	mu  sync.Mutex
	all []*jingledv1.Event // since the beginning
}

// atHome runs a daemon until the test ends and waits until its account is online.
func atHome(t *testing.T, who, server string, roots *x509.CertPool, tune func(*daemon.Config)) *home {
	t.Helper()
	h := &home{dir: t.TempDir(), events: make(chan *jingledv1.Event, 1000), jid: who}
	cfg := daemon.Config{Loopback: true, Downloads: h.dir, ReachTimeout: 3 * time.Second, Accounts: []daemon.Account{{
		JID: jid.JID(who), Password: func() (string, error) { return "pw", nil }, Connect: server, RootCAs: roots, FailFast: true}}}
	if tune != nil {
		tune(&cfg)
	}
	var err error
	if h.Daemon, err = daemon.New(cfg); err != nil {
		t.Fatal(err)
	}
	sub, err := h.Subscribe(0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended, read := make(chan error, 1), make(chan struct{})
	go func() { ended <- h.Run(ctx) }()
	go func() {
		defer close(read)
		for {
			e, err := sub.Next(ctx)
			if err != nil {
				return
			}
			if e.GetTransferOffered() != nil {
				if _, err := h.AcceptFile(ctx, &jingledv1.AcceptFileRequest{Sid: e.GetSid()}); err != nil {
					t.Errorf("accept: %v", err)
				}
			}
			h.mu.Lock()
			h.all = append(h.all, e)
			h.mu.Unlock()
			h.events <- e
		}
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		<-read
		sub.Close()
	})
	h.until(t, func(e *jingledv1.Event) bool {
		return e.GetAccountChanged().GetState() == jingledv1.AccountState_ACCOUNT_STATE_ONLINE
	})
	return h
}

// until waits for an event.
func (h *home) until(t *testing.T, want func(*jingledv1.Event) bool) *jingledv1.Event {
	t.Helper()
	limit := time.After(40 * time.Second)
	for {
		select {
		case e := <-h.events:
			if want(e) {
				return e
			}
			if f := e.GetTransferFailed(); f != nil {
				t.Fatalf("%s: %v", h.jid, f)
			}
		case <-limit:
			t.Fatalf("%s: nothing happens", h.jid)
		}
	}
}

// since waits for an event that may have come at any time since the beginning, and returns all of that sid.
func (h *home) since(t *testing.T, what, sid string, want func(*jingledv1.Event) bool) (all []*jingledv1.Event) {
	t.Helper()
	for end := time.Now().Add(40 * time.Second); ; time.Sleep(5 * time.Millisecond) { // the events of a daemon that runs
		all = all[:0]
		found := false
		h.mu.Lock()
		for _, e := range h.all {
			if e.GetSid() == sid {
				all = append(all, e)
				found = found || want(e)
			}
		}
		h.mu.Unlock()
		if found {
			return all
		}
		if time.Now().After(end) {
			t.Fatalf("%s waits for %s in vain; there are %v", h.jid, what, all)
		}
	}
}

func done(e *jingledv1.Event) bool { return e.GetTransferDone() != nil }

// send sends data from one to the other and checks what arrives. It returns the road.
func send(t *testing.T, from, to *home, peer string, via jingledv1.Via, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "note.bin")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := from.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: peer, Path: path, Via: via}); err != nil {
		t.Fatal(err)
	}
	got := to.until(t, done).GetTransferDone()
	sent := from.until(t, done).GetTransferDone()
	b, err := os.ReadFile(got.GetPath())
	if err != nil || !bytes.Equal(b, data) || filepath.Dir(got.GetPath()) != to.dir {
		t.Errorf("%d bytes in %s, %v", len(b), got.GetPath(), err)
	}
	if got.GetTransport() != sent.GetTransport() {
		t.Errorf("it came by %s, but was sent by %s", got.GetTransport(), sent.GetTransport())
	}
	return got.GetTransport()
}

func TestRoads(t *testing.T) {
	srv := testkit.Embedded(t, xmppserver.Config{Accounts: map[string]string{"romeo": "pw", "juliet": "pw"}})
	if err := srv.Befriend("romeo", "juliet"); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(srv.CA())
	romeo := atHome(t, "romeo@"+srv.Domain(), srv.Addr(), roots, nil)
	juliet := atHome(t, "juliet@"+srv.Domain(), srv.Addr(), roots, nil)
	data := bytes.Repeat([]byte("wherefore "), 20_000)
	for via, want := range map[jingledv1.Via]string{
		jingledv1.Via_VIA_UNSPECIFIED: "s5b", // the fastest of all
		jingledv1.Via_VIA_S5B:         "s5b",
		jingledv1.Via_VIA_IBB:         "ibb",
		jingledv1.Via_VIA_DATACHANNEL: "datachannel",
		jingledv1.Via_VIA_SI:          "si",
	} {
		t.Run(fmt.Sprint(via), func(t *testing.T) {
			if road := send(t, romeo, juliet, juliet.jid, via, data); road != want {
				t.Errorf("it went by %s", road)
			}
		})
	}
	_, err := romeo.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: juliet.jid, Path: os.Args[0], Via: jingledv1.Via_VIA_HTTP})
	if err == nil || !strings.Contains(err.Error(), "stores no files") {
		t.Errorf("a server without uploads: %v", err)
	}
}

// TestRatesAreLimited sends what takes a while by the limit of either side.
func TestRatesAreLimited(t *testing.T) {
	srv := testkit.Embedded(t, xmppserver.Config{Accounts: map[string]string{"romeo": "pw", "juliet": "pw"}})
	if err := srv.Befriend("romeo", "juliet"); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(srv.CA())
	romeo := atHome(t, "romeo@"+srv.Domain(), srv.Addr(), roots, func(c *daemon.Config) { c.UploadLimit = 400_000 })
	juliet := atHome(t, "juliet@"+srv.Domain(), srv.Addr(), roots, func(c *daemon.Config) { c.DownloadLimit = 300_000 })
	for _, c := range []struct {
		from, to *home
		least    time.Duration // without the burst
	}{{romeo, juliet, 700 * time.Millisecond}, {juliet, romeo, 0}} {
		began := time.Now()
		send(t, c.from, c.to, c.to.jid, jingledv1.Via_VIA_S5B, make([]byte, 300_000))
		if took := time.Since(began); took < c.least {
			t.Errorf("300 kB from %s took %v", c.from.jid, took)
		}
	}
}

// TestWeb goes by the web server of the XMPP server to somebody who is not there yet.
func TestWeb(t *testing.T) {
	for _, kind := range testkit.Kinds(t) {
		t.Run(string(kind), func(t *testing.T) { byWeb(t, testkit.Uploading(t, kind, 10_000_000), nil, nil) })
	}
}

// byWeb has romeo and juliet as the functions configure them.
func byWeb(t *testing.T, srv *testkit.Server, romeo, juliet func(*daemon.Config)) {
	for _, u := range []string{"romeo", "juliet"} {
		srv.AddUser(t, u, "pw")
	}
	srv.Befriend(t, "romeo", "juliet")
	to := "juliet@" + srv.Domain
	data := bytes.Repeat([]byte("later "), 10_000)
	path := filepath.Join(t.TempDir(), "note.bin")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}

	strict := atHome(t, "romeo@"+srv.Domain, srv.Addr, srv.Pool(), romeo)
	// Not by itself: the user has not allowed it.
	if _, err := strict.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: to, Path: path}); err == nil {
		t.Error("a file went to the server without being allowed to")
	}
	// Asked for by name.
	if _, err := strict.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: to, Path: path, Via: jingledv1.Via_VIA_HTTP}); err != nil {
		t.Fatal(err)
	}
	if d := strict.until(t, done).GetTransferDone(); d.GetTransport() != "http" || d.GetVerified() {
		t.Errorf("%v", d)
	}
	// ejabberd stores a message in its own time: who logs in meanwhile gets it with the next login.
	came := false
	for try := range 4 {
		if !came {
			t.Run(fmt.Sprintf("login %d", try+1), func(t *testing.T) { came = fetched(t, atHome(t, to, srv.Addr, srv.Pool(), juliet), data) })
		}
	}
	if !came {
		t.Error("the file did not come")
	}
}

// fetched waits some time for a file by the web, and looks at it.
func fetched(t *testing.T, juliet *home, data []byte) bool {
	for limit := time.After(10 * time.Second); ; {
		select {
		case e := <-juliet.events:
			if !done(e) {
				continue
			}
			got := e.GetTransferDone()
			if b, err := os.ReadFile(got.GetPath()); err != nil || !bytes.Equal(b, data) || !got.GetVerified() || got.GetTransport() != "http" {
				t.Errorf("%d bytes, %v: %v", len(b), err, got)
			}
			return true
		case <-limit:
			return false
		}
	}
}

// TestWebByProxy uploads and fetches a file from a network that only an HTTP proxy leads out of. What a stranger names is looked
// up before the proxy is asked for it.
func TestWebByProxy(t *testing.T) {
	srv := testkit.Uploading(t, testkit.Chosen(t), 10_000_000)
	route := func(hostPort string) (string, bool) {
		host, port, err := net.SplitHostPort(hostPort)
		return net.JoinHostPort("127.0.0.1", port), err == nil && (host == "localhost" || host == "127.0.0.1")
	}
	// Each has a proxy of its own.
	out, in := testkit.NewWebProxy(t, route), testkit.NewWebProxy(t, route)
	by := func(p *testkit.WebProxy) func(*daemon.Config) {
		return func(c *daemon.Config) { c.Accounts[0].Proxy = p.URL }
	}
	byWeb(t, srv, by(out), by(in))
	site := func(host string) func(string) bool {
		return func(asked string) bool { return asked != srv.Addr && strings.HasPrefix(asked, host+":") }
	}
	if !slices.ContainsFunc(out.Asked(), site("localhost")) {
		t.Errorf("the upload asked for %v", out.Asked())
	}
	if !slices.ContainsFunc(in.Asked(), site("127.0.0.1")) || slices.ContainsFunc(in.Asked(), site("localhost")) {
		t.Errorf("fetching asked for %v", in.Asked())
	}
}

// TestWebAllowed goes by the server because nobody is there, as the configuration allows.
func TestWebAllowed(t *testing.T) {
	srv := testkit.Uploading(t, testkit.Chosen(t), 10_000_000)
	for _, u := range []string{"romeo", "juliet"} {
		srv.AddUser(t, u, "pw")
	}
	srv.Befriend(t, "romeo", "juliet")
	romeo := atHome(t, "romeo@"+srv.Domain, srv.Addr, srv.Pool(), func(c *daemon.Config) { c.Upload = true })
	path := filepath.Join(t.TempDir(), "note.bin")
	if err := os.WriteFile(path, []byte("later"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := romeo.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: "juliet@" + srv.Domain, Path: path}); err != nil {
		t.Fatal(err)
	}
	if d := romeo.until(t, done).GetTransferDone(); d.GetTransport() != "http" {
		t.Errorf("%v", d)
	}
}
