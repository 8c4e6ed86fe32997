package testkit

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Nobody is the user without rights.
const Nobody = 65534

// KnockAs connects to an HTTP server of this test as another user of this machine, and says what that one finds. It needs
// root, and [Knocking] in TestMain.
func KnockAs(t *testing.T, uid int, network, addr string) int {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("skipped: only root can be another user for a while")
	}
	// The test's own program is in a folder that others cannot enter.
	dir, err := os.MkdirTemp("", "j")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	self, err := os.ReadFile("/proc/self/exe")
	program := filepath.Join(dir, "knock")
	if err := errors.Join(err, os.Chmod(dir, 0o755), os.WriteFile(program, self, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = []string{knockEnv + "=" + network + " " + addr}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}
