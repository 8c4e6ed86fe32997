package daemon

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// keeper is an actor that is known again.
func keeper(t *testing.T, srv *xmppserver.Server, user, dir string, change ...func(*Config)) *actor {
	t.Helper()
	a := act(t, srv, user, func(c *Config) {
		c.StateDir, c.Downloads = dir, t.TempDir()
		for _, f := range change {
			f(c)
		}
	})
	t.Cleanup(a.leave)
	return a
}

// leave ends a daemon so that another can have its state.
func (a *actor) leave() {
	a.t.Helper()
	if a.quit == nil {
		return
	}
	a.stop()
	if err := a.Close(); err != nil {
		a.t.Error(err)
	}
}

var secretText = bytes.Repeat([]byte("attack at dawn "), 5000)

// file writes what is sent.
func file(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plan.txt")
	if err := os.WriteFile(path, secretText, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// deliver sends a file, which is taken, and returns the end of it at both.
func deliver(t *testing.T, from, to *actor, req *jingledv1.SendFileRequest) (sent, got *jingledv1.TransferDone, offer *jingledv1.TransferOffered) {
	t.Helper()
	req.Peer, req.Path = to.jid.String(), file(t)
	if _, err := from.SendFile(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	e := to.await("an offer", func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
	if _, err := to.AcceptFile(t.Context(), &jingledv1.AcceptFileRequest{Sid: e.GetSid()}); err != nil {
		t.Fatal(err)
	}
	isDone := func(e *jingledv1.Event) bool {
		if f := e.GetTransferFailed(); f != nil {
			t.Fatalf("failed: %v", f)
		}
		return e.GetTransferDone() != nil
	}
	got = to.await("the file", isDone).GetTransferDone()
	sent = from.await("the end", isDone).GetTransferDone()
	if b, err := os.ReadFile(got.GetPath()); err != nil || !bytes.Equal(b, secretText) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	return sent, got, e.GetTransferOffered()
}

// tapped is a server that notes the bytes that it could read.
func tapped(t *testing.T) (*xmppserver.Server, func() []byte) {
	var mu sync.Mutex
	var read []byte
	srv := newServerWith(t, func(_ jid.JID, e *xmltree.Element) *xmltree.Element {
		for c := range e.Elements() {
			if b, err := base64.StdEncoding.DecodeString(c.Text()); c.Is(ibb.NSIBB, "data") && err == nil {
				mu.Lock()
				read = append(read, b...)
				mu.Unlock()
			}
		}
		return e
	})
	return srv, func() []byte {
		mu.Lock()
		defer mu.Unlock()
		return bytes.Clone(read)
	}
}

func TestFilesAreEncrypted(t *testing.T) {
	srv, read := tapped(t)
	aliceState, bobState := t.TempDir(), t.TempDir()
	alice, bob := keeper(t, srv, "alice", aliceState), keeper(t, srv, "bob", bobState)
	for _, via := range []jingledv1.Via{jingledv1.Via_VIA_UNSPECIFIED, jingledv1.Via_VIA_IBB, jingledv1.Via_VIA_DATACHANNEL} {
		sent, got, offer := deliver(t, alice, bob, &jingledv1.SendFileRequest{Via: via, RequireEncryption: true})
		if sent.GetEncryption() != "end-to-end" || got.GetEncryption() != "end-to-end" || !offer.GetEncrypted() || offer.GetFingerprint() == "" {
			t.Errorf("%v: %v, %v, %v", via, sent, got, offer)
		}
	}
	if b := read(); len(b) <= len(secretText) || bytes.Contains(b, []byte("dawn")) {
		t.Errorf("the server has read %d bytes: %.60q", len(b), b)
	}
	if sent, got, offer := deliver(t, alice, bob, &jingledv1.SendFileRequest{Via: jingledv1.Via_VIA_IBB, NoEncryption: true}); sent.GetEncryption() != "none" ||
		got.GetEncryption() != "none" || offer.GetEncrypted() || !bytes.Contains(read(), []byte("dawn")) {
		t.Errorf("in the clear: %v, %v, %v", sent, got, offer)
	}
	past, err := bob.ListHistory(t.Context(), &jingledv1.ListHistoryRequest{})
	if err != nil || len(past.GetEntries()) != 4 || past.GetEntries()[0].GetTransfer().GetEncryption() != "none" ||
		past.GetEntries()[1].GetTransfer().GetEncryption() != "end-to-end" {
		t.Errorf("%v, %v", past, err)
	}

	// Who comes back is known again, in both directions.
	bob.leave()
	bob = keeper(t, srv, "bob", bobState)
	deliver(t, alice, bob, &jingledv1.SendFileRequest{RequireEncryption: true})
	deliver(t, bob, alice, &jingledv1.SendFileRequest{RequireEncryption: true})
	ids, err := alice.ListIdentities(t.Context(), &jingledv1.ListIdentitiesRequest{})
	if err != nil || len(ids.GetIdentities()) != 2 || ids.GetIdentities()[0].GetState() != jingledv1.IdentityState_IDENTITY_STATE_OWN ||
		ids.GetIdentities()[1].GetState() != jingledv1.IdentityState_IDENTITY_STATE_TRUSTED || ids.GetIdentities()[1].GetPeer() != bob.jid.String() {
		t.Errorf("%v, %v", ids, err)
	}
	old := ids.GetIdentities()[1].GetFingerprint()

	// A new device is not trusted, whoever begins.
	bob.leave()
	bob = keeper(t, srv, "bob", t.TempDir())
	_, err = alice.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: bob.jid.String(), Path: file(t)})
	if err == nil || !strings.Contains(err.Error(), "identity that is not trusted") {
		t.Errorf("sent to an identity that is not trusted: %v", err)
	}
	refused := alice.await("the refusal", func(e *jingledv1.Event) bool { return e.GetIdentityRefused() != nil })
	if _, err := bob.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: alice.jid.String(), Path: file(t)}); err != nil {
		t.Fatal(err)
	}
	failed := bob.await("the refusal", func(e *jingledv1.Event) bool { return e.GetTransferFailed() != nil }).GetTransferFailed()
	if failed.GetReason() != "security-error" || !failed.GetByPeer() || !strings.Contains(failed.GetText(), "not trusted") {
		t.Errorf("%v", failed)
	}
	if refused.GetPeer() != bob.jid.String() || refused.GetIdentityRefused().GetFingerprint() == old {
		t.Errorf("%v", refused)
	}
	req := &jingledv1.TrustIdentityRequest{Peer: bob.jid.String(), Fingerprint: refused.GetIdentityRefused().GetFingerprint()}
	if _, err := alice.TrustIdentity(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	deliver(t, alice, bob, &jingledv1.SendFileRequest{RequireEncryption: true})
	deliver(t, bob, alice, &jingledv1.SendFileRequest{RequireEncryption: true})

	// What is forgotten is forgotten on the disk too.
	if _, err := alice.ForgetIdentity(t.Context(), &jingledv1.ForgetIdentityRequest{Peer: bob.jid.String(), Fingerprint: old}); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.ForgetIdentity(t.Context(), &jingledv1.ForgetIdentityRequest{Peer: bob.jid.String(), Fingerprint: old}); err == nil {
		t.Error("forgotten twice")
	}
	alice.leave()
	alice = keeper(t, srv, "alice", aliceState)
	ids, err = alice.ListIdentities(t.Context(), &jingledv1.ListIdentitiesRequest{Peer: bob.jid.String()})
	if err != nil || len(ids.GetIdentities()) != 1 || ids.GetIdentities()[0].GetFingerprint() != req.GetFingerprint() {
		t.Errorf("%v, %v", ids, err)
	}
}

// TestEncryptionRequired is between one who can encrypt and one who cannot.
func TestEncryptionRequired(t *testing.T) {
	srv, _ := tapped(t)
	alice, bob := keeper(t, srv, "alice", t.TempDir()), keeper(t, srv, "bob", "")
	sent, got, _ := deliver(t, alice, bob, &jingledv1.SendFileRequest{RequireEncryption: true})
	if sent.GetTransport() != "datachannel" || sent.GetEncryption() != "dtls" || got.GetEncryption() != "dtls" {
		t.Errorf("%v, %v", sent, got)
	}
	if sent, _, _ = deliver(t, alice, bob, &jingledv1.SendFileRequest{}); sent.GetEncryption() != "none" {
		t.Errorf("%v", sent)
	}
	for _, via := range []jingledv1.Via{jingledv1.Via_VIA_SI, jingledv1.Via_VIA_HTTP} {
		req := &jingledv1.SendFileRequest{Peer: bob.jid.String(), Path: file(t), Via: via, RequireEncryption: true}
		if _, err := alice.SendFile(t.Context(), req); err == nil || !strings.Contains(err.Error(), "nothing is encrypted by this road") {
			t.Errorf("%v: %v", via, err)
		}
	}
	req := &jingledv1.SendFileRequest{Peer: bob.jid.String(), Path: file(t), NoEncryption: true, RequireEncryption: true}
	if _, err := alice.SendFile(t.Context(), req); err == nil {
		t.Error("both required and unwanted")
	}
	// Bob keeps no identity: over a data channel all the same, and otherwise with words.
	if sent, _, _ = deliver(t, bob, alice, &jingledv1.SendFileRequest{RequireEncryption: true}); sent.GetEncryption() != "dtls" {
		t.Errorf("%v", sent)
	}
	req = &jingledv1.SendFileRequest{Peer: alice.jid.String(), Path: file(t), Via: jingledv1.Via_VIA_S5B, RequireEncryption: true}
	if _, err := bob.SendFile(t.Context(), req); err == nil || !strings.Contains(err.Error(), "only a data channel is encrypted by itself") {
		t.Errorf("%v", err)
	}
	alice.leave()
	alice = keeper(t, srv, "alice", t.TempDir(), func(c *Config) { c.RequireEncryption = true })
	for _, via := range []jingledv1.Via{jingledv1.Via_VIA_S5B, jingledv1.Via_VIA_IBB, jingledv1.Via_VIA_SI} {
		if _, err := bob.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: alice.jid.String(), Path: file(t), Via: via}); err != nil {
			t.Fatal(err)
		}
		f := bob.await("the refusal", func(e *jingledv1.Event) bool { return e.GetTransferFailed() != nil }).GetTransferFailed()
		if via != jingledv1.Via_VIA_SI && (f.GetReason() != "security-error" || !strings.Contains(f.GetText(), "only if they are encrypted")) || !f.GetByPeer() {
			t.Errorf("%v: %v", via, f)
		}
	}
	for _, e := range alice.seen {
		if e.GetTransferOffered() != nil {
			t.Errorf("the user was asked: %v", e)
		}
	}
	if _, got, _ := deliver(t, bob, alice, &jingledv1.SendFileRequest{Via: jingledv1.Via_VIA_DATACHANNEL}); got.GetEncryption() != "dtls" {
		t.Errorf("%v", got)
	}
}
