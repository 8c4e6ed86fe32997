package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jingled/jingled/daemon/apiserver"
	"github.com/jingled/jingled/internal/testkit"
)

// The units of the package are what systemd takes, and their socket is where clients look for it.
func TestUnits(t *testing.T) {
	const from = "../../packaging/jingled"
	t.Setenv("JINGLED_SOCKET", "")
	t.Setenv("XDG_RUNTIME_DIR", "%t")
	path, err := apiserver.DefaultSocket()
	if err != nil {
		t.Fatal(err)
	}
	socket, err := os.ReadFile(filepath.Join(from, "jingled.socket"))
	if err != nil || !strings.Contains(string(socket), "\nListenStream="+path+"\n") {
		t.Errorf("the socket unit does not listen on %s: %v", path, err)
	}
	tool := testkit.Binary(t, "systemd-analyze", "systemd")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := newPlace(t)
	args := []string{"--user", "--man=no", "verify"}
	for _, name := range []string{"jingled.service", "jingled.socket"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		// It wants the program to be there.
		to := filepath.Join(p.home, name)
		if err := os.WriteFile(to, []byte(strings.Replace(string(b), "/usr/bin/jingled", self, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, to)
	}
	cmd := exec.Command(tool, args...)
	cmd.Env = p.env()
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), p.home) {
		t.Errorf("%v\n%s", err, out)
	}
}
