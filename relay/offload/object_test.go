package offload

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestObjectMatchesSource builds turn.c again and compares it with the object that is embedded. It takes the compiler that made it.
func TestObjectMatchesSource(t *testing.T) {
	const compiler = "Debian clang version 14.0.6"
	if runtime.GOOS != "linux" {
		t.Skip("the object is built on Linux")
	}
	skip := t.Skipf
	if os.Getenv("CI") == "true" {
		skip = t.Fatalf
	}
	out, err := exec.Command("clang", "--version").Output()
	if err != nil {
		skip("clang is missing (packages clang, llvm and libbpf-dev): %v", err)
	}
	if line, _, _ := strings.Cut(string(out), "\n"); line != compiler {
		t.Skipf("the object was built by %s, here is %s", compiler, line)
	}
	fresh := filepath.Join(t.TempDir(), "turn.o")
	if out, err := exec.Command("./build.sh", fresh).CombinedOutput(); err != nil {
		skip("build.sh: %v\n%s", err, out)
	}
	want, err := os.ReadFile(fresh)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("turn.o")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("turn.o (%d bytes) is not what build.sh makes of turn.c (%d bytes): run relay/offload/build.sh and commit it", len(got), len(want))
	}
}
