package examples_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

// TestEmbedGo leaves a message and a file with the answering machine, which ends when it is interrupted.
func TestEmbedGo(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("skipped: there is no interrupt for other processes")
	}
	dir := t.TempDir()
	program, ca, folder := filepath.Join(dir, "embed-go"), filepath.Join(dir, "ca.pem"), filepath.Join(dir, "messages")
	if out, err := exec.Command("go", "build", "-o", program, "./embed-go").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	srv := testkit.Embedded(t, xmppserver.Config{Accounts: map[string]string{"alice": "secret", "bob": "secret"}})
	if err := srv.Befriend("alice", "bob"); err != nil {
		t.Fatal(err)
	}
	roots, err := xmpp.ParseCA(srv.CA())
	if err != nil {
		t.Fatal(err)
	}
	gift := bytes.Repeat([]byte("for the machine "), 1000)
	for name, content := range map[string][]byte{ca: srv.CA(), filepath.Join(dir, "gift.bin"): gift} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	bob := run(t, daemon.Config{Accounts: []daemon.Account{{JID: jid.JID("bob@" + srv.Domain()), Connect: srv.Addr(), RootCAs: roots,
		Password: func() (string, error) { return "secret", nil }}}})
	bob.await(t, "login", online)

	machine := exec.Command(program, "alice@"+srv.Domain(), folder, srv.Addr(), ca)
	stdin, err := machine.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	machine.Stdout, machine.Stderr = &out, &out
	if err := machine.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- machine.Wait() }()
	t.Cleanup(func() { _ = machine.Process.Kill() })
	if _, err := io.WriteString(stdin, "secret\n"); err != nil {
		t.Fatal(err)
	}

	// The file is offered when alice shows herself; so the call that follows finds her.
	done := func(e *jingledv1.Event) bool { return e.GetTransferDone() != nil }
	if _, err := bob.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: "alice@" + srv.Domain(), Path: filepath.Join(dir, "gift.bin")}); err != nil {
		t.Fatal(err)
	}
	bob.await(t, "file", done)
	call, err := bob.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: "alice@" + srv.Domain(), Media: &jingledv1.Media{AudioIn: "tone:880"}})
	if err != nil {
		t.Fatal(err)
	}
	bob.await(t, "call", func(e *jingledv1.Event) bool { return e.GetCallConnected() != nil })
	bob.await(t, "sound", func(e *jingledv1.Event) bool { return e.GetCallMeter().GetStats().GetPacketsReceived() > 0 })
	if _, err := bob.EndCall(t.Context(), &jingledv1.EndCallRequest{Sid: call.GetSid()}); err != nil {
		t.Fatal(err)
	}
	bob.await(t, "end", func(e *jingledv1.Event) bool { return e.GetCallEnded() != nil })

	// The recording has its name when it is complete.
	var messages []string
	for until := time.Now().Add(patience); len(messages) == 0 && time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if messages, err = filepath.Glob(filepath.Join(folder, "message-*.ogg")); err != nil {
			t.Fatal(err)
		}
	}
	if err := machine.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ended with %v:\n%s", err, out.String())
		}
	case <-time.After(patience):
		t.Fatal("it does not end when it is interrupted")
	}
	if len(messages) != 1 {
		t.Errorf("messages: %q", messages)
	} else if b, err := os.ReadFile(messages[0]); err != nil || !bytes.HasPrefix(b, []byte("OggS")) || len(b) < 1000 {
		t.Errorf("the message has %d bytes, %v", len(b), err)
	}
	if b, err := os.ReadFile(filepath.Join(folder, "gift.bin")); err != nil || !bytes.Equal(b, gift) {
		t.Errorf("the file: %d bytes, %v", len(b), err)
	}
	for _, want := range []string{"online\n", "has spoken for ", "gift.bin\"\n"} {
		if !bytes.Contains(out.Bytes(), []byte(want)) {
			t.Errorf("it did not say %q:\n%s", want, out.String())
		}
	}
}
