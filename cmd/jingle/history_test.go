package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/daemon/state"
)

// pastState fills a state folder and returns the configuration of a standalone run that uses it.
func pastState(t *testing.T) (config string) {
	t.Helper()
	dir := t.TempDir()
	s, err := state.Open(filepath.Join(dir, "state"), state.Config{})
	if err != nil {
		t.Fatal(err)
	}
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	if err := s.AddCall(t.Context(), state.Call{Account: "alice@x.test", Peer: "bob@x.test/phone", SID: "c1", Began: noon, Ended: noon.Add(time.Minute),
		Connected: true, Conversation: 42 * time.Second, Reason: "success"}); err != nil {
		t.Fatal(err)
	}
	if err := s.AddTransfer(t.Context(), state.Transfer{Account: "alice@x.test", Peer: "carol@x.test/pc", SID: "t1", Incoming: true, Began: noon,
		Ended: noon.Add(time.Hour), Name: "evil\x1b[2J.txt", Size: 2048, Bytes: 1024, Reason: "cancel", Text: "no"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	config = filepath.Join(dir, "config.toml")
	text := "state = \"state\"\n[[account]]\njid = \"alice@x.test\"\npassword_file = \"pw\"\nconnect = \"127.0.0.1:1\"\n"
	for name, text := range map[string]string{config: text, filepath.Join(dir, "pw"): "secret\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return config
}

func runJingle(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	c := newRoot()
	c.SetArgs(args)
	c.SetOut(&out)
	if err := c.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("jingle %s: %v", strings.Join(args, " "), err)
	}
	return out.String()
}

func TestHistoryCommand(t *testing.T) {
	config := pastState(t)
	text := runJingle(t, "--standalone", "--config", config, "history")
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "file from carol@x.test/pc") || !strings.Contains(lines[0], "cancel after") ||
		!strings.Contains(lines[1], "call to   bob@x.test/phone") || strings.Contains(text, "\x1b") {
		t.Errorf("history:\n%q", text)
	}
	if with := runJingle(t, "--standalone", "--config", config, "history", "--with", "bob@x.test"); strings.Contains(with, "carol") || !strings.Contains(with, "bob") {
		t.Errorf("with bob:\n%s", with)
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(runJingle(t, "--standalone", "--config", config, "--json", "history", "--limit", "1")), &line); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{"event": "history.transfer", "time": "2026-11-22T13:00:00Z", "began": "2026-11-22T12:00:00Z",
		"account": "alice@x.test", "peer": "carol@x.test/pc", "sid": "t1", "incoming": true, "size": 2048.0, "bytes": 1024.0,
		"complete": false, "verified": false, "reason": "cancel", "text": "no", "by_peer": false} {
		if line[k] != want {
			t.Errorf("%s is %v, want %v", k, line[k], want)
		}
	}
}

func TestExportCommand(t *testing.T) {
	var doc map[string][]map[string]any
	if err := json.Unmarshal([]byte(runJingle(t, "--standalone", "--config", pastState(t), "export")), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc) != 4 || len(doc["calls"]) != 1 || len(doc["transfers"]) != 1 || doc["identities"] == nil {
		t.Fatalf("%v", doc)
	}
	if c := doc["calls"][0]; c["sid"] != "c1" || c["conversation"] != "42s" || c["ended"] != "2026-11-22T12:01:00Z" || c["incoming"] != false {
		t.Errorf("call %v", c)
	}
	if x := doc["transfers"][0]; x["name"] != "evil\x1b[2J.txt" || x["complete"] != false {
		t.Errorf("transfer %v", x)
	}
}
