package testkit

import (
	"os"
	"testing"
)

// ProsodySASL2 starts a Prosody with the community's modules for logins in one go (XEP-0388, 0386, 0484). Debian has them in a package of their own.
func ProsodySASL2(t testing.TB) *Server {
	t.Helper()
	if _, err := os.Stat("/usr/lib/prosody/modules/mod_sasl2_fast"); err != nil {
		Missing(t, "Prosody's community modules are not installed: sudo apt-get install prosody-modules")
	}
	return ProsodyWith(t, ProsodyConfig{Modules: []string{"newer", "sasl2", "sasl2_bind2", "sasl2_fast"},
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
