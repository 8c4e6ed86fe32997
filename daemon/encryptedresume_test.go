package daemon

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/jet"
	"github.com/jingled/jingled/xmltree"
)

// gate is a server that carries the first blocks of a file and no more until it is opened.
type gate struct {
	blocks atomic.Int64
	open   atomic.Bool
	tap    atomic.Pointer[func(*xmltree.Element)] // may change what passes
	read   atomic.Pointer[[]byte]                 // of the last block
}

func (g *gate) server(t *testing.T) *xmppserver.Server {
	return newServerWith(t, func(_ jid.JID, e *xmltree.Element) *xmltree.Element {
		if d := e.Child(ibb.NSIBB, "data"); d != nil {
			if g.blocks.Add(1) > 100 && !g.open.Load() {
				return nil
			}
			b, _ := base64.StdEncoding.DecodeString(d.Text())
			g.read.Store(&b)
		}
		if f := g.tap.Load(); f != nil {
			(*f)(e)
		}
		return e
	})
}

// halfway sends 4 MB in band, end to end encrypted, pauses it behind the first block of its hashes, and lets it go on.
func halfway(t *testing.T, g *gate, then func()) (alice, bob *actor, data []byte) {
	t.Helper()
	srv := g.server(t)
	alice, bob = keeper(t, srv, "alice", t.TempDir()), keeper(t, srv, "bob", t.TempDir())
	data = bytes.Repeat([]byte("0123456789abcdef"), 4<<20/16)
	path := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	req := &jingledv1.SendFileRequest{Peer: bob.jid.String(), Path: path, Via: jingledv1.Via_VIA_IBB}
	if _, err := alice.SendFile(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	sid := bob.await("an offer", func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil }).GetSid()
	if _, err := bob.AcceptFile(t.Context(), &jingledv1.AcceptFileRequest{Sid: sid}); err != nil {
		t.Fatal(err)
	}
	bob.await("some bytes", func(e *jingledv1.Event) bool { return e.GetTransferProgress().GetBytes() > 3<<19 })
	if _, err := bob.PauseTransfer(t.Context(), &jingledv1.PauseTransferRequest{Sid: sid}); err != nil {
		t.Fatal(err)
	}
	if i := bob.await("the pause", func(e *jingledv1.Event) bool { return e.GetTransferInterrupted() != nil }).GetTransferInterrupted(); i.GetBytes() == 0 ||
		i.GetBytes() >= uint64(len(data)) {
		t.Fatalf("%v", i)
	}
	then()
	g.open.Store(true)
	if _, err := bob.ResumeTransfer(t.Context(), &jingledv1.ResumeTransferRequest{Sid: sid}); err != nil {
		t.Fatal(err)
	}
	return alice, bob, data
}

func isEnd(e *jingledv1.Event) bool {
	return e.GetTransferDone() != nil || e.GetTransferFailed() != nil
}

func TestEncryptedFileGoesOn(t *testing.T) {
	g := &gate{}
	_, bob, data := halfway(t, g, func() {})
	started := bob.await("the rest", func(e *jingledv1.Event) bool { return e.GetTransferStarted() != nil }).GetTransferStarted()
	done := bob.await("the end", isEnd).GetTransferDone()
	if started.GetOffset() == 0 || started.GetEncryption() != "end-to-end" || done.GetEncryption() != "end-to-end" || !done.GetVerified() {
		t.Errorf("%v, %v", started, done)
	}
	if b, err := os.ReadFile(done.GetPath()); err != nil || !bytes.Equal(b, data) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if b := g.read.Load(); bytes.Contains(*b, []byte("0123456789abcdef")) {
		t.Error("the server could read it")
	}
}

// TestServerChangesWhatWasInterrupted has a server that gets at what the first session has left, which no tag protects.
func TestServerChangesWhatWasInterrupted(t *testing.T) {
	for name, c := range map[string]struct {
		tap    func(*xmltree.Element)
		reason string
	}{
		"a byte": {func(e *xmltree.Element) {
			if d := e.Child(ibb.NSIBB, "data"); d != nil {
				b, _ := base64.StdEncoding.DecodeString(d.Text())
				b[0] ^= 1
				d.Children = []xmltree.Node{xmltree.Text(base64.StdEncoding.EncodeToString(b))}
			}
		}, ""}, // its block is fetched again
		"the hash": {func(*xmltree.Element) {}, "security-error"},
	} {
		t.Run(name, func(t *testing.T) {
			g := &gate{}
			g.tap.Store(&c.tap)
			strip := func(e *xmltree.Element) {
				j := e.Child(jingle.NS, "jingle")
				if j == nil || j.Child(filetransfer.NS, "checksum") == nil {
					return
				}
				f := j.Child(filetransfer.NS, "checksum").Child(filetransfer.NS, "file")
				kept := f.Children[:0:0]
				for _, n := range f.Children {
					if c, ok := n.(*xmltree.Element); !ok || c.Name.Local != "proof" {
						kept = append(kept, n)
					}
				}
				f.Children = kept
			}
			_, bob, data := halfway(t, g, func() {
				if g.tap.Store(nil); c.reason == "security-error" {
					g.tap.Store(&strip)
				}
			})
			end := bob.await("the end", isEnd)
			if end.GetTransferFailed().GetReason() != c.reason {
				t.Errorf("%v", end)
			}
			if done := end.GetTransferDone(); done != nil {
				if b, err := os.ReadFile(done.GetPath()); err != nil || !bytes.Equal(b, data) {
					t.Errorf("it was taken with %d bytes, %v", len(b), err)
				}
			}
		})
	}
}

// TestServerTakesTheEncryptionAway offers the rest of an encrypted file in the clear, as the peer.
func TestServerTakesTheEncryptionAway(t *testing.T) {
	strip := func(e *xmltree.Element) {
		j := e.Child(jingle.NS, "jingle")
		if j == nil || j.Attr("action") != "session-initiate" {
			return
		}
		c := j.Child(jingle.NS, "content")
		kept := c.Children[:0:0]
		for _, n := range c.Children {
			if s, ok := n.(*xmltree.Element); !ok || !s.Is(jet.NS, "security") {
				kept = append(kept, n)
			}
		}
		c.Children = kept
	}
	g := &gate{}
	alice, bob, _ := halfway(t, g, func() { g.tap.Store(&strip) })
	failed := bob.await("the end", isEnd)
	if _, err := alice.EndTransfer(t.Context(), &jingledv1.EndTransferRequest{Sid: failed.GetSid()}); err != nil {
		t.Error(err)
	}
	if f := failed.GetTransferFailed(); f.GetReason() != "security-error" || !strings.Contains(f.GetText(), "encrypted only") {
		t.Errorf("%v", failed)
	}
}
