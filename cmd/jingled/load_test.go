package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestLoadWithoutFile: no configuration is fine. One that names a file that is not there is not.
func TestLoadWithoutFile(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the folder of configurations is set by the environment on Linux")
	}
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	o := &options{log: slog.New(slog.DiscardHandler)}
	if cfg, err := o.load(); err != nil || len(cfg.Accounts) != 0 {
		t.Errorf("without a file: %v, %v", cfg.Accounts, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "jingled"), 0o700); err != nil {
		t.Fatal(err)
	}
	text := "[[account]]\njid = \"alice@example.test\"\npassword_file = \"none\"\n"
	if err := os.WriteFile(filepath.Join(dir, "jingled", "config.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := o.load(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("with a password that is not there: %v", err)
	}
}
