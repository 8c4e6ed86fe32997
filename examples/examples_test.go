// Package examples_test runs the examples as their users do, against the project's own server and a daemon.
package examples_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/apiserver"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

// patience is for everything that is waited for.
const patience = 40 * time.Second

// side is a daemon and its events.
type side struct {
	*daemon.Daemon
	events *daemon.Subscription
	socket string
}

// run starts a daemon that serves its API on a socket.
func run(t *testing.T, cfg daemon.Config) *side {
	t.Helper()
	cfg.Loopback = true
	d, err := daemon.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "je") // names of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	s := &side{Daemon: d, socket: filepath.Join(dir, "s")}
	l, err := apiserver.Listen(s.socket)
	if err != nil {
		t.Fatal(err)
	}
	if s.events, err = d.Subscribe(0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran, served := make(chan error, 1), make(chan error, 1)
	go func() { ran <- d.Run(ctx) }()
	go func() { served <- apiserver.Serve(ctx, l, d, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ran, <-served, d.Close(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return s
}

// await reads events until one is as wanted.
func (s *side) await(t *testing.T, what string, want func(*jingledv1.Event) bool) *jingledv1.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var seen []string
	for {
		e, err := s.events.Next(ctx)
		if err != nil {
			t.Fatalf("no %s: %v; before:\n%s", what, err, strings.Join(seen, "\n"))
		}
		if want(e) {
			return e
		}
		if e.GetTransferFailed() != nil || e.GetCallEnded() != nil && what != "end" {
			t.Fatalf("no %s: %v", what, e)
		}
		seen = append(seen, e.String())
	}
}

// host is what a test of a tunnel needs: alice, whose stream the example owns, and bob with a daemon of his own.
type host struct {
	srv        *xmppserver.Server
	alice, bob *side
	folder     string // where alice takes files
	ca         string
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{folder: t.TempDir(), ca: filepath.Join(t.TempDir(), "ca.pem")}
	h.srv = testkit.Embedded(t, xmppserver.Config{NoChannelBinding: true, // slixmpp takes a kind that TLS 1.3 has not
		Accounts: map[string]string{"alice": "secret", "bob": "secret"}})
	if err := h.srv.Befriend("alice", "bob"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.ca, h.srv.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	roots, err := xmpp.ParseCA(h.srv.CA())
	if err != nil {
		t.Fatal(err)
	}
	h.bob = run(t, daemon.Config{Accounts: []daemon.Account{{JID: jid.JID("bob@" + h.srv.Domain()), Connect: h.srv.Addr(), RootCAs: roots,
		Password: func() (string, error) { return "secret", nil }}}})
	h.alice = run(t, daemon.Config{})
	h.bob.await(t, "login", online)
	return h
}

func online(e *jingledv1.Event) bool {
	return e.GetAccountChanged().GetState() == jingledv1.AccountState_ACCOUNT_STATE_ONLINE
}

// start runs the example: it gets the password on standard input and ends with the test.
func (h *host) start(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Args = append(cmd.Args, "alice@"+h.srv.Domain(), h.folder, h.srv.Addr(), h.ca)
	cmd.Env = append(os.Environ(), "JINGLED_SOCKET="+h.alice.socket)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(name), out.String())
		}
	})
	if _, err := io.WriteString(stdin, "secret\n"); err != nil {
		t.Fatal(err)
	}
	h.alice.await(t, "tunnel", online)
}

// check makes calls and sends files both ways.
func (h *host) check(t *testing.T) {
	t.Helper()
	alice, bob := "alice@"+h.srv.Domain(), "bob@"+h.srv.Domain()
	connected := func(e *jingledv1.Event) bool { return e.GetCallConnected() != nil }
	ended := func(e *jingledv1.Event) bool { return e.GetCallEnded() != nil }
	hangUp := func(from *side, sid string) {
		t.Helper()
		if _, err := from.EndCall(t.Context(), &jingledv1.EndCallRequest{Sid: sid}); err != nil {
			t.Fatal(err)
		}
		for _, s := range []*side{h.alice, h.bob} {
			if e := s.await(t, "end", ended).GetCallEnded(); e.GetReason() != "success" || e.GetStats().GetPacketsReceived() == 0 {
				t.Errorf("the call ended with %v", e)
			}
		}
	}
	// The first file waits until alice shows herself, so that all that follows finds her.
	content := bytes.Repeat([]byte("through the tunnel "), 10_000)
	path := filepath.Join(t.TempDir(), "gift.bin")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	done := func(e *jingledv1.Event) bool { return e.GetTransferDone() != nil }
	for n, via := range []jingledv1.Via{jingledv1.Via_VIA_S5B, jingledv1.Via_VIA_IBB} {
		t.Logf("bob sends alice a file by %v, whose host takes it", via)
		if _, err := h.bob.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: alice, Path: path, Via: via}); err != nil {
			t.Fatal(err)
		}
		h.bob.await(t, "file", done)
		e := h.alice.await(t, "file", done).GetTransferDone()
		if got, err := os.ReadFile(e.GetPath()); err != nil || !bytes.Equal(got, content) || filepath.Dir(e.GetPath()) != h.folder || !e.GetVerified() {
			t.Errorf("file %d: %v, %v", n, e, err)
		}
		t.Logf("alice sends bob a file by %v", via)
		if _, err := h.alice.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: bob, Path: path, Via: via}); err != nil {
			t.Fatal(err)
		}
		offer := h.bob.await(t, "offer", func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
		to := t.TempDir()
		if _, err := h.bob.AcceptFile(t.Context(), &jingledv1.AcceptFileRequest{Sid: offer.GetSid(), Dir: to}); err != nil {
			t.Fatal(err)
		}
		h.alice.await(t, "file", done)
		h.bob.await(t, "file", done)
		if got, err := os.ReadFile(filepath.Join(to, "gift.bin")); err != nil || !bytes.Equal(got, content) {
			t.Errorf("bob's file: %v", err)
		}
	}

	t.Log("bob calls alice, whose host answers")
	res, err := h.bob.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: alice, Media: &jingledv1.Media{AudioIn: "tone:440"}})
	if err != nil {
		t.Fatal(err)
	}
	h.bob.await(t, "call", connected)
	h.alice.await(t, "call", connected)
	hangUp(h.bob, res.GetSid())

	t.Log("alice calls bob")
	res, err = h.alice.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: bob, Media: &jingledv1.Media{AudioIn: "tone:880"}})
	if err != nil {
		t.Fatal(err)
	}
	in := h.bob.await(t, "incoming call", func(e *jingledv1.Event) bool { return e.GetCallIncoming() != nil })
	if _, err := h.bob.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{Sid: in.GetSid(), Media: &jingledv1.Media{AudioIn: "tone:440"}}); err != nil {
		t.Fatal(err)
	}
	h.alice.await(t, "call", connected)
	h.bob.await(t, "call", connected)
	hangUp(h.alice, res.GetSid())
}

func TestTunnelSlixmpp(t *testing.T) {
	python := testkit.Python(t, "slixmpp", "python3-slixmpp")
	h := newHost(t)
	h.start(t, python, "tunnel-slixmpp/tunnel.py")
	h.check(t)
}

func TestTunnelGo(t *testing.T) {
	program := filepath.Join(t.TempDir(), "tunnel-go")
	if out, err := exec.Command("go", "build", "-o", program, "./tunnel-go").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	h := newHost(t)
	h.start(t, program)
	h.check(t)
}
