package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// root returns the module's directory.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = up
	}
}

// files returns the project's files, slash-separated and relative to its root, but not what is built or hidden.
func files(t *testing.T) []string {
	t.Helper()
	base := root(t)
	var out []string
	err := filepath.WalkDir(base, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(base, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			hidden := strings.HasPrefix(d.Name(), ".") && rel != "."
			if hidden || rel == "bin" || rel == "dist" || d.Name() == "node_modules" || d.Name() == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		out = append(out, rel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// goFile is one source file.
type goFile struct{ path, text string }

func goFiles(t *testing.T) []goFile {
	t.Helper()
	var out []goFile
	for _, p := range files(t) {
		if path.Ext(p) != ".go" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(root(t), p))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, goFile{p, string(b)})
	}
	return out
}

// packageDirs returns the directories that hold non-test Go files.
func packageDirs(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, f := range goFiles(t) {
		if !strings.HasSuffix(f.path, "_test.go") {
			out = append(out, path.Dir(f.path))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (f goFile) parse(t *testing.T) *ast.File {
	t.Helper()
	a, err := parser.ParseFile(token.NewFileSet(), f.path, f.text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (f goFile) imports(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, s := range f.parse(t).Imports {
		p, err := strconv.Unquote(s.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

var generatedMark = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

func (f goFile) generated() bool { return generatedMark.MatchString(f.text) }
