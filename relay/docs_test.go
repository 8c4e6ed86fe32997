package relay

import (
	"bytes"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

func readDoc(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Every test that docs/relay-security.md names exists.
func TestSecurityDocNamesTestsThatExist(t *testing.T) {
	have := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch {
		case strings.HasSuffix(path, ".txt"):
			have[filepath.Base(path)] = true
		case strings.HasSuffix(path, "_test.go"):
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(string(b), -1) {
				have[m[1]] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("\\b(?:Test|Fuzz)[A-Z]\\w+|`[a-z]+\\.txt`").FindAllString(readDoc(t, "docs/relay-security.md"), -1)
	if len(named) < 50 {
		t.Fatalf("only %d tests are named", len(named))
	}
	for _, n := range named {
		if n = strings.Trim(n, "`"); !have[n] {
			t.Errorf("docs/relay-security.md names %s, which does not exist", n)
		}
	}
}

// Every configuration in the documents and packages is in the words of this version.
func TestDocumentedConfigurations(t *testing.T) {
	var all []string
	for _, doc := range []string{"docs/relay.md", "docs/relay-scale.md"} {
		for _, m := range regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllStringSubmatch(readDoc(t, doc), -1) {
			all = append(all, m[1])
		}
	}
	all = append(all, readDoc(t, "packaging/relay/jingle-relay.toml"))
	if len(all) < 8 {
		t.Fatalf("only %d configurations were found", len(all))
	}
	for _, text := range all {
		var c Config
		if err := toml.NewDecoder(bytes.NewReader([]byte(text))).DisallowUnknownFields().Decode(&c); err != nil {
			t.Errorf("%v in\n%s", explain(err), text)
		}
	}
	if c, err := Parse([]byte(readDoc(t, "packaging/relay/jingle-relay.toml"))); err != nil {
		t.Errorf("the packaged configuration: %v", err)
	} else if c.Metrics.Listen.Port() == 0 {
		t.Error("the packaged configuration has no metrics")
	}
}

// Every metric that the dashboard and the documents use exists.
func TestDocumentedMetrics(t *testing.T) {
	certified, _ := tlsListen(t, "")
	r := run(t, func(c *Config) {
		certified(c)
		c.SOCKS5.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
		c.XMPP = XMPP{Component: "relay.test", Server: "127.0.0.1:1", Secret: "s", Domains: []string{"test"}}
		c.Fleet.Valkey = []string{"127.0.0.1:1"}
	})
	r.allocate("u")
	_, body := r.get("/metrics")
	for _, doc := range []string{"packaging/relay/grafana.json", "docs/relay.md", "docs/relay-scale.md"} {
		for _, m := range regexp.MustCompile(`\bjingle_relay_\w+`).FindAllString(readDoc(t, doc), -1) {
			if !strings.Contains(body, "# TYPE "+m+" ") {
				t.Errorf("%s uses %s, which does not exist", doc, m)
			}
		}
	}
}
