package chromium

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/internal/interop/ours"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

// content is what the page sends, too.
func content(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i ^ i>>8)
	}
	return b
}

// TestFiles sends files to stanza and takes files from it, over data channels in the form of XEP-0343.
func TestFiles(t *testing.T) {
	script, ok := alone(t)
	if !ok {
		return
	}
	srv := testkit.Start(t, testkit.Chosen(t), testkit.Options{Address: testkit.NetworkAddress})
	srv.AddUser(t, "juliet", "secret")
	srv.AddUser(t, "romeo", "secret")
	srv.Befriend(t, "juliet", "romeo")
	microphone := filepath.Join(t.TempDir(), "microphone.wav")
	writeTone(t, microphone, theirTone)
	inbox := t.TempDir()
	us := ours.Run(t, daemon.Config{Downloads: inbox, Accounts: []daemon.Account{{JID: jid.JID("juliet@" + srv.Domain),
		Password: func() (string, error) { return "secret", nil }, Connect: srv.Addr, TLS: xmpp.TLSStart, RootCAs: srv.Pool()}}})
	b := open(t, script, microphone)
	them := do[string](b, "login", map[string]any{
		"jid": "romeo@" + srv.Domain + "/browser", "password": "secret", "url": "ws://" + srv.HTTPAddr + "/xmpp-websocket",
	})
	us.Meets(t, jid.JID(them).Bare().String())
	over := func(e *jingledv1.Event) bool { return e.GetTransferDone() != nil || e.GetTransferFailed() != nil }
	for _, size := range []int{1, 16384, 3_000_000} {
		t.Run(fmt.Sprintf("they send %d bytes", size), func(t *testing.T) {
			sid := fmt.Sprintf("file-of-%d", size)
			do[string](b, "sendFile", map[string]any{"to": us.JID(t), "sid": sid, "name": sid + ".bin", "size": size})
			us.Await(t, sid, "the offer", func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
			if _, err := us.D.AcceptFile(t.Context(), &jingledv1.AcceptFileRequest{Sid: sid}); err != nil {
				t.Fatal(err)
			}
			done := us.Await(t, sid, "the end", over).GetTransferDone()
			got, err := os.ReadFile(filepath.Join(inbox, sid+".bin"))
			if err != nil || !bytes.Equal(got, content(size)) || done.GetTransport() != "datachannel" || !done.GetVerified() {
				t.Errorf("%d bytes, %v: %v", len(got), err, done)
			}
			if e := b.await(sid, "terminated"); e.Reason != "success" {
				t.Errorf("terminated: %+v", e)
			}
		})
		t.Run(fmt.Sprintf("we send %d bytes", size), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ours.bin")
			if err := os.WriteFile(path, content(size), 0o600); err != nil {
				t.Fatal(err)
			}
			res, err := us.D.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: them, Path: path})
			if err != nil {
				t.Fatal(err)
			}
			b.await(res.GetSid(), "incoming")
			do[any](b, "acceptFile", map[string]any{"sid": res.GetSid()})
			if done := us.Await(t, res.GetSid(), "the end", over).GetTransferDone(); done.GetTransport() != "datachannel" || !done.GetVerified() {
				t.Errorf("%v", done)
			}
			var hash string
			e := b.await(res.GetSid(), "file")
			if err := json.Unmarshal(e.What, &hash); err != nil || hash != fmt.Sprintf("%x", sha256.Sum256(content(size))) || e.Name != "ours.bin" {
				t.Errorf("%+v, %v", e, err)
			}
		})
	}
}
