package relay

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jingled/jingled/internal/selfsigned"
)

func TestExpiry(t *testing.T) {
	now := time.Date(2026, 3, 15, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		from, to time.Duration
		want     string
	}{
		{-time.Hour, 60 * 24 * time.Hour, ""},
		{-time.Hour, 5 * 24 * time.Hour, "expires on 2026-03-20"},
		{-48 * time.Hour, -24 * time.Hour, "has expired on 2026-03-14: clients refuse it"},
		{time.Hour, 60 * 24 * time.Hour, "is not valid before 2026-03-15T13:00:00Z: clients refuse it"},
	} {
		cert := &tls.Certificate{Leaf: &x509.Certificate{NotBefore: now.Add(c.from), NotAfter: now.Add(c.to)}}
		if got := expiry(cert, now); got != c.want {
			t.Errorf("from %v to %v: %q, want %q", c.from, c.to, got, c.want)
		}
	}
}

// TestExpiryIsTold: check notes a certificate whose time is over and secrets that everybody can read; the relay logs the former
// when it starts, and every day.
func TestExpiryIsTold(t *testing.T) {
	dir := t.TempDir()
	chain, err := selfsigned.New("relay.example.org") // for ten days
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, mode); err != nil || os.Chmod(path, mode) != nil {
			t.Fatal(err)
		}
		return path
	}
	var c Config
	c.TLS = TLS{Certificate: write("cert.pem", chain.Cert, 0o644), Key: write("key.pem", chain.Key, 0o600)}
	c.Credentials.SecretsFile = write("secrets", []byte("a-secret-of-many-bytes-for-all"), 0o644)
	c.Realm = "example.org"
	notes := strings.Join(c.Warnings(), "\n")
	for _, want := range []string{"cert.pem expires on", "credentials.secrets_file: everybody on this machine can read", "chmod o="} {
		if !strings.Contains(notes, want) {
			t.Errorf("%q is not in the notes:\n%s", want, notes)
		}
	}
	if strings.Contains(notes, "key.pem") {
		t.Errorf("a key that is for its owner alone is noted:\n%s", notes)
	}
	var log bytes.Buffer
	s, err := newCertSource(c.TLS, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(s.notAfter()); left < 9*24*time.Hour || left > 10*24*time.Hour {
		t.Errorf("it is valid for %v", left)
	}
	synctest.Test(t, func(t *testing.T) {
		// The clock of the bubble stands before the certificate's time.
		ctx, cancel := context.WithTimeout(t.Context(), 49*time.Hour)
		defer cancel()
		_ = s.run(ctx)
	})
	if n := strings.Count(log.String(), "is not valid before"); n != 3 {
		t.Errorf("told %d times in two days, want 3:\n%s", n, log.String())
	}
}
