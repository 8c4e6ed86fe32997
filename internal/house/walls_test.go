package house

import (
	"fmt"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/jingled/jingled"

// room says where packages stand in the house. Imports point down, or to the side within a floor.
type room struct {
	path  string // relative to the module; "/..." takes what lies below too. The exact, then the longest match counts.
	floor int
}

// The floors, from the ground up. docs/architecture.md has the picture.
const (
	ground      = iota // values that know nothing of the project
	core               // XEP-0166
	payloads           // XML of the other XEPs, and pure machines on it
	engine             // runs sessions
	connections        // to the server, to the peer, to the media
	product            // what people embed
	commands
)

var rooms = []room{
	{"xmltree", ground},
	{"jid", ground},
	{"api/...", ground}, // generated from its schema
	{"internal/xeps/...", ground},
	{"internal/house", ground},
	{"internal/selfsigned", ground},
	{"internal/testsum", ground},
	{"internal/memlisten", ground},
	{"internal/pionlog", ground},
	{"internal/buildinfo", ground},
	{"internal/manual", ground},
	{"internal/usage", ground},
	{"internal/terminal", ground},
	{"jingle", core},
	{"internal/xmppserver/...", core}, // knows stanzas only
	{"internal/testkit/...", core},
	{"internal/codectest", core},
	{"internal/xmpptest", connections},
	{"internal/interop/...", commands}, // tests of the whole against strangers
	{"internal/natlab", commands},      // tests of the whole through NATs
	{"internal/bench", commands},       // benchmarks of the whole
	{"internal/faults", commands},      // tests of the whole while things break
	{"jingle/...", payloads},
	{"ice", payloads},
	{"filetransfer", payloads},
	{"filetransfer/hashes", payloads},
	{"filetransfer/resume", payloads},
	{"jingle/engine/...", engine},
	{"ice/extdisco", payloads},
	{"ice/...", connections},
	{"media/...", connections},
	{"filetransfer/...", connections},
	{"xmpp/...", connections},
	{"web/...", connections},
	{"daemon/...", product},
	{"cmd/...", commands},
	{"examples/...", commands},
}

// find returns the room of a package, by its path relative to the module.
func find(rel string) (room, bool) {
	best, found := room{}, false
	for _, r := range rooms {
		if r.path == rel {
			return r, true
		}
		base, below := strings.CutSuffix(r.path, "/...")
		if below && (rel == base || strings.HasPrefix(rel, base+"/")) && len(r.path) > len(best.path) {
			best, found = r, true
		}
	}
	return best, found
}

// checkImport returns what is wrong with one import of a non-test file, or "". Both paths of the project are relative
// to the module; own says that imp is one of them.
func checkImport(pkg, imp string, own bool) string {
	under := func(p, base string) bool { return p == base || strings.HasPrefix(p, base+"/") }
	isRelay := func(p string) bool { return under(p, "relay") }
	if !own {
		foreignStack := strings.HasPrefix(imp, "github.com/pion/") || strings.HasPrefix(imp, "mellium.im/")
		switch {
		case foreignStack && (pkg == "jingle" || strings.HasPrefix(pkg, "jingle/") || pkg == "ice" || pkg == "filetransfer" ||
			under(pkg, "xmltree") || under(pkg, "jid")):
			return "the pure rooms import neither pion nor mellium"
		case strings.HasPrefix(imp, "mellium.im/") && !under(pkg, "xmpp") && !isRelay(pkg) && !under(pkg, "examples"):
			return "mellium is imported by xmpp, and by relay for its component, alone"
		}
		return ""
	}
	switch {
	case isRelay(pkg) && !isRelay(imp):
		return "relay imports nothing else of the project"
	case isRelay(imp) && !isRelay(pkg) && !under(pkg, "cmd"):
		return "only cmd imports relay"
	case isRelay(imp):
		return ""
	case under(imp, "internal/testkit") && pkg != "internal/xmpptest":
		return "internal/testkit is for tests"
	case under(imp, "internal/xmpptest"):
		return "internal/xmpptest is for tests"
	case under(imp, "internal/xmppserver") && pkg != imp && !under(pkg, "cmd") && !under(pkg, "internal/testkit") && pkg != "internal/xmpptest":
		return "internal/xmppserver is for the demo and tests"
	case under(imp, "xmpp") && !under(pkg, "xmpp") && !under(pkg, "daemon") && !under(pkg, "cmd") && pkg != "internal/xmpptest":
		return "only the daemon and above import xmpp; the others are given what they need as small interfaces"
	}
	from, ok := find(pkg)
	if !ok {
		return "this package has no room yet: give it one in internal/house/walls_test.go"
	}
	to, ok := find(imp)
	if !ok {
		return "the imported package has no room yet: give it one in internal/house/walls_test.go"
	}
	if to.floor > from.floor {
		return fmt.Sprintf("points up, from floor %d to floor %d", from.floor, to.floor)
	}
	if from.floor == ground && from.path != to.path {
		return "rooms of the ground floor import nothing of the project"
	}
	return ""
}

// TestWalls forbids imports that point up, in the code of every platform. Tests may import what they like.
func TestWalls(t *testing.T) {
	n := 0
	for _, f := range goFiles(t) {
		if strings.HasSuffix(f.path, "_test.go") {
			continue
		}
		pkg := path.Dir(f.path)
		for _, imp := range f.imports(t) {
			n++
			rel, own := strings.CutPrefix(imp, module+"/")
			if bad := checkImport(pkg, rel, own); bad != "" {
				t.Errorf("%s imports %s: %s", f.path, imp, bad)
			}
		}
	}
	if n < 10 {
		t.Fatalf("only %d imports seen: the walk is broken", n)
	}
}

// TestPureRooms looks at what the pure rooms import by way of others.
func TestPureRooms(t *testing.T) {
	var pure []string
	for _, dir := range packageDirs(t) {
		if r, ok := find(dir); ok && r.floor <= engine && !strings.HasPrefix(dir, "internal/") && dir != "api" && !strings.HasPrefix(dir, "api/") {
			pure = append(pure, "./"+dir)
		}
	}
	if !slices.Contains(pure, "./jingle") {
		t.Fatalf("jingle is not among the pure rooms %v", pure)
	}
	cmd := exec.Command("go", append([]string{"list", "-e", "-deps"}, pure...)...)
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dep := range strings.Lines(string(out)) {
		dep = strings.TrimSpace(dep)
		if strings.HasPrefix(dep, "github.com/pion/") || strings.HasPrefix(dep, "mellium.im/") || dep == "net/http" {
			t.Errorf("one of %v depends on %s", pure, dep)
		}
	}
}

// TestWallsHold gives checkImport the imports that must fall and those that must stand.
func TestWallsHold(t *testing.T) {
	for _, c := range []struct {
		pkg, imp string
		own, ok  bool
	}{
		{"jingle", "xmltree", true, true},
		{"jingle", "jingle/rtp", true, false},
		{"jingle/rtp", "jingle", true, true},
		{"jingle/sdp", "jingle/rtp", true, true},
		{"jingle/rtp", "jingle/engine", true, false},
		{"jingle/engine", "ice", true, true},
		{"jingle/engine", "ice/agent", true, false},
		{"jid", "xmltree", true, false},
		{"ice", "github.com/pion/ice/v4", false, false},
		{"ice/agent", "github.com/pion/ice/v4", false, true},
		{"filetransfer", "github.com/pion/webrtc/v4", false, false},
		{"filetransfer/datachannel", "github.com/pion/webrtc/v4", false, true},
		{"filetransfer", "filetransfer/s5b", true, false},
		{"filetransfer/s5b", "filetransfer", true, true},
		{"media", "mellium.im/xmpp", false, false},
		{"xmpp", "mellium.im/xmpp", false, true},
		{"relay", "mellium.im/xmpp/component", false, true},
		{"media", "xmpp", true, false},
		{"daemon", "xmpp", true, true},
		{"xmpp", "daemon", true, false},
		{"relay", "jid", true, false},
		{"relay/turn", "relay", true, true},
		{"daemon", "relay", true, false},
		{"cmd/jingle-relay", "relay", true, true},
		{"daemon", "internal/xmppserver", true, false},
		{"cmd/jingle", "internal/xmppserver", true, true},
		{"daemon", "internal/testkit", true, false},
		{"daemon", "internal/xmpptest", true, false},
		{"internal/xmpptest", "internal/testkit", true, true},
		{"somewhere", "jingle", true, false},
	} {
		if got := checkImport(c.pkg, c.imp, c.own); (got == "") != c.ok {
			t.Errorf("%s imports %s: got %q, want allowed=%t", c.pkg, c.imp, got, c.ok)
		}
	}
}
