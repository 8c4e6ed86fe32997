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

// ProsodyConfig is what a test may ask of its Prosody. The zero value is the usual one.
type ProsodyConfig struct {
	// Modules are loaded besides the usual ones (tls, saslauth, disco, roster, presence, carbons, ping, smacks, bosh,
	// websocket, mam, csi, external_services, ...), and NoModules are not loaded.
	Modules, NoModules []string
	// Global and Host are lines of Lua for the global section of its configuration and for that of the virtual host.
	Global, Host string
	// Plugins are modules of the test's own, by their names; Modules loads them.
	Plugins map[string]string
	// NoProxy leaves out the SOCKS5 bytestreams proxy.
	NoProxy bool
	// Address is where it listens, 127.0.0.1 if empty; another one is for a network of [InNetwork].
	Address string
}

// Prosody starts a Prosody with [ProsodyConfig]'s zero value.
func Prosody(t testing.TB) *Server {
	t.Helper()
	return ProsodyWith(t, ProsodyConfig{})
}

// ProsodyWith starts a Prosody. It ends with the test.
func ProsodyWith(t testing.TB, cfg ProsodyConfig) *Server {
	t.Helper()
	return ofTest(t, prosodyIn(t, t.TempDir(), cfg), "prosody")
}

// prosodyIn starts a Prosody whose files are in a folder; the caller ends it.
func prosodyIn(t testing.TB, dir string, cfg ProsodyConfig) *Server {
	t.Helper()
	bin := Binary(t, "prosody", "prosody")
	if cfg.Address == "" {
		cfg.Address = "127.0.0.1"
	}
	p := &prosody{dir: dir, bin: bin, cfg: cfg}
	chain, err := selfsigned.New(Domain, "conference."+Domain, "proxy."+Domain, "localhost", cfg.Address)
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "ca.pem", chain.CA)
	p.write(t, "cert.pem", chain.Cert)
	p.write(t, "key.pem", chain.Key)

	for name, lua := range cfg.Plugins {
		p.write(t, filepath.Join("plugins", "mod_"+name+".lua"), []byte(lua))
	}

	// A free port may be taken by another process before Prosody opens it: then it is tried with others.
	for attempt := 1; ; attempt++ {
		if err = p.launch(t, FreePorts(t, 5)); err == nil {
			break
		}
		if attempt == 3 {
			t.Fatalf("prosody does not start: %v", err)
		}
	}
	s := &Server{
		Kind:   KindProsody,
		Domain: Domain, CA: chain.CA, CAFile: filepath.Join(p.dir, "ca.pem"),
		Addr: p.addr(0), DirectTLSAddr: p.addr(1), HTTPAddr: p.addr(2), ComponentAddr: p.addr(4),
		ComponentDomain: "component." + Domain, ComponentSecret: "component-secret",
		MUC:      "conference." + Domain,
		addUser:  p.addUser,
		befriend: p.befriend,
		stop:     func() { p.proc.stop() },
		log:      func() string { return p.proc.out.String() },
	}
	if !cfg.NoProxy {
		s.ProxyJID = "proxy." + Domain
	}
	s.restart = func(t testing.TB, end func(*process)) {
		t.Helper()
		end(p.proc)
		if err := p.launch(t, p.ports); err != nil {
			t.Fatalf("prosody does not start again: %v", err)
		}
	}
	return s
}

type prosody struct {
	dir, bin string
	cfg      ProsodyConfig
	ports    []int // c2s, direct TLS, HTTP, proxy65, components
	proc     *process
}

func (p *prosody) addr(i int) string { return fmt.Sprintf("%s:%d", p.cfg.Address, p.ports[i]) }

func (p *prosody) launch(t testing.TB, ports []int) error {
	t.Helper()
	p.ports = ports
	p.write(t, "prosody.cfg.lua", []byte(p.config()))
	cmd := exec.Command(p.bin, "--config", filepath.Join(p.dir, "prosody.cfg.lua"), "-F")
	cmd.Dir = p.dir
	var err error
	if p.proc, err = start(cmd); err != nil {
		return err
	}
	addrs := []string{p.addr(0), p.addr(1), p.addr(2), p.addr(4)}
	if !p.cfg.NoProxy {
		addrs = append(addrs, p.addr(3))
	}
	err = p.proc.waitPorts(time.Minute, addrs...)
	if err == nil && strings.Contains(p.proc.out.String(), "Failed to open server port") {
		err = fmt.Errorf("a port was taken:\n%s", tail(p.proc.out.String()))
	}
	if err != nil {
		p.proc.stop()
	}
	return err
}

