package testkit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/selfsigned"
)

// EjabberdConfig is what a test may ask of its ejabberd. The zero value is the usual one.
type EjabberdConfig struct {
	// Modules are lines of YAML that are added to the modules, indented by two spaces.
	Modules string
	// Listen are lines of YAML that are added to the listeners, likewise.
	Listen string
	// NoModules are left out, e.g. mod_stream_mgmt.
	NoModules []string
	// ProxyStreams is how many SOCKS5 bytestreams its proxy carries for a user at once; 0 is any number, and 5 is in
	// ejabberd's example of a configuration.
	ProxyStreams int
	// Rates holds clients to the rates of Debian's configuration.
	Rates bool
	// Address is where it listens, 127.0.0.1 if empty; another one is for a network of [InNetwork].
	Address string
}

// Ejabberd starts an ejabberd with [EjabberdConfig]'s zero value.
func Ejabberd(t testing.TB) *Server {
	t.Helper()
	return EjabberdWith(t, EjabberdConfig{})
}

// EjabberdWith starts an ejabberd. It ends with the test.
func EjabberdWith(t testing.TB, cfg EjabberdConfig) *Server {
	t.Helper()
	return ofTest(t, ejabberdIn(t, t.TempDir(), cfg), "ejabberd")
}

// ejabberdIn starts an ejabberd whose files are in a folder; the caller ends it.
func ejabberdIn(t testing.TB, dir string, cfg EjabberdConfig) *Server {
	t.Helper()
	if cfg.Address == "" {
		cfg.Address = "127.0.0.1"
	}
	e := &ejabberd{dir: dir, erl: Binary(t, "erl", "ejabberd"), cfg: cfg}
	libs, _ := filepath.Glob("/usr/lib/*/ejabberd-*")
	if len(libs) == 0 {
		Missing(t, "ejabberd is not where Debian puts it: sudo apt-get install ejabberd")
	}
	e.libs = filepath.Dir(libs[0])
	chain, err := selfsigned.New(Domain, "conference."+Domain, "proxy."+Domain, "localhost", cfg.Address)
	if err != nil {
		t.Fatal(err)
	}
	e.write(t, "ca.pem", chain.CA)
	e.write(t, "server.pem", append(append([]byte{}, chain.Key...), chain.Cert...))
	for attempt := 1; ; attempt++ {
		if err = e.launch(t, FreePorts(t, 5)); err == nil {
			break
		}
		if attempt == 3 {
			t.Fatalf("ejabberd does not start: %v", err)
		}
	}
	s := &Server{
		Kind:   KindEjabberd,
		Domain: Domain, CA: chain.CA, CAFile: filepath.Join(e.dir, "ca.pem"),
		Addr: e.addr(0), DirectTLSAddr: e.addr(1), HTTPAddr: e.addr(2), ComponentAddr: e.addr(4),
		ComponentDomain: "component." + Domain, ComponentSecret: "component-secret",
		ProxyJID: "proxy." + Domain, MUC: "conference." + Domain,
		addUser: func(t testing.TB, user, password string) {
			e.api(t, "register", map[string]any{"user": user, "host": Domain, "password": password})
		},
		befriend: func(t testing.TB, a, b string) {
			for _, p := range [][2]string{{a, b}, {b, a}} {
				e.api(t, "add_rosteritem", map[string]any{
					"localuser": p[0], "localhost": Domain, "user": p[1], "host": Domain, "nick": "", "group": "", "subs": "both",
				})
			}
		},
		restart: func(t testing.TB, end func(*process)) {
			time.Sleep(time.Until(time.Unix(0, e.changed.Load()).Add(written)))
			end(e.proc)
			if err := e.launch(t, e.ports); err != nil {
				t.Fatalf("ejabberd does not start again: %v", err)
			}
		},
		stop: func() { e.proc.stop() },
		log:  func() string { return e.proc.out.String() },
	}
	if slices.Contains(cfg.NoModules, "mod_proxy65") {
		s.ProxyJID = ""
	}
	return s
}

type ejabberd struct {
	dir, erl, libs string
	cfg            EjabberdConfig
	ports          []int // c2s, direct TLS, HTTP, proxy65, components
	proc           *process
	changed        atomic.Int64 // when the API was used last, in nanoseconds as of [time.Time.UnixNano]
}

// written is how long Mnesia takes to write what it was told. Whoever is killed before that has lost accounts.
const written = 5 * time.Second

func (e *ejabberd) addr(i int) string { return e.cfg.Address + ":" + strconv.Itoa(e.ports[i]) }

