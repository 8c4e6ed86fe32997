package files

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/jingled/jingled/xmltree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write testdata/table.md")

func parse(t *testing.T, text string) *xmltree.Element {
	t.Helper()
	e, err := xmltree.Parse([]byte(text), xmltree.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestFiles goes through every case with every client, and compares the table that docs/interop.md has.
func TestFiles(t *testing.T) {
	verdicts := map[string]string{}
	for _, c := range cases {
		for _, d := range dialects {
			key := c.name + " / " + d.name
			if verdicts[key] = "–"; !c.has(d) {
				continue
			}
			if !t.Run(key, func(t *testing.T) {
				own := *d
				c.run(newScene(t, &own))
			}) {
				verdicts[key] = "no"
				continue
			}
			verdicts[key] = "yes"
		}
	}
	text := table(verdicts)
	path := filepath.Join("testdata", "table.md")
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old, err := os.ReadFile(path); err != nil || string(old) != text {
		t.Errorf("docs/interop.md does not say what the files have shown: run make docs (%v)\n%s", err, text)
	}
}

func table(verdicts map[string]string) string {
	var b strings.Builder
	b.WriteString("| |")
	for _, d := range dialects {
		fmt.Fprintf(&b, " %s |", d.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(dialects)) + "\n")
	for _, c := range cases {
		fmt.Fprintf(&b, "| %s |", c.name)
		for _, d := range dialects {
			fmt.Fprintf(&b, " %s |", verdicts[c.name+" / "+d.name])
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	for _, c := range cases {
		fmt.Fprintf(&b, "- **%s**: %s.\n", c.name, c.what)
	}
	b.WriteString("\n| client | version | what is peculiar |\n|---|---|---|\n")
	for _, d := range dialects {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", d.name, d.version, d.notes)
	}
	return b.String()
}
