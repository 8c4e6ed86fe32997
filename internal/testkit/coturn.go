package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/selfsigned"
)

// TURN is a running STUN and TURN server.
type TURN struct {
	// Addr is host:port for UDP and TCP, TLSAddr for TLS over TCP and for DTLS.
	Addr, TLSAddr string
	// Username and Password open it (RFC 8489 section 9.2).
	Username, Password, Realm string
	// CA is what clients have to trust, in PEM.
	CA []byte

	proc *process
}

// Log returns the end of what the server has printed.
func (s *TURN) Log() string { return s.proc.out.String() }

// Coturn starts a coturn on loopback, which relays to loopback too. It ends with the test.
func Coturn(t testing.TB) *TURN {
	t.Helper()
	bin := Binary(t, "turnserver", "coturn")
	dir := t.TempDir()
	chain, err := selfsigned.New("127.0.0.1", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"cert.pem": chain.Cert, "key.pem": chain.Key} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &TURN{Username: "user", Password: "turn-password", Realm: "turn.example.test", CA: chain.CA}
	for attempt := 1; ; attempt++ {
		ports := FreePorts(t, 2)
		conf := fmt.Sprintf(`listening-ip=127.0.0.1
relay-ip=127.0.0.1
listening-port=%d
tls-listening-port=%d
min-port=20000
max-port=59999
lt-cred-mech
user=%s:%s
realm=%s
cert=%[6]s/cert.pem
pkey=%[6]s/key.pem
allow-loopback-peers
no-cli
no-rfc5780
fingerprint
log-file=stdout
simple-log
userdb=%[6]s/turndb
pidfile=%[6]s/pid
relay-threads=1
`, ports[0], ports[1], s.Username, s.Password, s.Realm, dir)
		if err := os.WriteFile(filepath.Join(dir, "turnserver.conf"), []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(bin, "-c", filepath.Join(dir, "turnserver.conf"))
		cmd.Dir = dir
		if s.proc, err = start(cmd); err != nil {
			t.Fatalf("coturn: %v", err)
		}
		s.Addr, s.TLSAddr = fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
		err = s.proc.waitPorts(time.Minute, s.Addr, s.TLSAddr)
		if err == nil && !strings.Contains(s.proc.out.String(), "bind: Address already in use") {
			break
		}
		s.proc.stop()
		if attempt == 3 {
			t.Fatalf("coturn does not start: %v", err)
		}
	}
	t.Cleanup(func() {
		s.proc.stop()
		s.proc.logOnFailure(t, "coturn")
	})
	return s
}
