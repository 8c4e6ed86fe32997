package examples_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmppserver"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

// generate makes a client's code from the schema by protoc, as the example says.
func generate(t *testing.T, args ...string) {
	t.Helper()
	protoc := testkit.Binary(t, "protoc", "protobuf-compiler")
	if _, err := os.Stat("/usr/include/google/protobuf/timestamp.proto"); err != nil {
		testkit.Missing(t, "protoc has none of its own schemas (package libprotobuf-dev)")
	}
	schema, err := filepath.Glob("../api/jingled/v1/*.proto")
	if err != nil || len(schema) == 0 {
		t.Fatal("no schema", err)
	}
	if out, err := exec.Command(protoc, append(append([]string{"-I", "../api"}, args...), schema...)...).CombinedOutput(); err != nil {
		t.Fatalf("protoc: %v\n%s", err, out)
	}
}

// script is the source of an example, which must not grow long: it is what people read first.
func script(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(b, []byte("\n")); n >= 60 {
		t.Errorf("%s has %d lines, 59 are the limit", path, n)
	}
	return string(b)
}

// callAndFile is what a client of the examples does with its daemon: bob calls it, it answers and sends him a file.
func callAndFile(t *testing.T, program string, args ...string) {
	t.Helper()
	srv := testkit.Embedded(t, xmppserver.Config{Accounts: map[string]string{"alice": "secret", "bob": "secret"}})
	if err := srv.Befriend("alice", "bob"); err != nil {
		t.Fatal(err)
	}
	roots, err := xmpp.ParseCA(srv.CA())
	if err != nil {
		t.Fatal(err)
	}
	account := func(user string) daemon.Config {
		return daemon.Config{Accounts: []daemon.Account{{JID: jid.JID(user + "@" + srv.Domain()), Connect: srv.Addr(), RootCAs: roots,
			Password: func() (string, error) { return "secret", nil }}}}
	}
	alice, bob := run(t, account("alice")), run(t, account("bob"))
	alice.await(t, "login", online)
	bob.await(t, "login", online)
	content := bytes.Repeat([]byte("from another language "), 10_000)
	path := filepath.Join(t.TempDir(), "gift.bin")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, append(args, path)...)
	cmd.Env = append(os.Environ(), "JINGLED_SOCKET="+alice.socket)
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	said := func() string {
		b, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if t.Failed() {
			t.Logf("it said:\n%s", said())
		}
	})
	for until := time.Now().Add(patience); !strings.Contains(said(), "watching"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("it does not watch")
		}
	}

	res, err := bob.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: "alice@" + srv.Domain(), Media: &jingledv1.Media{AudioIn: "tone:880"}})
	if err != nil {
		t.Fatal(err)
	}
	bob.await(t, "call", func(e *jingledv1.Event) bool { return e.GetCallConnected() != nil })
	offer := bob.await(t, "offer", func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
	to := t.TempDir()
	if _, err := bob.AcceptFile(t.Context(), &jingledv1.AcceptFileRequest{Sid: offer.GetSid(), Dir: to}); err != nil {
		t.Fatal(err)
	}
	bob.await(t, "file", func(e *jingledv1.Event) bool { return e.GetTransferDone() != nil })
	if got, err := os.ReadFile(filepath.Join(to, "gift.bin")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("bob's file: %v", err)
	}
	select {
	case err := <-ended:
		if err != nil || !strings.Contains(said(), "sent "+path) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(patience):
		t.Error("it does not end")
	}
	if _, err := bob.EndCall(t.Context(), &jingledv1.EndCallRequest{Sid: res.GetSid()}); err != nil {
		t.Fatal(err)
	}
	bob.await(t, "end", func(e *jingledv1.Event) bool { return e.GetCallEnded() != nil })
}

// TestClientPython is with the gRPC of Google.
func TestClientPython(t *testing.T) {
	python := testkit.Python(t, "grpc", "python3-grpcio")
	testkit.Python(t, "google.protobuf", "python3-protobuf")
	plugin := testkit.Binary(t, "grpc_python_plugin", "protobuf-compiler-grpc")
	dir := t.TempDir()
	generate(t, "--python_out="+dir, "--grpc_python_out="+dir, "--plugin=protoc-gen-grpc_python="+plugin)
	main := filepath.Join(dir, "main.py")
	if err := os.WriteFile(main, []byte(script(t, "client-python/main.py")), 0o600); err != nil {
		t.Fatal(err)
	}
	callAndFile(t, python, main)
}

// TestClientTypeScript is with Connect for Node.js.
func TestClientTypeScript(t *testing.T) {
	node := testkit.Binary(t, "node", "nodejs")
	const from = "client-typescript"
	modules := filepath.Join(testkit.Npm(t, from), "node_modules")
	dir := t.TempDir()
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"main.ts", "package.json", "tsconfig.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script(t, filepath.Join(from, name))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	gen := filepath.Join(dir, "gen")
	if err := os.Mkdir(gen, 0o700); err != nil {
		t.Fatal(err)
	}
	generate(t, "--es_out="+gen, "--es_opt=target=ts,import_extension=js", "--plugin="+filepath.Join(modules, ".bin", "protoc-gen-es"))
	tsc := exec.Command(node, filepath.Join(modules, "typescript", "bin", "tsc"))
	tsc.Dir = dir
	if out, err := tsc.CombinedOutput(); err != nil {
		t.Fatalf("tsc: %v\n%s", err, out)
	}
	callAndFile(t, node, filepath.Join(dir, "out", "main.js"))
}
