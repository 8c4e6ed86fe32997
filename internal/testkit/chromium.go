package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Chromium opens a page in a headless Chromium, whose microphone is fake and whose every question is answered with yes.
// It ends with the test. It opens no connection of its own, but the page's go where they go: give it a network by
// [InNetwork].
func Chromium(t testing.TB, url string, flags ...string) {
	t.Helper()
	bin := Binary(t, "chromium-headless-shell", "chromium-headless-shell")
	home := t.TempDir()
	args := []string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
		"--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required",
		// A page of localhost may open a WebSocket to an address of this machine.
		"--disable-features=LocalNetworkAccessChecks",
		"--user-data-dir=" + filepath.Join(home, "profile"),
		"--remote-debugging-port=0", // without it the program ends as soon as the page is loaded
	}
	cmd := exec.Command(bin, append(append(args, flags...), url)...)
	cmd.Env = append(os.Environ(), "HOME="+home)
	proc, err := start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		proc.stop()
		proc.logOnFailure(t, "chromium")
	})
}
