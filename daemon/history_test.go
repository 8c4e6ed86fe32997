package daemon_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

// peer is a daemon with one account that is logged in.
type peer struct {
	*daemon.Daemon
	jid    jid.JID
	events *daemon.Subscription
	stop   func()
	state  string // the folder
}

// friends starts a server where alice and bob know each other.
func friends(t testing.TB) *xmppserver.Server {
	t.Helper()
	srv := testkit.Embedded(t, xmppserver.Config{Accounts: map[string]string{"alice": "secret", "bob": "secret"}})
	if err := srv.Befriend("alice", "bob"); err != nil {
		t.Fatal(err)
	}
	return srv
}

// login starts a daemon for an account. It is stopped at the end of the test, or before with stop.
func login(t testing.TB, srv *xmppserver.Server, user string, change func(*daemon.Config)) *peer {
	t.Helper()
	roots, err := xmpp.ParseCA(srv.CA())
	if err != nil {
		t.Fatal(err)
	}
	bare := jid.JID(user + "@" + srv.Domain())
	cfg := daemon.Config{Loopback: true, Accounts: []daemon.Account{{JID: bare, FailFast: true, Connect: srv.Addr(), RootCAs: roots,
		Password: func() (string, error) { return "secret", nil }}}}
	if change != nil {
		change(&cfg)
	}
	return run(t, cfg)
}

// run is login with a whole configuration.
func run(t testing.TB, cfg daemon.Config) *peer {
	t.Helper()
	d, err := daemon.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	bare := cfg.Accounts[0].JID
	p := &peer{Daemon: d, jid: bare, state: cfg.StateDir}
	if p.events, err = d.Subscribe(0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	stopped := false
	p.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := errors.Join(<-ended, d.Close()); err != nil {
			t.Errorf("%s: %v", bare, err)
		}
	}
	t.Cleanup(p.stop)
	await(t, p, func(e *jingledv1.Event) bool {
		return e.GetAccountChanged().GetState() == jingledv1.AccountState_ACCOUNT_STATE_ONLINE
	})
	return p
}

// await reads events until one is as wanted.
func await(t testing.TB, p *peer, want func(*jingledv1.Event) bool) *jingledv1.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var seen []string
	for {
		e, err := p.events.Next(ctx)
		if err != nil {
			t.Fatalf("%s: %v; events before: %v", p.jid, err, seen)
		}
		if want(e) {
			return e
		}
		seen = append(seen, e.String())
	}
}

// talk lets a call b, who answers; when both are connected a hangs up.
func talk(t testing.TB, a, b *peer) {
	t.Helper()
	res, err := a.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: b.jid.String(), Media: &jingledv1.Media{AudioIn: "tone:440"}})
	if err != nil {
		t.Fatal(err)
	}
	in := await(t, b, func(e *jingledv1.Event) bool { return e.GetCallIncoming() != nil })
	if _, err := b.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{Sid: in.GetSid(), Media: &jingledv1.Media{AudioIn: "tone:440"}}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*peer{a, b} {
		await(t, p, func(e *jingledv1.Event) bool { return e.GetCallConnected() != nil })
	}
	if _, err := a.EndCall(t.Context(), &jingledv1.EndCallRequest{Sid: res.GetSid()}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*peer{a, b} {
		await(t, p, func(e *jingledv1.Event) bool { return e.GetCallEnded() != nil })
	}
}

// give sends a file from a to b and compares what has come.
func give(t testing.TB, a, b *peer, size int, via jingledv1.Via) {
	t.Helper()
	dir, content := t.TempDir(), bytes.Repeat([]byte("jingle "), size/7+1)[:size]
	path := filepath.Join(dir, "gift.bin")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: b.jid.String(), Path: path, Via: via}); err != nil {
		t.Fatal(err)
	}
	in := await(t, b, func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
	to := t.TempDir()
	if _, err := b.AcceptFile(t.Context(), &jingledv1.AcceptFileRequest{Sid: in.GetSid(), Dir: to}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*peer{a, b} {
		e := await(t, p, func(e *jingledv1.Event) bool { return e.GetTransferDone() != nil || e.GetTransferFailed() != nil })
		if f := e.GetTransferFailed(); f != nil {
			t.Fatalf("%s: %v", p.jid, f)
		}
	}
	if got, err := os.ReadFile(filepath.Join(to, "gift.bin")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the file that came has %d bytes, %v", len(got), err)
	}
}

func TestHistory(t *testing.T) {
	srv := friends(t)
	dir := t.TempDir()
	keep := func(c *daemon.Config) { c.StateDir = dir }
	alice, bob := login(t, srv, "alice", keep), login(t, srv, "bob", nil)
	talk(t, alice, bob)
	give(t, bob, alice, 10_000, jingledv1.Via_VIA_UNSPECIFIED)
	// A call that nobody takes.
	res, err := alice.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: bob.jid.String()})
	if err != nil {
		t.Fatal(err)
	}
	in := await(t, bob, func(e *jingledv1.Event) bool { return e.GetCallIncoming() != nil })
	if _, err := bob.EndCall(t.Context(), &jingledv1.EndCallRequest{Sid: in.GetSid()}); err != nil {
		t.Fatal(err)
	}
	await(t, alice, func(e *jingledv1.Event) bool { return e.GetCallEnded() != nil })

	check := func(d *daemon.Daemon) {
		t.Helper()
		got, err := d.ListHistory(t.Context(), &jingledv1.ListHistoryRequest{Peer: bob.jid.String()})
		if err != nil || len(got.GetEntries()) != 3 {
			t.Fatalf("%v, %v", got, err)
		}
		missed, file, call := got.GetEntries()[0].GetCall(), got.GetEntries()[1].GetTransfer(), got.GetEntries()[2].GetCall()
		if missed.GetSid() != res.GetSid() || missed.GetConnected() || missed.GetReason() == "success" || !missed.GetByPeer() {
			t.Errorf("the call that was declined: %v", missed)
		}
		if !file.GetIncoming() || !file.GetComplete() || !file.GetVerified() || file.GetName() != "gift.bin" || file.GetBytes() != 10_000 ||
			file.GetAccount() != alice.jid.String() || file.GetHash() == "" || filepath.Base(file.GetPath()) != "gift.bin" {
			t.Errorf("the file: %v", file)
		}
		if !call.GetConnected() || call.GetIncoming() || call.GetReason() != "success" || call.GetPacketsReceived() == 0 ||
			call.GetEnded().AsTime().Before(call.GetBegan().AsTime()) {
			t.Errorf("the call: %v", call)
		}
		page, err := d.ListHistory(t.Context(), &jingledv1.ListHistoryRequest{Before: file.GetEnded(), Limit: 1})
		if err != nil || len(page.GetEntries()) != 1 || page.GetEntries()[0].GetCall().GetSid() != call.GetSid() {
			t.Errorf("the page before the file: %v, %v", page, err)
		}
	}
	check(alice.Daemon)
	alice.stop()
	again := login(t, srv, "alice", keep)
	check(again.Daemon)
	if _, err := bob.ListHistory(t.Context(), &jingledv1.ListHistoryRequest{}); err == nil {
		t.Error("bob keeps no history and lists one")
	}
}
