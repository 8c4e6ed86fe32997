package relay

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/relay/component"
	"github.com/jingled/jingled/relay/turn"
)

const fullConfig = `
realm = "example.org"
[[listen]]
transport = "udp"
address = "192.0.2.1:3478"
[[listen]]
transport = "tcp"
address = "192.0.2.1:3478"
proxy_protocol = true
proxy_trusted = ["10.0.0.0/8"]
[relay]
min_port = 50000
max_port = 60000
[[relay.address]]
bind = "192.0.2.1"
advertise = "198.51.100.1"
[credentials]
secrets = ["the current secret, long enough", "the one before, long enough"]
ttl = "12h"
[[credentials.user]]
name = "alice"
md5 = "8493fbc53ba582fb4c044c456bdc40eb"
[limits]
sessions_per_user = 8
session_kbit = 4000
max_age = "8h"
[peers]
deny = ["203.0.113.0/24"]
[socks5]
listen = ["192.0.2.1:7777"]
[xmpp]
component = "relay.example.org"
secret = "s3cr3t"
domains = ["example.org"]
[fleet]
valkey = ["127.0.0.1:6379"]
[drain]
timeout = "5m"
alternates = ["192.0.2.2:3478"]
[metrics]
listen = "127.0.0.1:9641"
[access_log]
file = "/var/log/jingle-relay/access.json"
truncate_ipv4 = 24
retention = "168h"
`

func TestConfigReachesTheParts(t *testing.T) {
	c, err := Parse([]byte(fullConfig))
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.plan()
	if err != nil {
		t.Fatal(err)
	}
	tc := p.turn
	if tc.Realm != "example.org" || len(tc.Listeners) != 2 || !tc.Listeners[1].ProxyProtocol || tc.MinPort != 50000 || tc.MaxAge != 8*time.Hour ||
		tc.RelayAddresses[0].Advertise.String() != "198.51.100.1" || !tc.NoSHA256 || len(tc.Alternates) != 1 || tc.Peers == nil {
		t.Errorf("%+v", tc)
	}
	if p.limits.PerUser != 8 || p.limits.SessionRate != 500_000 {
		t.Errorf("%+v", p.limits)
	}
	if p.sources.Shared == nil || p.sources.Static.Len() != 1 || p.fleet == nil || p.fleet.Addresses[0] != "127.0.0.1:6379" {
		t.Error("credentials or fleet")
	}
	if p.component.Server != "127.0.0.1:5347" || p.cfg.XMPP.Host != "relay.example.org" {
		t.Errorf("%+v", p.component)
	}
	o := p.offer([]turn.BoundListener{{Transport: transports["udp"], Address: c.Listen[0].Address}, {Transport: transports["tcp"], Address: c.Listen[1].Address}}, nil, nil)
	if len(o.Services) != 3 || o.Services[0] != (component.Service{Type: "stun", Host: "relay.example.org", Port: 3478, Transport: "udp"}) || o.TTL != 12*time.Hour {
		t.Errorf("%+v", o)
	}
}

func TestEmptyConfig(t *testing.T) {
	c, err := Parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := c.plan()
	if len(p.turn.Listeners) != 4 || p.turn.Realm != "jingle-relay" || p.sources.Shared != nil {
		t.Errorf("%+v", p.turn)
	}
}