var prosodyModules = []string{
	"roster", "saslauth", "tls", "disco", "presence", "message", "iq", "posix", "carbons", "ping", "pep", "private",
	"blocklist", "vcard4", "vcard_legacy", "offline", "time", "uptime", "version", "smacks", "csi", "mam", "bosh",
	"websocket", "http", "external_services",
}

func (p *prosody) config() string {
	drop := make(map[string]bool, len(p.cfg.NoModules))
	for _, m := range p.cfg.NoModules {
		drop[m] = true
	}
	var mods strings.Builder
	for _, m := range append(append([]string{}, prosodyModules...), p.cfg.Modules...) {
		if !drop[m] {
			fmt.Fprintf(&mods, "%q; ", m)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, `-- Made for one test.
run_as_root = true
daemonize = false
data_path = %[1]q
plugin_paths = { %[1]q .. "/plugins" }
certificates = %[1]q
interfaces = { %[11]q }
local_interfaces = { %[11]q }
c2s_ports = { %[2]d }
c2s_direct_tls_ports = { %[3]d }
c2s_direct_tls_ssl = { certificate = %[1]q .. "/cert.pem"; key = %[1]q .. "/key.pem" }
s2s_ports = {}
http_ports = { %[4]d }
http_interfaces = { %[11]q }
https_ports = {}
proxy65_ports = { %[5]d }
proxy65_interfaces = { %[11]q }
component_ports = { %[6]d }
component_interface = %[11]q
consider_bosh_secure = true
consider_websocket_secure = true
cross_domain_bosh = true
cross_domain_websocket = true
http_default_host = %[7]q
network_settings = { nagle = false }
authentication = "internal_plain"
storage = "internal"
archive_expires_after = "never"
ssl = { certificate = %[1]q .. "/cert.pem"; key = %[1]q .. "/key.pem" }
log = { { levels = { min = "info" }; to = "console" } }
modules_enabled = { %[8]s }
modules_disabled = { "s2s" }
%[9]s
VirtualHost %[7]q
%[10]s
Component ("conference." .. %[7]q) "muc"
  muc_room_default_public_jids = true
  restrict_room_creation = false
Component ("component." .. %[7]q)
  component_secret = "component-secret"
`, p.dir, p.ports[0], p.ports[1], p.ports[2], p.ports[3], p.ports[4], Domain, mods.String(), p.cfg.Global, p.cfg.Host, p.cfg.Address)
	if !p.cfg.NoProxy {
		fmt.Fprintf(&b, "Component \"proxy.%s\" \"proxy65\"\n  proxy65_address = %q\n  proxy65_acl = { %q }\n", Domain, p.cfg.Address, Domain)
	}
	return b.String()
}

func (p *prosody) write(t testing.TB, name string, b []byte) {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// store is the path of one user's file in Prosody's internal storage, which escapes what is not a letter or digit.
func store(kind, user string) string {
	esc := func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			if c := s[i]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02x", c)
			}
		}
		return b.String()
	}
	return filepath.Join(esc(Domain), kind, esc(user)+".dat")
}

func (p *prosody) addUser(t testing.TB, user, password string) {
	t.Helper()
	p.write(t, store("accounts", user), fmt.Appendf(nil, "return { [\"password\"] = %q; };\n", password))
}

func (p *prosody) befriend(t testing.TB, a, b string) {
	t.Helper()
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		path := store("roster", pair[0])
		entry := fmt.Sprintf("  [\"%s@%s\"] = { [\"subscription\"] = \"both\"; [\"groups\"] = {}; };\n", pair[1], Domain)
		old, _ := os.ReadFile(filepath.Join(p.dir, path))
		body := strings.TrimSuffix(strings.TrimPrefix(string(old), "return {\n"), "};\n")
		p.write(t, path, []byte("return {\n"+body+entry+"};\n"))
	}
}
