package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

func quick(c *Config) { c.RingTimeout, c.ReachTimeout = 400*time.Millisecond, 400*time.Millisecond }

func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.txt")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A stranger finds nobody, until somebody waits for strangers, and only so long.
func TestWelcomeLastsAsLongAsItsSubscription(t *testing.T) {
	srv := newServer(t)
	carol, bob := act(t, srv, "carol", quick), act(t, srv, "bob", nil)
	file := written(t, "hello")
	send := func() (string, error) {
		res, err := carol.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: "bob@example.test", Path: file})
		return res.GetSid(), err
	}
	refused := func(when string) {
		t.Helper()
		if _, err := send(); connect.CodeOf(err) != connect.CodeUnavailable {
			t.Errorf("%s: a file: %v", when, err)
		}
		sid := carol.call("bob@example.test")
		if e := carol.ended(sid); e.GetReason() != "timeout" {
			t.Errorf("%s: a call: %v", when, e)
		}
		// Nor by the full address, if somebody has told it.
		sid = carol.call(bob.accounts[0].client.JID())
		if e := carol.ended(sid); e.GetReason() != "gone" {
			t.Errorf("%s: a call to a device: %v", when, e)
		}
	}
	refused("before")

	w, err := bob.Subscribe(0, &jingledv1.Welcome{Files: true, From: []string{"carol@example.test"}})
	if err != nil {
		t.Fatal(err)
	}
	sid, err := send()
	if err != nil {
		t.Fatal(err)
	}
	offer := bob.await("the offer", func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
	if offer.GetTransferOffered().GetName() != "file.txt" || jid.JID(offer.GetPeer()).Bare() != "carol@example.test" {
		t.Errorf("%v", offer)
	}
	dir := t.TempDir()
	if _, err := bob.AcceptFile(t.Context(), &jingledv1.AcceptFileRequest{Sid: offer.GetSid(), Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if _, err := bob.AcceptFile(t.Context(), &jingledv1.AcceptFileRequest{Sid: offer.GetSid(), Dir: dir}); err == nil {
		t.Error("a file is accepted twice")
	}
	done := carol.await("the file", func(e *jingledv1.Event) bool { return e.GetTransferDone() != nil && e.GetSid() == sid })
	if !done.GetTransferDone().GetVerified() || done.GetTransferDone().GetTransport() != "s5b" {
		t.Errorf("%v", done)
	}
	bob.await("the file", func(e *jingledv1.Event) bool { return e.GetTransferDone() != nil })
	// Files are no calls.
	if got := bob.accounts[0].admits("carol@example.test/x", true); got {
		t.Error("who may send files may call")
	}
	// Others are not named.
	if got := bob.accounts[0].admits("dave@example.test/x", false); got {
		t.Error("who is not named is let in")
	}
	w.Close()
	w.Close()
	if n := len(bob.welcomes); n != 0 {
		t.Errorf("%d welcomes are left", n)
	}
	// Carol is seen to be online now, so she hears of a refusal rather than of nobody.
	sid, err = send()
	if err == nil {
		e := carol.await("the refusal", func(e *jingledv1.Event) bool { return e.GetTransferFailed() != nil && e.GetSid() == sid })
		if e.GetTransferFailed().GetReason() != "gone" {
			t.Errorf("%v", e)
		}
	} else if connect.CodeOf(err) != connect.CodeUnavailable {
		t.Error(err)
	}
	carol.idle()
	bob.idle()
}

func TestWelcomeIsChecked(t *testing.T) {
	d, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Subscribe(0, &jingledv1.Welcome{From: []string{"a@b@c"}}); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Error(err)
	}
	if len(d.hub.subs) != 0 {
		t.Error("a refused subscription is left")
	}
}

// A device that comes back is shown our presence again.
func TestComesBack(t *testing.T) {
	srv := newServer(t)
	carol := act(t, srv, "carol", nil)
	file := written(t, "hello")
	for range 2 {
		bob := act(t, srv, "bob", func(c *Config) { c.Accounts[0].Files.From = Everyone; c.Downloads = t.TempDir() })
		res, err := carol.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: "bob@example.test", Path: file})
		if err != nil {
			t.Fatal(err)
		}
		offer := bob.await("the offer", func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
		if _, err := bob.AcceptFile(t.Context(), &jingledv1.AcceptFileRequest{Sid: offer.GetSid()}); err != nil {
			t.Fatal(err)
		}
		carol.await("the file", func(e *jingledv1.Event) bool { return e.GetTransferDone() != nil && e.GetSid() == res.GetSid() })
		bob.await("the file", func(e *jingledv1.Event) bool { return e.GetTransferDone() != nil })
		bob.stop()
		gone := func() bool { return len(carol.accounts[0].client.Resources("bob@example.test")) == 0 }
		for end := time.Now().Add(20 * time.Second); !gone() && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			continue // no event tells it
		}
	}
}

func TestGreetedIsBounded(t *testing.T) {
	srv := newServer(t)
	a := act(t, srv, "alice", nil).accounts[0]
	for i := range maxGreeted + 50 {
		a.show(jid.JID("bob@example.test/" + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.greeted); n != maxGreeted {
		t.Errorf("%d are remembered", n)
	}
}
