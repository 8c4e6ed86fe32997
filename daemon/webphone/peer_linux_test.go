package webphone_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

const dialAs = "JINGLED_TEST_DIAL"

// TestMain can run as a process of another user, which tries to load the page.
func TestMain(m *testing.M) {
	if addr := os.Getenv(dialAs); addr != "" {
		os.Exit(tryToLoad(addr))
	}
	goleak.VerifyTestMain(m)
}

// tryToLoad returns 0 if the page comes, 3 if the connection is closed without a word, 4 if there is none.
func tryToLoad(addr string) int {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return 4
	}
	defer c.Close()
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", addr)
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		return 3
	}
	return 0
}

// Another user of this machine does not even get the page.
func TestOtherUserIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("skipped: only root can be another user for a while")
	}
	base, _ := serve(t, nil).open()
	dir, err := os.MkdirTemp("", "j")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "try")
	if err := os.WriteFile(program, self, 0o755); err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[uint32]int{0: 0, 65534: 3} {
		cmd := exec.Command(program)
		cmd.Env = []string{dialAs + "=" + strings.TrimPrefix(base, "http://")}
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		err := cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("user %d: %d, want %d (%v)", uid, got, want, err)
		}
	}
}
