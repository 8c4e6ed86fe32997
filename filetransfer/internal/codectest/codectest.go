// Package codectest is the four checks that every codec of the file transfer packages passes: what is written back
// equals what was read, the examples of the specifications too, writing and reading again loses nothing, and hostile
// input gives an error that can be sent back.
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

// Element parses XML text, or fails the test.
func Element(t testing.TB, text string) *xmltree.Element {
	t.Helper()
	e, err := xmltree.Parse([]byte(text), xmltree.Limits{})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return e
}

// SameBack checks that each text is written back as it was read.
func SameBack(t *testing.T, parse jingle.Parse, texts ...string) {
	t.Helper()
	for _, text := range texts {
		e := Element(t, text)
		p, err := parse(e)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := p.Element(); !got.Equal(e) {
			t.Errorf("read    %s\nwritten %s", text, got)
		}
	}
}

// Refused checks that each text gives an [*xmltree.Error].
func Refused(t *testing.T, parse jingle.Parse, texts ...string) {
	t.Helper()
	for _, text := range texts {
		p, err := parse(Element(t, text))
		if _, ok := errors.AsType[*xmltree.Error](err); !ok {
			t.Errorf("%s: got %+v and error %v, want an xmltree.Error", text, p, err)
		}
	}
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

// Fuzz checks that whatever is read can be written and is then read as the same. Seeds are the texts and the examples
// of the folders, where present.
func Fuzz(f *testing.F, reg *jingle.Registry, folders []string, seeds ...string) {
	f.Helper()
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	for _, e := range corpusElements(f, reg, folders) {
		f.Add([]byte(e.String()))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := xmltree.Parse(b, xmltree.Limits{})
		if err != nil || !reg.Known(e.Name.Space, e.Name.Local) {
			return
		}
		p, err := reg.Parse(e)
		if err != nil {
			if _, ok := errors.AsType[*xmltree.Error](err); !ok {
				t.Fatalf("error %T %v is not fit to be sent back", err, err)
			}
			return
		}
		once := p.Element()
		again, err := xmltree.Parse(once.AppendXML(nil, ""), xmltree.Limits{Bytes: 1 << 22})
		if err != nil {
			t.Fatalf("written as %s, which is not XML: %v", once, err)
		}
		q, err := reg.Parse(again)
		if err != nil {
			t.Fatalf("written as %s, which is refused: %v", once, err)
		}
		if twice := q.Element(); !twice.Equal(again) {
			t.Fatalf("written as %s, then as %s", once, twice)
		}
	})
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
