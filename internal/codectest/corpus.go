package codectest

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// SameBack checks that each text is written back as it was read.
func SameBack(t *testing.T, parse jingle.Parse, texts ...string) {
	t.Helper()
	Suite{Parse: parse, Same: texts}.Run(t)
}

// Refused checks that each text gives an [*xmltree.Error].
func Refused(t *testing.T, parse jingle.Parse, texts ...string) {
	t.Helper()
	Suite{Parse: parse, Refused: texts}.Run(t)
}

// Fuzz is [Suite.Fuzz] for all that is known to reg. Seeds are the texts and the examples of the folders, where present.
func Fuzz(f *testing.F, reg *jingle.Registry, folders []string, seeds ...string) {
	f.Helper()
	for _, e := range corpusElements(f, reg, folders) {
		seeds = append(seeds, e.String())
	}
	Suite{Parse: known(reg), Same: seeds}.Fuzz(f)
}

// Corpus checks that every element known to reg in the examples of these folders is written back as it was read.
// wantSome is the least number of such elements. The test is skipped where the examples are not present.
func Corpus(t *testing.T, reg *jingle.Registry, wantSome int, folders ...string) {
	t.Helper()
	found := corpusElements(t, reg, folders)
	if found == nil {
		t.Skip("the folder with the specifications' examples is not present beside the project")
	}
	for _, e := range found {
		p, err := reg.Parse(e)
		if err != nil {
			t.Errorf("%s: %v", e, err)
			continue
		}
		if got := p.Element(); !got.Equal(e) {
			t.Errorf("read    %s\nwritten %s", e, got)
		}
	}
	if len(found) < wantSome {
		t.Errorf("only %d elements found, expected at least %d", len(found), wantSome)
	}
	t.Logf("%d elements read and written back", len(found))
}

// corpusElements returns the elements known to reg in the examples, and nil if there is no corpus.
func corpusElements(t testing.TB, reg *jingle.Registry, folders []string) []*xmltree.Element {
	t.Helper()
	dir := corpusDir(t)
	if dir == "" {
		return nil
	}
	found := []*xmltree.Element{}
	for _, folder := range folders {
		names, err := filepath.Glob(filepath.Join(dir, folder, "*.xml"))
		if err != nil || len(names) == 0 {
			t.Fatalf("no examples in %s: %v", folder, err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			// Not everything that the specifications show is XML; what is broken is nothing to measure by.
			if e := readAny(b); e != nil {
				found = collect(found, e, reg)
			}
		}
	}
	return found
}

func readAny(b []byte) *xmltree.Element {
	d := xml.NewDecoder(bytes.NewReader(b))
	for {
		tok, err := d.Token()
		if err != nil {
			return nil
		}
		if start, ok := tok.(xml.StartElement); ok {
			e, err := xmltree.Read(start, d, xmltree.Limits{})
			if err != nil && !errors.Is(err, io.EOF) {
				return nil
			}
			return e
		}
	}
}

func collect(found []*xmltree.Element, e *xmltree.Element, reg *jingle.Registry) []*xmltree.Element {
	if e == nil {
		return found
	}
	if reg.Known(e.Name.Space, e.Name.Local) {
		return append(found, e)
	}
	for c := range e.Elements() {
		found = collect(found, c, reg)
	}
	return found
}

// corpusDir walks up to a folder that has shared/corpus in it or beside it.
func corpusDir(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		c := filepath.Join(dir, "shared", "corpus")
		if _, err := os.Stat(filepath.Join(c, "MANIFEST.tsv")); err == nil {
			return c
		}
		up := filepath.Dir(dir)
		if up == dir || strings.TrimSpace(up) == "" {
			return ""
		}
		dir = up
	}
}
