package configfile_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/jingled/jingled/daemon/configfile"
)

func TestWarnings(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no modes there")
	}
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"open": 0o644, "private": 0o600} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("secret\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "jingled.toml")
	text := `downloads = "none"
[[account]]
jid = "alice@example.test"
password_file = "open"
[account.share]
dir = "."
[[account]]
jid = "bob@example.test"
password_file = "private"
[account.share]
dir = "shared"
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := configfile.Load(path); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(configfile.Warnings(path), "\n")
	want := []string{"downloads: there is no folder " + filepath.Join(dir, "none"), "can read " + filepath.Join(dir, "open") + ": run chmod 600", "share.dir: there is no folder " + filepath.Join(dir, "shared")}
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("%q is not in\n%s", w, got)
		}
	}
	if n := strings.Count(got, "\n") + 1; n != len(want) {
		t.Errorf("%d warnings, want %d:\n%s", n, len(want), got)
	}
}

func TestWrongTypesInWords(t *testing.T) {
	for text, want := range map[string]string{
		"downloads = 3":                  "line 1: downloads must be of the type string, and is of the type integer",
		"max_file_size = \"10M\"":        "line 1: max_file_size must be of the type integer, and is of the type string",
		"\n[on_file]\ncommand = \"foo\"": "line 3: on_file.command must be of the type array of string, and is of the type string",
		"fetch_networks = [\"ten\"]":     "line 1: netip.ParsePrefix(\"ten\"): no '/'",
		"upload_limit = -1":              "upload_limit is negative",
	} {
		if _, err := configfile.Parse([]byte(text), t.TempDir()); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
