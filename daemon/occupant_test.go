package daemon

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmpptest"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/jet/pinned"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
	"github.com/jingled/jingled/xmpp/muc"
)

// TestOccupants has calls and files between people who know each other's nicknames only.
func TestOccupants(t *testing.T) { testkit.Each(t, occupants) }

func occupants(t *testing.T, s *testkit.Server) {
	for _, u := range []string{"alice", "bob", "spy"} {
		s.AddUser(t, u, "secret")
	}
	inbox := t.TempDir()
	alice := guest(t, s, "alice", func(c *Config) { c.StateDir = t.TempDir() })
	t.Cleanup(func() {
		alice.stop()
		if err := alice.Close(); err != nil {
			t.Error(err)
		}
	})
	bob := guest(t, s, "bob", func(c *Config) { c.Downloads = inbox })
	room := s.Room("talk")
	alice.join(&jingledv1.JoinRoomRequest{Room: room, Nick: "A", Create: true,
		Invite: []string{bob.jid.String(), s.Account("spy")}})
	if e := alice.entered(room); e.GetShowsAddresses() {
		t.Errorf("the room: %v", e)
	}
	spy, heard, ask := spyIn(t, s, room)
	bob.until("an invitation", func(e *jingledv1.Event) bool { return e.GetRoomInvited() != nil })
	bob.join(&jingledv1.JoinRoomRequest{Room: room, Nick: "B"})
	bob.entered(room)
	for _, nick := range []string{"B", "S"} {
		alice.until(nick, func(e *jingledv1.Event) bool { return e.GetRoomOccupant().GetNick() == nick })
	}
	bob.until("A", func(e *jingledv1.Event) bool { return e.GetRoomOccupant().GetNick() == "A" })

	sid := bob.call(jid.JID(room + "/A"))
	if in := alice.incoming(); in.GetPeer() != room+"/B" {
		t.Errorf("alice is called by %s", in.GetPeer())
	}
	alice.answer(sid)
	bob.connected(sid)
	alice.connected(sid)
	bob.hangUp(sid, "")
	alice.ended(sid)

	file := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(file, []byte(strings.Repeat("notes ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: room + "/B", Path: file}); err != nil {
		t.Fatal(err)
	}
	offered := bob.await("a file", func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
	if offered.GetPeer() != room+"/A" {
		t.Errorf("bob is offered a file by %s", offered.GetPeer())
	}
	if _, err := bob.AcceptFile(t.Context(), &jingledv1.AcceptFileRequest{Sid: offered.GetSid()}); err != nil {
		t.Fatal(err)
	}
	bob.await("the file", func(e *jingledv1.Event) bool { return e.GetTransferDone() != nil })

	// The spy is called and gets a file, and sees no address of alice.
	sid = alice.call(jid.JID(room + "/S"))
	spy("session-initiate")
	alice.hangUp(sid, "")
	spy("session-terminate")
	if _, err := alice.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: room + "/S", Path: file, Via: jingledv1.Via_VIA_S5B}); err != nil {
		t.Fatal(err)
	}
	spy("session-initiate")
	if _, err := alice.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: room + "/S", Path: file, Via: jingledv1.Via_VIA_DATACHANNEL}); err != nil {
		t.Fatal(err)
	}
	spy("session-initiate")
	if ask(jid.JID(room+"/A"), xmltree.New(pinned.NS, "key")) == nil {
		t.Error("the key of alice is shown")
	}
	own := alice.accounts[0].certificate.Fingerprint("actpass").Value
	for _, st := range heard() {
		if strings.Contains(st, own) {
			t.Errorf("the certificate of alice is shown: %s", st)
		}
		if strings.Contains(st, alice.jid.String()) && !strings.Contains(st, muc.NSDirect) {
			t.Errorf("the address of alice is shown: %s", st)
		}
	}
}

// spyIn has somebody in a room who takes calls and files to look at them. spy waits for the next action; heard returns all
// stanzas since the room was entered; ask asks somebody something, and returns the error.
func spyIn(t *testing.T, s *testkit.Server, room string) (spy func(action string), heard func() []string, ask func(jid.JID, *xmltree.Element) error) {
	t.Helper()
	var mu sync.Mutex
	var stanzas []string
	actions := make(chan string, 100)
	cfg := xmpptest.At(s, "spy", "secret")
	cfg.Features = []string{jingle.NS, "urn:xmpp:jingle:apps:rtp:1", "urn:xmpp:jingle:apps:rtp:audio", "urn:xmpp:jingle:transports:ice-udp:1",
		"urn:xmpp:jingle:apps:dtls:0", "urn:xmpp:jingle:apps:file-transfer:5", "urn:xmpp:jingle:transports:s5b:1", ice.NSDataChannel}
	cfg.Trace = func(outgoing bool, stanza []byte) {
		mu.Lock()
		defer mu.Unlock()
		if !outgoing {
			stanzas = append(stanzas, string(stanza))
		}
	}
	client := xmpptest.Client(t, cfg)
	entered := make(chan struct{})
	rooms := muc.NewDriver(client, func(_ jid.JID, e muc.Effect) {
		if _, ok := e.(muc.Entered); ok {
			close(entered)
		}
	})
	client.HandlePresence(func(p *xmpp.PresenceStanza) { rooms.Receive(p.Element) })
	client.HandleIQ(jingle.NS, "jingle", func(iq *xmpp.IQ) {
		iq.Reply(nil)
		actions <- iq.Payload.Attr("action")
	})
	t.Cleanup(rooms.Disconnected)
	xmpptest.Run(t, client)
	mu.Lock()
	stanzas = nil
	mu.Unlock()
	if err := rooms.Join(muc.Config{Room: jid.JID(room), Nick: "S", Extra: client.PresenceExtra()}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-entered:
	case <-time.After(20 * time.Second):
		t.Fatal("the spy does not come in")
	}
	return func(action string) {
			t.Helper()
			for deadline := time.After(20 * time.Second); ; {
				select {
				case a := <-actions:
					if a == action {
						return
					}
				case <-deadline:
					t.Fatalf("the spy gets no %s", action)
				}
			}
		}, func() []string {
			mu.Lock()
			defer mu.Unlock()
			return stanzas
		}, func(to jid.JID, what *xmltree.Element) error {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := client.Query(ctx, to, "get", what)
			return err
		}
}
