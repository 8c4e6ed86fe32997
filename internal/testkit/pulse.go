package testkit

import (
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// PulseAudio starts a PulseAudio without hardware and returns its address for PULSE_SERVER. What is played on its sink "out"
// can be recorded from "out.monitor"; there is a sink "other" besides. It ends with the test.
func PulseAudio(t testing.TB) (server string) {
	t.Helper()
	bin := Binary(t, "pulseaudio", "pulseaudio")
	dir := t.TempDir()
	socket := filepath.Join(dir, "native")
	cmd := exec.Command(bin, "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disallow-exit", "--log-target=stderr",
		"--load=module-null-sink sink_name=other rate=48000 channels=1",
		"--load=module-null-sink sink_name=out rate=48000 channels=1",
		"--load=module-native-protocol-unix auth-anonymous=1 socket="+socket)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "HOME="+dir, "XDG_RUNTIME_DIR="+dir, "XDG_CONFIG_HOME="+dir, "PULSE_RUNTIME_PATH="+dir)
	proc, err := start(cmd)
	if err != nil {
		t.Fatalf("pulseaudio: %v", err)
	}
	t.Cleanup(func() {
		proc.stop()
		proc.logOnFailure(t, "pulseaudio")
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("unix", socket)
		if err == nil {
			_ = c.Close()
			return "unix:" + socket
		}
		if proc.ended() || time.Now().After(deadline) {
			t.Fatalf("pulseaudio does not start: %v\n%s", err, tail(proc.out.String()))
		}
	}
}
