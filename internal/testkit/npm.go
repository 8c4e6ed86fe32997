package testkit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Npm installs what the package-lock.json in dir names, and returns the folder that has it as node_modules. It stands in
// the user's cache, one for each state of the lock file, so that it is fetched once and the source tree stays clean. Where
// the registry cannot be reached, the test ends by [Missing].
func Npm(t testing.TB, dir string) string {
	t.Helper()
	npm := Binary(t, "npm", "npm")
	sum := sha256.New()
	var files [][]byte
	names := []string{"package.json", "package-lock.json"}
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		sum.Write(b)
		files = append(files, b)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	home := filepath.Join(cache, "jingled-test", "npm-"+hex.EncodeToString(sum.Sum(nil))[:16])
	if _, err := os.Stat(filepath.Join(home, "node_modules")); err == nil {
		return home
	}
	if err := os.MkdirAll(filepath.Dir(home), 0o700); err != nil {
		t.Fatal(err)
	}
	// It gets its name when it is complete.
	part, err := os.MkdirTemp(filepath.Dir(home), "part-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(part) }()
	for i, name := range names {
		if err := os.WriteFile(filepath.Join(part, name), files[i], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for attempt := 1; ; attempt++ {
		// No package's own scripts are run.
		cmd := exec.CommandContext(t.Context(), npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
		cmd.Dir = part
		out, err := cmd.CombinedOutput()
		if err == nil {
			break
		}
		if attempt == 3 {
			Missing(t, "npm ci does not work, perhaps there is no registry: "+tail(string(out)))
		}
		time.Sleep(time.Second) // a registry that is busy
	}
	if err := os.Rename(part, home); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, there := os.Stat(filepath.Join(home, "node_modules")); there != nil {
			t.Fatal(err)
		}
	}
	return home
}
