package configfile_test

import (
	"encoding/pem"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/daemon"
	"github.com/jingled/jingled/daemon/configfile"
	"github.com/jingled/jingled/internal/selfsigned"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/media"
	"github.com/jingled/jingled/xmpp"
)

// folder holds a password and a certificate.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	chain, err := selfsigned.New("example.org")
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"alice.password": []byte("open sesame\r\nsecond line\n"), "empty.password": []byte("\nx"), "ca.pem": chain.CA,
		"bad.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), "big.password": make([]byte, 2<<20),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestEveryField(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "config.toml")
	text := `
downloads = "inbox"
max_file_size = 1000
ring_timeout = "90s"
reach_timeout = "1500ms"
loopback = true
call_encryption = "sdes"
dtmf_in_band = true
upload_limit = 1000000
port_mapping = true
download_limit = 2000000
require_encryption = true
on_file = { command = ["/bin/true", "a b"], sent = true, timeout = "5s" }

[[accept]]
list = ["bob@example.org"]
from = "list"
max_size = 5000
types = ["image/*", "text/plain"]
encrypted = true
dir = "pictures"

[[accept]]

[[account]]
jid = "Alice@Example.org/laptop"
password_file = "alice.password"
connect = "127.0.0.1:5222"
tls = "starttls"
ca = "ca.pem"
pin = "0000000000000000000000000000000000000000000000000000000000000000"
calls = { from = "everyone" }
files = { from = "list", list = ["bob@example.org", "carol@example.org/desk"] }
bytestreams = { listen = "192.0.2.1:7777", advertise = ["198.51.100.1", "2001:db8::1"] }

[[account]]
jid = "bob@example.org"
password_file = "alice.password"
resource = "desk"
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := configfile.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Downloads != filepath.Join(dir, "inbox") || c.MaxFileSize != 1000 || c.RingTimeout != 90*time.Second ||
		c.ReachTimeout != 1500*time.Millisecond || !c.Loopback || c.CallEncryption != media.SDES || !c.InBandDTMF || len(c.Accounts) != 2 {
		t.Errorf("%+v", c)
	}
	if c.UploadLimit != 1000000 || !c.PortMapping || c.DownloadLimit != 2000000 || !c.RequireEncryption || len(c.Accept) != 2 ||
		!slices.Equal(c.Completed.Command, []string{"/bin/true", "a b"}) || !c.Completed.Sent || c.Completed.Timeout != 5*time.Second {
		t.Errorf("%+v", c)
	}
	if r := c.Accept[0]; r.From != daemon.Listed || !slices.Equal(r.List, []jid.JID{"bob@example.org"}) || r.MaxSize != 5000 ||
		!slices.Equal(r.Types, []string{"image/*", "text/plain"}) || !r.Encrypted || r.Dir != filepath.Join(dir, "pictures") {
		t.Errorf("%+v", r)
	}
	a := c.Accounts[0]
	if a.JID != "alice@example.org" || a.Resource != "laptop" || a.Connect != "127.0.0.1:5222" || a.TLS != xmpp.TLSStart ||
		a.RootCAs == nil || len(a.PinnedSHA256) != 64 || a.Calls.From != daemon.Everyone || a.Files.From != daemon.Listed ||
		!slices.Equal(a.Files.List, []jid.JID{"bob@example.org", "carol@example.org/desk"}) || a.FailFast ||
		a.Bytestreams.Listen != "192.0.2.1:7777" ||
		!slices.Equal(a.Bytestreams.Advertise, []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8::1")}) {
		t.Errorf("%+v", a)
	}
	if pw, err := a.Password(); err != nil || pw != "open sesame" {
		t.Errorf("%q, %v", pw, err)
	}
	if c.Accounts[1].Resource != "desk" || c.Accounts[1].RootCAs != nil {
		t.Errorf("%+v", c.Accounts[1])
	}
}

func TestMistakesAreNamed(t *testing.T) {
	dir := folder(t)
	account := "[[account]]\njid = \"alice@example.org\"\npassword_file = \"alice.password\"\n"
	for text, want := range map[string]string{
		"downloads = \"x\"\ndownlods = \"x\"":                `line 2: there is no setting "downlods"`,
		account + "passwort = \"x\"":                         `line 4: there is no setting "account.passwort"`,
		account + "calls = { frm = \"x\" }":                  `line 4: there is no setting "account.frm"`,
		account + "bytestreams = { port = 1 }":               `line 4: there is no setting "account.port"`,
		"\nring_timeout = 90":                                "missing unit",
		"ring_timeout = \"soon\"":                            "line 1",
		"ring_timeout = \"-3s\"":                             "must be positive",
		"loopback = \"yes\"":                                 "line 1",
		"max_file_size = -1":                                 "max_file_size is negative",
		"call_encryption = \"weak\"":                         `call_encryption: "weak" is none of dtls, sdes, none`,
		"downloads = [":                                      "line 1",
		"= 3":                                                "line 1",
		account + "bytestreams = { advertise = [\"here\"] }": "line 4",
		"[[account]]\njid = \"a@b@c\"":                       `account "a@b@c"`,
		"[[account]]\njid = \"alice@example.org\"\npassword_file = \"none\"": "password file",
		account + "ca = \"alice.password\"":                                  "holds no certificate",
		account + "ca = \"bad.pem\"":                                         "holds no certificate",
		account + "ca = \"none.pem\"":                                        "ca: ",
		account + "calls = { list = [\"@\"] }":                               "calls: ",
		account + "files = { list = [\"@\"] }":                               "files: ",
		"[[accept]]\nlist = [\"@\"]":                                         "accept 1: ",
		"[[accept]]\ntype = \"image/png\"":                                   `line 2: there is no setting "accept.type"`,
	} {
		_, err := configfile.Parse([]byte(text), dir)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if _, err := configfile.Load(filepath.Join(dir, "none.toml")); !os.IsNotExist(err) {
		t.Error(err)
	}
	if _, err := configfile.Load(filepath.Join(dir, "big.password")); err == nil {
		t.Error("a huge file is read")
	}
	if _, err := configfile.Parse(nil, dir); err != nil {
		t.Errorf("an empty one: %v", err)
	}
}

func TestPasswordFile(t *testing.T) {
	dir := folder(t)
	for _, name := range []string{"empty.password", "big.password"} {
		f, err := configfile.PasswordFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if pw, err := f(); err == nil {
			t.Errorf("%s: %.20q", name, pw)
		}
	}
	// It is read at each login, so that it can be changed.
	path := filepath.Join(dir, "alice.password")
	f, err := configfile.PasswordFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if pw, err := f(); err != nil || pw != "changed" {
		t.Errorf("%q, %v", pw, err)
	}
	if configfile.Exposed(path) || configfile.Exposed(path+"x") {
		t.Error("a private file is called exposed")
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if !configfile.Exposed(path) {
		t.Error("a file for everybody is not")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("downloads = \"x\"\n[[account]]\njid = \"alice@example.org\"\npassword_file = \"p\"\n"))
	f.Add([]byte("[[account]]\nbytestreams = { advertise = [\"::1\"] }"))
	f.Add([]byte("ring_timeout = \"1s\""))
	dir := f.TempDir()
	f.Fuzz(func(_ *testing.T, b []byte) {
		if strings.Contains(string(b), "-") { // "-" would read standard input
			return
		}
		_, _ = configfile.Parse(b, dir)
	})
}
