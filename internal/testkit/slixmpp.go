package testkit

import (
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

//go:embed testdata/two_accounts.py
var twoAccounts []byte

// Login is an account for a client of other people.
type Login struct{ JID, Password string }

// JudgeBySlixmpp lets two slixmpp clients, whose accounts have a mutual subscription, log in at host:port addr (tls is
// "starttls" or "direct") and check the certificate against caFile, presence, roster, a message, pings and disco.
func JudgeBySlixmpp(t testing.TB, addr, tls, caFile string, a, b Login) {
	t.Helper()
	python := Python(t, "slixmpp", "python3-slixmpp")
	script := filepath.Join(t.TempDir(), "two_accounts.py")
	if err := os.WriteFile(script, twoAccounts, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, script, addr, tls, caFile, a.JID, a.Password, b.JID, b.Password)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all checks held") {
		t.Fatalf("slixmpp: %v\n%s", err, out)
	}
}
