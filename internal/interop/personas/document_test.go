package personas

import (
	_ "embed"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/interop.md")

//go:embed testdata/interop.md
var prose string

// document is docs/interop.md: the prose with the tables in it.
func document(all []*persona, table map[string]map[string]verdict) string {
	var cols, clients, what strings.Builder
	cols.WriteString("| |")
	for _, p := range all {
		fmt.Fprintf(&cols, " %s |", p.name)
		fmt.Fprintf(&clients, "| %s | %s | %s |\n", p.name, p.version, p.notes)
	}
	cols.WriteString("\n|---|" + strings.Repeat("---|", len(all)) + "\n")
	for _, c := range cases {
		fmt.Fprintf(&cols, "| %s |", c.name)
		for _, p := range all {
			fmt.Fprintf(&cols, " %s |", table[p.name][c.name])
		}
		cols.WriteString("\n")
		fmt.Fprintf(&what, "- **%s**: %s.\n", c.name, c.what)
	}
	files, err := os.ReadFile(filepath.Join("..", "files", "testdata", "table.md")) // of the other test
	if err != nil {
		files = []byte(err.Error())
	}
	return strings.NewReplacer("{{files}}\n", string(files), "{{table}}\n", cols.String(), "{{clients}}\n", clients.String(), "{{cases}}\n", what.String()).Replace(prose)
}

// checkDocument compares docs/interop.md with what the calls have shown, or writes it.
func checkDocument(t *testing.T, all []*persona, table map[string]map[string]verdict) {
	t.Helper()
	text := document(all, table)
	t.Logf("\n%s", text)
	path := filepath.Join("..", "..", "..", "docs", "interop.md")
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	old, err := os.ReadFile(path)
	if err != nil || string(old) != text {
		t.Errorf("docs/interop.md does not say what the calls have shown: run make docs (%v)", err)
	}
}
