package component

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/relay/credentials"
	"github.com/jingled/jingled/relay/socks5"
)

const (
	strangerDomain = "jingled.test"
	strangerRelay  = "relay.jingled.test"
	strangerSecret = "component secret"
	sharedSecret   = "a secret of sixteen or more"
)

// freePorts returns ports that were free a moment ago.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var out []int
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		out = append(out, ln.Addr().(*net.TCPAddr).Port)
	}
	return out
}

// launch starts a server of somebody else's in its own directory and waits for its port.
func launch(t testing.TB, port int, env []string, name string, args ...string) {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, log.String())
		}
	})
	until(t, name+" listens", func() bool {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+strconv.Itoa(port), time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func startProsody(t *testing.T) (c2s, comp int) { return startProsodyWith(t, "", "") }

func startProsodyWith(t testing.TB, global, hosts string) (c2s, comp int) {
	bin, err := exec.LookPath("prosody")
	if err != nil {
		t.Skip("Prosody is not installed")
	}
	dir, p := t.TempDir(), freePorts(t, 2)
	conf := fmt.Sprintf(`
run_as_root = true
daemonize = false
pidfile = %[1]q
data_path = %[2]q
certificates = %[2]q
interfaces = { "127.0.0.1" }
c2s_ports = { %[3]d }
s2s_ports = {}
c2s_direct_tls_ports = {}
s2s_direct_tls_ports = {}
http_ports = {}
https_ports = {}
component_interfaces = { "127.0.0.1" }
component_ports = { %[4]d }
modules_enabled = { "roster", "saslauth", "disco", "ping", "external_services" }
modules_disabled = { "s2s", "tls" }
authentication = "internal_plain"
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
%[10]s
log = { { levels = { min = "info" }, to = "console" } }
VirtualHost %[5]q
	external_services = {
		{ type = "turn", transport = "udp", host = "relay.example.com", port = 3478, secret = %[8]q, ttl = 3600 },
	}
Component %[6]q
	component_secret = %[7]q
%[9]s
`, filepath.Join(dir, "pid"), dir, p[0], p[1], strangerDomain, strangerRelay, strangerSecret, sharedSecret, hosts, global)
	file := filepath.Join(dir, "prosody.cfg.lua")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	accounts := filepath.Join(dir, strings.ReplaceAll(strangerDomain, ".", "%2e"), "accounts")
	if err := os.MkdirAll(accounts, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, u := range []string{"alice", "bob", "carol", "dave"} {
		if err := os.WriteFile(filepath.Join(accounts, u+".dat"), []byte(`return { ["password"] = "pw" };`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	launch(t, p[1], nil, bin, "-F", "--config", file)
	return p[0], p[1]
}

func startEjabberd(t *testing.T) (c2s, comp int) {
	if _, err := exec.LookPath("ejabberdctl"); err != nil {
		t.Skip("ejabberd is not installed")
	}
	erl, err := exec.LookPath("erl")
	if err != nil {
		t.Skip("Erlang is not installed")
	}
	libs, _ := filepath.Glob("/usr/lib/*/ejabberd-*")
	if len(libs) == 0 {
		t.Skip("ejabberd's libraries are not where Debian puts them")
	}
	dir, p := t.TempDir(), freePorts(t, 2)
	conf := fmt.Sprintf(`
hosts:
  - %[1]s
loglevel: 4
listen:
  - port: %[2]d
    ip: "127.0.0.1"
    module: ejabberd_c2s
    access: all
    shaper: none
  - port: %[3]d
    ip: "127.0.0.1"
    module: ejabberd_service
    hosts:
      %[4]s:
        password: %[5]q
    shaper: none
auth_method: anonymous
anonymous_protocol: login_anon
modules:
  mod_roster: {}
  mod_disco: {}
  mod_ping: {}
  mod_stun_disco:
    access: all
    secret: %[6]q
    credentials_lifetime: 1 hour
    services:
      -
        host: relay.example.com
        port: 3478
        type: turn
        transport: udp
`, strangerDomain, p[0], p[1], strangerRelay, strangerSecret, sharedSecret)
	file := filepath.Join(dir, "ejabberd.yml")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	launch(t, p[1], []string{
		"ERL_LIBS=" + filepath.Dir(libs[0]), "EJABBERD_CONFIG_PATH=" + file, "HOME=" + dir,
		"EJABBERD_LOG_PATH=" + filepath.Join(dir, "ejabberd.log"), "ERL_CRASH_DUMP=" + filepath.Join(dir, "crash"),
	}, erl, "-noinput", "-mnesia", "dir", strconv.Quote(filepath.Join(dir, "spool")), "-s", "ejabberd")
	return p[0], p[1]
}

// Real servers and a client library that knows nothing of us: discovery, credentials, and a file through the proxy.
func TestWithProsody(t *testing.T)  { stranger(t, startProsody) }
func TestWithEjabberd(t *testing.T) { stranger(t, startEjabberd) }

func stranger(t *testing.T, server func(*testing.T) (int, int)) {
	python := "/usr/bin/python3" // the one that Debian's modules belong to
	if err := exec.Command(python, "-c", "import slixmpp").Run(); err != nil {
		t.Skip("python3-slixmpp is not installed")
	}
	c2s, comp := server(t)

	proxy, err := socks5.New(socks5.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	issuer, _ := credentials.NewShared(sharedSecret)
	component, err := New(Config{
		Domain: strangerRelay, Secret: strangerSecret, Server: "127.0.0.1:" + strconv.Itoa(comp), MinBackoff: 10 * time.Millisecond, MaxBackoff: 100 * time.Millisecond,
		Offer: Offer{
			Domains: []string{strangerDomain}, Issuer: issuer, TTL: time.Hour,
			Services: []Service{{Type: "turn", Host: "relay.example.com", Port: 3478, Transport: "udp"}},
			Proxy:    &Proxy{Host: "127.0.0.1", Port: uint16(ln.Addr().(*net.TCPAddr).Port), Activator: proxy},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{}, 2)
	go func() { _ = proxy.Run(ctx, ln); ended <- struct{}{} }()
	go func() { _ = component.Run(ctx); ended <- struct{}{} }()
	defer func() { cancel(); <-ended; <-ended }()
	until(t, "the component has joined", component.Connected)

	const size = 8 << 20
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, python, filepath.Join("testdata", "stranger.py"), strconv.Itoa(c2s), strangerDomain, strangerRelay, strconv.Itoa(size))
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("slixmpp: %v\n%s%s", err, out, stderr.String())
	}
	var got map[string]any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	text := func(k string) string { s, _ := got[k].(string); return s }
	for key, wants := range map[string][]string{
		"info":            {`category="proxy"`, `type="bytestreams"`, "urn:xmpp:extdisco:2"},
		"services":        {`host="relay.example.com"`, `port="3478"`, "password=", ":alice@" + strangerDomain},
		"nodes":           {`uri="turn:relay.example.com:3478?transport=udp"`, "password="},
		"server_services": {`host="relay.example.com"`, "password="},
		"after":           {`type="result"`},
	} {
		for _, want := range wants {
			if !strings.Contains(text(key), want) {
				t.Errorf("%s lacks %s: %s", key, want, text(key))
			}
		}
	}
	// The server's own credentials, made from the same secret, open the relay too.
	for _, key := range []string{"services", "server_services"} {
		user, pass := attribute(text(key), "username"), attribute(text(key), "password")
		if credentials.Password(sharedSecret, user) != pass {
			t.Errorf("%s: %q does not go with %q", key, pass, user)
		}
		if _, _, ok := issuer.Check(time.Now(), user); !ok {
			t.Errorf("%s: user name %q is not accepted", key, user)
		}
	}
	if fmt.Sprint(got["proxies"]) != "["+strangerRelay+"]" {
		t.Errorf("proxies: %v", got["proxies"])
	}
	if text("sent") == "" || text("sent") != text("received") {
		t.Errorf("sent %s, received %s", text("sent"), text("received"))
	}
	if c := proxy.Counters(); c.StreamsTotal != 1 || c.Bytes < size {
		t.Errorf("%+v", c)
	}
	if c := component.Counters(); c.Connects != 1 {
		t.Errorf("the component lost its connection: %+v", c)
	}
}

func attribute(xml, name string) string {
	_, rest, _ := strings.Cut(xml, " "+name+`="`)
	v, _, _ := strings.Cut(rest, `"`)
	return strings.NewReplacer("&amp;", "&", "&quot;", `"`, "&lt;", "<", "&gt;", ">").Replace(v)
}