func (e *ejabberd) write(t testing.TB, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(e.dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (e *ejabberd) launch(t testing.TB, ports []int) error {
	t.Helper()
	e.ports = ports
	conf := filepath.Join(e.dir, "ejabberd.yml")
	e.write(t, "ejabberd.yml", []byte(e.config()))
	// The Erlang machine is started without a name: then it starts no name server that would stay behind.
	cmd := exec.Command(e.erl, "-noinput", "-mnesia", "dir", strconv.Quote(filepath.Join(e.dir, "spool")), "-s", "ejabberd")
	cmd.Dir = e.dir
	cmd.Env = append(os.Environ(), "ERL_LIBS="+e.libs, "EJABBERD_CONFIG_PATH="+conf, "HOME="+e.dir,
		"EJABBERD_LOG_PATH="+filepath.Join(e.dir, "ejabberd.log"), "ERL_CRASH_DUMP="+filepath.Join(e.dir, "crash"))
	var err error
	if e.proc, err = start(cmd); err != nil {
		return err
	}
	if err = e.proc.waitPorts(2*time.Minute, e.listening()...); err != nil {
		e.proc.stop()
	}
	return err
}

// listening are the addresses that are to be open.
func (e *ejabberd) listening() []string {
	out := []string{e.addr(0), e.addr(1), e.addr(2), e.addr(4)}
	if !slices.Contains(e.cfg.NoModules, "mod_proxy65") {
		out = append(out, e.addr(3))
	}
	return out
}

// api calls one of ejabberd's commands.
func (e *ejabberd) api(t testing.TB, command string, args map[string]any) {
	t.Helper()
	defer func() { e.changed.Store(time.Now().UnixNano()) }()
	body, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+e.addr(2)+"/api/"+command, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	// No connection is kept: a test that looks for goroutines would find it.
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if out, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16)); resp.StatusCode != http.StatusOK {
		t.Fatalf("ejabberd: %s: %s: %s", command, resp.Status, out)
	}
}

func (e *ejabberd) config() string {
	shaper, streams := "none", "infinity"
	if e.cfg.ProxyStreams > 0 {
		streams = strconv.Itoa(e.cfg.ProxyStreams)
	}
	if e.cfg.Rates {
		shaper = "c2s_shaper"
	}
	text := fmt.Sprintf(`# Made for one test.
hosts: [%[1]q]
loglevel: info
certfiles: [%[2]q]
ca_file: %[3]q
auth_method: internal
auth_password_format: plain
api_permissions:
  "all":
    who: all
    what: "*"
shaper:
  normal: {rate: 3000, burst_size: 20000}
shaper_rules:
  c2s_shaper: normal
listen:
  - {port: %[4]d, ip: %[11]q, module: ejabberd_c2s, access: all, shaper: %[12]s, starttls_required: true}
  - {port: %[5]d, ip: %[11]q, module: ejabberd_c2s, access: all, shaper: %[12]s, tls: true}
  - port: %[6]d
    ip: %[11]q
    module: ejabberd_http
    request_handlers:
      "/api": mod_http_api
      "/http-bind": mod_bosh
      "/xmpp-websocket": ejabberd_http_ws
  - port: %[8]d
    ip: %[11]q
    module: ejabberd_service
    shaper: none
    hosts:
      "component.%[1]s": {password: "component-secret"}
%[10]smodules:
  mod_admin_extra: {}
  mod_adhoc: {}
  mod_blocking: {}
  mod_bosh: {}
  mod_caps: {}
  mod_carboncopy: {}
  mod_client_state: {}
  mod_disco: {}
  mod_last: {}
  mod_mam: {default: always}
  mod_muc: {host: "conference.%[1]s", access: all, access_create: all}
  mod_offline: {}
  mod_ping: {}
  mod_privacy: {}
  mod_proxy65: {host: "proxy.%[1]s", ip: %[11]q, port: %[7]d, access: all, max_connections: %[13]s}
  mod_pubsub: {plugins: [flat, pep]}
  mod_roster: {}
  mod_stream_mgmt: {resend_on_timeout: if_offline}
  mod_vcard: {}
%[9]s`, Domain, filepath.Join(e.dir, "server.pem"), filepath.Join(e.dir, "ca.pem"),
		e.ports[0], e.ports[1], e.ports[2], e.ports[3], e.ports[4], e.cfg.Modules, e.cfg.Listen, e.cfg.Address, shaper, streams)
	for _, m := range e.cfg.NoModules {
		text = regexp.MustCompile(`(?m)^  `+m+`:.*\n`).ReplaceAllString(text, "")
	}
	return text
}
