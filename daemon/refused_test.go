package daemon

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

// TestRefusedBeforeItRings: what cannot work is refused before the other side hears of it.
func TestRefusedBeforeItRings(t *testing.T) {
	srv := newServer(t)
	alice, bob := act(t, srv, "alice", nil), act(t, srv, "bob", nil)
	if err := srv.Befriend("alice", "bob"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	folder, noise := filepath.Join(dir, "folder.wav"), filepath.Join(dir, "noise.h264")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]string{noise: "no picture", filepath.Join(dir, "empty.h264"): ""} {
		if err := os.WriteFile(name, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for what, m := range map[string]*jingledv1.Media{
		"no port":                 {Video: true, VideoIn: "rtp:here"},
		"port 0":                  {Video: true, VideoIn: "rtp:0"},
		"no such codec":           {Video: true, VideoIn: "rtp:5000/MPEG"},
		"too large a port":        {Video: true, RecordVideo: "rtp:70000"},
		"a host by name":          {Video: true, RecordVideo: "rtp:localhost:5000"},
		"no H264":                 {Video: true, VideoIn: noise},
		"an empty file":           {Video: true, VideoIn: filepath.Join(dir, "empty.h264")},
		"a folder that is none":   {Record: filepath.Join(dir, "none", "a.wav")},
		"over a folder":           {Record: folder},
		"a video to such a place": {Video: true, RecordVideo: filepath.Join(dir, "none", "a.ivf")},
	} {
		if _, err := alice.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: bob.jid.String(), Media: m}); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", what, err)
		}
	}
	own := alice.accounts[0].client.JID().String()
	for _, peer := range []string{alice.jid.String(), own} {
		if _, err := alice.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: peer}); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("a call to %s: %v", peer, err)
		}
	}
	file := &jingledv1.SendFileRequest{Path: noise, Peer: own}
	if _, err := alice.SendFile(t.Context(), file); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("a file to this device: %v", err)
	}
	file.Peer = alice.jid.String()
	if _, err := alice.SendFile(t.Context(), file); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("a file to our other devices, of which there is none: %v", err)
	}
	bob.idle()
}

// TestToOurOtherDevice: a file to the account itself goes to another device of it.
func TestToOurOtherDevice(t *testing.T) {
	srv := newServer(t)
	desk, phone := act(t, srv, "alice", nil), act(t, srv, "alice", nil)
	path := filepath.Join(t.TempDir(), "note.txt")
	if err := os.WriteFile(path, []byte("remember"), 0o600); err != nil {
		t.Fatal(err)
	}
	res, err := desk.SendFile(t.Context(), &jingledv1.SendFileRequest{Path: path, Peer: desk.jid.String()})
	if err != nil {
		t.Fatal(err)
	}
	offer := phone.await("the offer", func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
	inbox := t.TempDir()
	if _, err := phone.AcceptFile(t.Context(), &jingledv1.AcceptFileRequest{Sid: offer.GetSid(), Dir: inbox}); err != nil {
		t.Fatal(err)
	}
	desk.await("the end", func(e *jingledv1.Event) bool { return e.GetSid() == res.GetSid() && e.GetTransferDone() != nil })
	if b, err := os.ReadFile(filepath.Join(inbox, "note.txt")); err != nil || string(b) != "remember" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestOurTroubleIsOurs: what has kept a call from being here is told to our user in full, and to the peer without the names of
// this machine.
func TestOurTroubleIsOurs(t *testing.T) {
	srv := newServer(t)
	alice, bob := act(t, srv, "alice", nil), act(t, srv, "bob", nil)
	if err := srv.Befriend("alice", "bob"); err != nil {
		t.Fatal(err)
	}
	taken, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	busy := &jingledv1.Media{Video: true, VideoIn: "rtp:" + strings.TrimPrefix(taken.LocalAddr().String(), "127.0.0.1:")}
	for _, caller := range []bool{true, false} {
		var offered, answered *jingledv1.Media
		ours, theirs := bob, alice
		if answered = busy; caller {
			offered, answered, ours, theirs = busy, nil, alice, bob
		}
		res, err := alice.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: bob.jid.String(), Media: offered})
		if err != nil {
			t.Fatal(err)
		}
		sid := bob.incoming().GetSid()
		// Whether it is refused here at once or later is all the same.
		_, _ = bob.AnswerCall(t.Context(), &jingledv1.AnswerCallRequest{Sid: sid, Media: answered})
		if text := ours.ended(res.GetSid()).GetText(); !strings.Contains(text, "in use") {
			t.Errorf("our user is told %q", text)
		}
		if text := theirs.ended(res.GetSid()).GetText(); strings.Contains(text, "in use") || strings.Contains(text, "127.0.0.1") || text == "" {
			t.Errorf("theirs is told %q", text)
		}
	}
}
