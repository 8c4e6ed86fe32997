package daemon_test

import (
	"os"
	"path/filepath"
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// TestNotStored sends a file in-band to a receiver that gets everything and cannot give it its name. Both protocols have a word
// for that, and nobody tries again.
func TestNotStored(t *testing.T) {
	for name, via := range map[string]jingledv1.Via{"stream initiation": jingledv1.Via_VIA_SI, "Jingle": jingledv1.Via_VIA_IBB} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			inbox := t.TempDir()
			w.change(func(from jid.JID, stanza *xmltree.Element) {
				without(stanza, "streamhost") // what is left is in-band
				if from.Local() != "alice" || stanza.Child(ibb.NSIBB, "data") == nil {
					return
				}
				parts, _ := filepath.Glob(filepath.Join(inbox, "*.part"))
				for _, p := range parts {
					if err := os.Remove(p); err != nil {
						t.Error(err)
					}
				}
			})
			alice, bob := login(t, w.Server, "alice", keeping(t)), login(t, w.Server, "bob", keeping(t))
			path := filepath.Join(t.TempDir(), "noise.bin")
			if err := os.WriteFile(path, noise(100_000), 0o600); err != nil {
				t.Fatal(err)
			}
			res, err := alice.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: bob.jid.String(), Path: path, Via: via})
			if err != nil {
				t.Fatal(err)
			}
			await(t, bob, func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
			if _, err := bob.AcceptFile(t.Context(), &jingledv1.AcceptFileRequest{Sid: res.GetSid(), Dir: inbox}); err != nil {
				t.Fatal(err)
			}
			for _, who := range []*peer{alice, bob} {
				e := await(t, who, func(e *jingledv1.Event) bool { return over(e) || e.GetTransferInterrupted() != nil })
				if f := e.GetTransferFailed(); f.GetReason() != string(jingle.MediaError) || f.GetByPeer() != (who == alice) {
					t.Errorf("%s: %v", who.jid, e)
				}
			}
		})
	}
}
