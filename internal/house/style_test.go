package house

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxLines is where a file holds more than one idea.
const maxLines = 600

func TestFileLength(t *testing.T) {
	for _, f := range goFiles(t) {
		if n := strings.Count(f.text, "\n"); n > maxLines && !f.generated() {
			t.Errorf("%s has %d lines, at most %d are allowed: one idea per file", f.path, n, maxLines)
		}
	}
}

func TestPackageNames(t *testing.T) {
	vague := []string{"util", "utils", "common", "helper", "helpers", "misc", "base", "shared"}
	for _, f := range goFiles(t) {
		if name := f.parse(t).Name.Name; slices.Contains(vague, strings.TrimSuffix(name, "_test")) {
			t.Errorf("%s: package %s says nothing of what it holds", f.path, name)
		}
	}
}

// TestNoHiddenStart forbids init functions, what runs before main without being called.
func TestNoHiddenStart(t *testing.T) {
	for _, f := range goFiles(t) {
		if strings.HasSuffix(f.path, "_test.go") || f.generated() {
			continue
		}
		for _, d := range f.parse(t).Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function: say what is to be done where it is needed", f.path)
			}
		}
	}
}

// TestLinterNotSilenced forbids the comments that turn the linter off.
func TestLinterNotSilenced(t *testing.T) {
	directive := regexp.MustCompile(`(?m)//\s*(no` + `lint|lint:ig` + `nore|revive:dis` + `able)`)
	for _, f := range goFiles(t) {
		if m := directive.FindString(f.text); m != "" {
			t.Errorf("%s silences the linter with %q: change the code or the rule", f.path, m)
		}
	}
}

// TestGoMod checks what would keep others from using the module as it is.
func TestGoMod(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if regexp.MustCompile(`(?m)^\s*replace\b`).Match(b) {
		t.Error("go.mod has a replace: go install refuses such a module")
	}
	if _, err := os.Stat(filepath.Join(root(t), "go.work")); err == nil {
		t.Error("there is a go.work: the module must build without it")
	}
}

// TestNoMachinePaths looks for paths of one developer's machine in what is published.
func TestNoMachinePaths(t *testing.T) {
	bad := regexp.MustCompile(`(^|[\s"'(=` + "`" + `:])/(` + `work|root|home/[a-z]+|Users/[A-Za-z]+)/[a-z.]`)
	published := []string{".go", ".md", ".mod", ".sh", ".yml", ".yaml", ".toml", ".txt", ".txtar", ".proto", ".lua", ".py", ".ts", ".html", ".service"}
	for _, p := range files(t) {
		if !slices.Contains(published, path.Ext(p)) && path.Base(p) != "Makefile" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(root(t), p))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(string(b)) {
			if n++; bad.MatchString(line) && !strings.Contains(line, "/home/user/") {
				t.Errorf("%s:%d names a path of one machine: %s", p, n, strings.TrimSpace(line))
			}
		}
	}
}
