package xmpp_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
	"github.com/jingled/jingled/xmpp/carbons"
)

// modern starts a Prosody with the community's modules for logins in one go. Debian has them in a package of their own.
func modern(t *testing.T) *testkit.Server {
	t.Helper()
	if _, err := os.Stat("/usr/lib/prosody/modules/mod_sasl2_fast"); err != nil {
		testkit.Missing(t, "Prosody's community modules are not installed: sudo apt-get install prosody-modules")
	}
	return testkit.ProsodyWith(t, testkit.ProsodyConfig{Modules: []string{"newer", "sasl2", "sasl2_bind2", "sasl2_fast"},
		Plugins: map[string]string{"newer": newer}})
}

// newer gives Prosody 0.12 what its community's modules of the same age expect of the next version. For mod_sasl2_sm there
// is too much missing.
const newer = `
local stanza = require "util.stanza".stanza_mt.__index;
stanza.get_child_attr = stanza.get_child_attr or function (self, name, xmlns, attr)
	local child = self:get_child(name, xmlns);
	return child and child.attr[attr] or nil;
end
local datetime = require "util.datetime";
local whole = datetime.datetime;
datetime.datetime = function (t) return whole(t and math.floor(t)); end
module:hook("stream-features", function (event)
	event.stream = event.stream or { from = "somebody@" .. module.host };
end, 1000);
-- Without channel binding in this version, tokens with it cannot be checked.
module:hook("advertise-sasl-features", function (event)
	local fast = event.features:get_child("fast", "urn:xmpp:fast:0");
	if fast then
		fast:maptags(function (tag) return tag:get_text() == "HT-SHA-256-NONE" and tag or nil; end);
	end
end, -10);
local function add(name, method)
	module:hook("stream-features", function (event)
		local conn = event.origin.conn;
		local mt = conn and getmetatable(conn);
		if mt and type(mt.__index) == "table" and not mt.__index[name] then mt.__index[name] = method; end
	end, 1000);
end
add("ssl_info", function (conn)
	local sock = conn:socket();
	return sock and sock.info and sock:info() or nil;
end);
add("ssl_exportkeyingmaterial", function (conn, ...)
	local sock = conn:socket();
	return sock and sock.exportkeyingmaterial and sock:exportkeyingmaterial(...) or nil;
end);
`

// TestSASL2 logs in by XEP-0388 with the password, then with a token (XEP-0484), with a resource of ours and with one that
// comes with the login (XEP-0386).
func TestSASL2(t *testing.T) {
	s := modern(t)
	for _, tc := range []struct {
		name  string
		bind2 bool
		web   bool
	}{{"legacy binding", false, false}, {"Bind 2", true, false}, {"WebSocket", true, true}} {
		t.Run(tc.name, func(t *testing.T) {
			alice := jid.MustParse(s.AddUser(t, strings.ReplaceAll(strings.ToLower(tc.name), " ", "-"), "secret"))
			var log logLines
			store := &kept{}
			cfg := account(s, alice, "phone")
			cfg.Bind2, cfg.Tokens, cfg.Logger, cfg.InstallID = tc.bind2, store, log.logger(), "d4565fa7-4d72-4749-b3d3-740edbf87770"
			if tc.web {
				web(s, "ws")(&cfg)
			}
			mine := make(chan *xmpp.Message, 10)
			login := func(resource, mechanism string) *xmpp.Client {
				t.Helper()
				cfg.Resource = resource
				c := start(t, cfg, func(c *xmpp.Client) { c.HandleMessage(func(m *xmpp.Message) { mine <- m }) })
				if err := c.Ping(t.Context(), ""); err != nil {
					t.Error(err)
				}
				if !log.has("logged in", "mechanism="+mechanism, c.JID().Resource()) {
					t.Errorf("not by %s:\n%s", mechanism, log.String())
				}
				if !strings.HasPrefix(c.JID().Resource(), resource) || !tc.bind2 && c.JID().Resource() != resource {
					t.Errorf("bound as %s", c.JID())
				}
				return c
			}
			if tc.web {
				login("one", "SCRAM-SHA-256") // without a channel of our own there is nothing to bind to
				return
			}
			first := login("one", "SCRAM-SHA-256")
			if store.t.Mechanism == "" || store.t.Secret == "" || time.Until(store.t.Expires) < time.Hour {
				t.Fatalf("the token is %+v", store.t)
			}
			t.Logf("a token for %s until %v", store.t.Mechanism, store.t.Expires)
			cfg.Password = func() (string, error) { t.Error("the password was asked for"); return "", nil }
			login("two", store.t.Mechanism)
			// Carbons are on, however they were switched on.
			if err := first.Send(chat(alice+"/nobody", "x")); err != nil {
				t.Fatal(err)
			}
			for m := wait(t, "copy", mine); m.Kind != carbons.Sent; {
				m = wait(t, "copy", mine)
			}

			// A token that the server does not know costs another attempt, not the login.
			store.t.Secret = "nonsense"
			cfg.Password = password("secret")
			login("three", "SCRAM-SHA-256")
			if store.t.Secret == "nonsense" || store.t.Secret == "" {
				t.Error("there is no new token")
			}
		})
	}
}

// kept keeps a token.
type kept struct{ t xmpp.Token }

func (k *kept) Token() xmpp.Token { return k.t }
func (k *kept) Keep(t xmpp.Token) { k.t = t }

// TestResumeWithSASL2 cuts connections as TestResumeWithProsody does; the stream is resumed along with the login.
func TestResumeWithSASL2(t *testing.T) {
	s := modern(t)
	for _, bind2 := range []bool{false, true} {
		var log logLines
		resumes(t, s, 4, func(c *xmpp.Config) { c.Bind2, c.Logger = bind2, log.logger() })
		if !log.has("logged in", "resumed=true", "mechanism=HT-SHA-256") {
			t.Errorf("no stream was resumed with a token:\n%s", log.String())
		}
	}
}