// Every mistake is named with its key and what to do, and no secret stands in a sentence.
func TestMistakes(t *testing.T) {
	for name, c := range map[string]struct{ toml, want string }{
		"unknown key":        {"relam = 'x'\n[limits]\nsession = 3", `line 1: there is no setting "relam"; line 3: there is no setting "limits.session"`},
		"not TOML":           {"realm = ", "line 1"},
		"wrong type":         {"realm = 3", "realm: must be of the type string, and is of the type integer"},
		"time span":          {"[drain]\ntimeout = '5'", "not a time span"},
		"transport":          {"[[listen]]\ntransport='sctp'\naddress='0.0.0.0:1'", "listen 1: transport \"sctp\" is none of"},
		"address":            {"[[listen]]\ntransport='udp'", "listen 1: address is missing"},
		"bad address":        {"[[listen]]\ntransport='udp'\naddress='example.org:3478'", "line 3"},
		"PROXY on UDP":       {"[[listen]]\ntransport='udp'\naddress='0.0.0.0:1'\nproxy_protocol=true", "proxy_protocol needs"},
		"TLS without":        {"[[listen]]\ntransport='tls'\naddress='0.0.0.0:1'", "tls: a tls or dtls listener needs certificate and key, or acme"},
		"no such file":       {"[tls]\ncertificate='/nonexistent'\nkey='/nonexistent'", "tls: open /nonexistent"},
		"terms":              {"[tls.acme]\ndomains=['a.example']", "agree_to_terms"},
		"short secret":       {"[credentials]\nsecrets=['hunter2']", "credentials.secrets: "},
		"token key":          {"[[credentials.token_key]]\nid='k'\nkey='%%hunter2%%'", "is not base64"},
		"user key":           {"[[credentials.user]]\nname='a'\nmd5='hunter2'", "credentials.user: "},
		"rate":               {"[limits]\nuser_kbit=1", "limits: "},
		"negative rate":      {"[limits]\nuser_kbit=-1", "limits.user_kbit"},
		"allow all":          {"[peers]\nallow=['0.0.0.0/0']", "peers: "},
		"proxy alone":        {"[socks5]\nlisten=['0.0.0.0:7777']", "socks5.listen: the proxy is activated over XMPP"},
		"no domains":         {"[xmpp]\ncomponent='r.example'\nsecret='s'", "name the domains"},
		"no secret":          {"[xmpp]\ncomponent='r.example'\ndomains=['example']", "secret shared with the XMPP server is missing"},
		"two secrets":        {"[xmpp]\ncomponent='r.example'\nsecret='hunter2'\nsecret_file='x'\ndomains=['e']", "both given"},
		"itself":             {"[xmpp]\ncomponent='r.example'\nsecret='s'\ndomains=['R.example']", "is the component itself"},
		"leftovers":          {"[xmpp]\ndomains=['e']", "xmpp.component: is missing"},
		"families":           {"[[relay.address]]\nbind='192.0.2.1'\nadvertise='2001:db8::1'", "different families"},
		"ports":              {"[relay]\nmin_port=80", "relay.min_port"},
		"valkey":             {"[fleet]\nvalkey=['localhost']", "fleet.valkey"},
		"discovery":          {"[discovery]\nprimary='192.0.2.1'", "discovery: needs two different addresses"},
		"level":              {"[log]\nlevel='loud'", "log.level"},
		"offload":            {"[performance]\noffload='gpu'", "performance.offload"},
		"truncation":         {"[access_log]\ntruncate_ipv4=33", "access_log"},
		"backend":            {"[[listen]]\ntransport='tcp'\naddress='0.0.0.0:1'\nhttp_backend='x:1'", "http_backend needs a tls listener"},
		"several at once":    {"[log]\nlevel='loud'\n[limits]\nuser_kbit=-1", "log.level"},
		"MD5 only, refused":  {"[credentials]\nno_md5=true\n[[credentials.user]]\nname='a'\nmd5='8493fbc53ba582fb4c044c456bdc40eb'", "credentials.no_md5"},
		"secrets file empty": {"[credentials]\nsecrets_file='/dev/null'", "is empty"},
	} {
		_, err := Parse([]byte(c.toml))
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: a secret stands in the error: %v", name, err)
		}
	}
}

func TestSecretsFromFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		f := filepath.Join(dir, name)
		if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return f
	}
	c, err := Parse([]byte("[credentials]\nsecrets_file='" + write("s", "# current\nthe current secret, long enough\n\nthe one before, long enough\n") +
		"'\n[xmpp]\ncomponent='r.example'\ndomains=['e.example']\nsecret_file='" + write("x", "s3cr3t\n") + "'"))
	if err != nil {
		t.Fatal(err)
	}
	p, _ := c.plan()
	if p.component.Secret != "s3cr3t" || len(p.sources.Shared.Keys(time.Unix(1, 0), 1, "99999", "r")) != 2 {
		t.Error("secrets were not read")
	}
	if _, err := Load(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "--dev") {
		t.Error(err)
	}
}
