package conformance

import (
	"encoding/xml"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// example is a line of the manifest.
type example struct {
	file, xep, set string
	wellFormed     bool
}

// beside finds a file in a folder "shared" beside or above the module, and returns "" if there is none.
func beside(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		file := filepath.Join(dir, "shared", filepath.FromSlash(name))
		if _, err := os.Stat(file); err == nil {
			return file
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

// corpus finds the examples, or skips the test.
func corpus(t *testing.T) (dir string, list []example) {
	t.Helper()
	file := beside(t, "corpus/MANIFEST.tsv")
	if file == "" {
		t.Skip("there is no folder shared/corpus beside the project, so there are no examples to read")
	}
	return filepath.Dir(file), manifest(t, file)
}

func manifest(t testing.TB, file string) []example {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := string(b)
	var out []example
	for line := range strings.Lines(s) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) < 8 || f[0] == "file" {
			continue
		}
		out = append(out, example{f[0], f[1], f[2], f[6] == "yes" && f[7] == "yes"})
	}
	return out
}

// comments are in examples only: in XMPP they are forbidden (RFC 6120 section 11.1).
var comments = regexp.MustCompile(`(?s)<!--.*?-->`)

func read(t testing.TB, dir string, x example) *xmltree.Element {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(x.file)))
	if err != nil {
		t.Fatal(err)
	}
	e, err := xmltree.Parse(comments.ReplaceAll(b, nil), xmltree.Limits{})
	if err != nil {
		return nil
	}
	unelide(e)
	return e
}

// elision is how the specifications leave something out: dots on lines of their own.
var elision = regexp.MustCompile(`^[\s.\[\]]*\.[\s.\[\]]*$`)

// unelide takes the dots away that stand for what is left out.
func unelide(e *xmltree.Element) {
	e.Children = slices.DeleteFunc(e.Children, func(n xmltree.Node) bool {
		text, ok := n.(xmltree.Text)
		return ok && elision.MatchString(string(text))
	})
	for c := range e.Elements() {
		unelide(c)
	}
}

// tally counts the examples of a XEP.
type tally struct{ ours, same, foreign int }

// TestExamples reads and writes back what is ours in the well-formed examples of the set "core".
func TestExamples(t *testing.T) {
	dir, list := corpus(t)
	all := allCodecs()
	claimed := all.namespaces()
	tallies := map[string]*tally{}
	unused := maps.Clone(exceptions)
	others := map[string]int{}
	for _, x := range list {
		if x.set != "core" || !x.wellFormed {
			continue
		}
		n := tallies[x.xep]
		if n == nil {
			n = &tally{}
			tallies[x.xep] = n
		}
		root := read(t, dir, x)
		if root == nil {
			t.Errorf("%s is well-formed and is not read", x.file)
			continue
		}
		w := walker{codecs: all, claimed: claimed, others: others}
		w.walk(root)
		reason, excepted := exceptions[x.file]
		switch {
		case w.found == 0 && len(w.problems) == 0:
			n.foreign++
		case len(w.problems) == 0:
			n.ours++
			n.same++
		case excepted:
			n.ours++
			delete(unused, x.file)
			t.Logf("%s: exception: %s", x.file, reason)
		default:
			n.ours++
			t.Errorf("%s: %s", x.file, strings.Join(w.problems, "\n"))
		}
	}
	for file := range unused {
		t.Errorf("%s is listed as an exception and is none any more", file)
	}
	report(t, tallies)
	for _, ns := range slices.Sorted(maps.Keys(others)) {
		if _, known := notOurs[ns]; !known {
			t.Errorf("nobody reads {%s}, which %d elements have: give it a codec or a reason in notOurs", ns, others[ns])
		}
	}
	for ns := range notOurs {
		if others[ns] == 0 {
			t.Errorf("{%s} is listed in notOurs, and there is no such element any more", ns)
		}
	}
}

// report prints what the README can be held to.
func report(t *testing.T, tallies map[string]*tally) {
	t.Helper()
	var b strings.Builder
	var sum tally
	for _, xep := range slices.Sorted(maps.Keys(tallies)) {
		n := tallies[xep]
		fmt.Fprintf(&b, "%s  %3d of %3d written back as read, %3d without anything to read\n", xep, n.same, n.ours, n.foreign)
		sum.ours, sum.same, sum.foreign = sum.ours+n.ours, sum.same+n.same, sum.foreign+n.foreign
	}
	t.Logf("\n%stotal     %d of %d written back as read (%.1f %%), %d exceptions, %d without anything to read", b.String(),
		sum.same, sum.ours, 100*float64(sum.same)/float64(max(1, sum.ours)), len(exceptions), sum.foreign)
	if sum.ours < 300 {
		t.Errorf("only %d examples hold elements of ours: the walk is broken", sum.ours)
	}
}

// walker looks for elements that we have codecs for.
type walker struct {
	codecs   codecs
	claimed  []string
	others   map[string]int // elements that nobody reads, by namespace
	found    int
	problems []string
}

func (w *walker) walk(e *xmltree.Element) {
	if c, ok := w.codecs[e.Name]; ok {
		w.found++
		w.check(e, c)
		w.inside(e)
		return
	}
	if slices.Contains(w.claimed, e.Name.Space) {
		w.problems = append(w.problems, fmt.Sprintf("{%s}%s stands alone and has no codec", e.Name.Space, e.Name.Local))
	}
	w.count(e)
	for c := range e.Elements() {
		w.walk(c)
	}
}

// inside looks for what is in an element of ours and is carried, but not read.
func (w *walker) inside(e *xmltree.Element) {
	w.count(e)
	for c := range e.Elements() {
		w.inside(c)
	}
}

func (w *walker) count(e *xmltree.Element) {
	switch ns := e.Name.Space; {
	case ns == "", ns == "jabber:client", slices.Contains(w.claimed, ns), slices.Contains(partOfOthers, ns):
	default:
		w.others[ns]++
	}
}

func (w *walker) check(e *xmltree.Element, c codec) {
	before := e.Clone()
	got, err := c(e)
	switch {
	case err != nil:
		w.problems = append(w.problems, err.Error())
	case !e.Equal(before):
		w.problems = append(w.problems, "reading it has changed it")
	case !got.Equal(normal(e)):
		w.problems = append(w.problems, fmt.Sprintf("read    %s\nwritten %s", e, got))
	}
}

// normal takes away what carries no information: the 'code' of stanza errors, which RFC 6120 section 8.3.2 has no more,
// the line breaks that make base64 fit on a page, and the default of 'disposition' (XEP-0166 section 7.3).
func normal(e *xmltree.Element) *xmltree.Element {
	e = e.Clone()
	switch {
	case e.Is(jingle.NS, "jingle"):
		for c := range e.Elements() {
			if c.Attr("disposition") == jingle.DispositionSession {
				c.Attrs = slices.DeleteFunc(c.Attrs, func(a xml.Attr) bool { return a.Name.Local == "disposition" })
			}
		}
	case e.Name.Local == "error":
		e.Attrs = slices.DeleteFunc(e.Attrs, func(a xml.Attr) bool { return a.Name.Local == "code" })
	case e.Is(ibb.NSIBB, "data"):
		e.Children = []xmltree.Node{xmltree.Text(strings.Join(strings.Fields(e.Text()), ""))}
	}
	return e
}

// TestExceptionsAreFiles catches misspelt names.
func TestExceptionsAreFiles(t *testing.T) {
	_, list := corpus(t)
	for file := range exceptions {
		if !slices.ContainsFunc(list, func(x example) bool { return x.file == file && x.set == "core" }) {
			t.Errorf("%s is no file of the core set", file)
		}
	}
}

// TestOldVersions reads the examples of earlier versions of XEPs that we still understand. They are not written back
// the same, as we write the new version, but they are read.
func TestOldVersions(t *testing.T) {
	dir, list := corpus(t)
	all := allCodecs()
	n := 0
	for _, x := range list {
		if x.set != "old" || !x.wellFormed {
			continue
		}
		root := read(t, dir, x)
		if root == nil {
			continue
		}
		var look func(*xmltree.Element)
		look = func(e *xmltree.Element) {
			c, ok := all[e.Name]
			if !ok {
				for child := range e.Elements() {
					look(child)
				}
				return
			}
			n++
			if _, err := c(e); err != nil {
				t.Errorf("%s: %v", x.file, err)
			}
		}
		look(root)
	}
	t.Logf("%d elements read", n)
	if n < 20 {
		t.Errorf("only %d elements of old versions read: the walk is broken", n)
	}
}

// each calls f with e and all elements in it.
func each(e *xmltree.Element, f func(*xmltree.Element)) {
	f(e)
	for c := range e.Elements() {
		each(c, f)
	}
}

// record is the beginning of a stanza in a transcript: when, and in which direction.
var record = regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\dT[\d:.]+Z [<>] `)

// TestTranscripts reads what real clients have sent each other.
func TestTranscripts(t *testing.T) {
	probe := beside(t, "transcripts/stanza-stanza-jmi.xml")
	if probe == "" {
		t.Skip("there is no folder shared/transcripts beside the project, so there is nothing that real clients have sent")
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(probe), "*.xml"))
	if err != nil {
		t.Fatal(err)
	}
	all := allCodecs()
	stanzas, elements := 0, 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range record.Split(string(b), -1) {
			root, err := xmltree.Parse([]byte(text), xmltree.Limits{})
			if err != nil {
				continue
			}
			stanzas++
			w := walker{codecs: all, claimed: all.namespaces(), others: map[string]int{}}
			w.walk(root)
			elements += w.found
			for _, p := range w.problems {
				t.Errorf("%s: %s", filepath.Base(file), p)
			}
		}
	}
	t.Logf("%d elements of ours in %d stanzas of %d transcripts", elements, stanzas, len(files))
	if elements < 20 {
		t.Errorf("only %d elements read: the walk is broken", elements)
	}
}

// FuzzMessage reads a whole <jingle/> by every codec at once: whatever is read is written and read again as the same.
func FuzzMessage(f *testing.F) {
	all := allCodecs()
	for name := range maps.Keys(all) {
		f.Add(xmltree.New(name.Space, name.Local).String())
	}
	f.Add(`<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='1'><content name='a'><description xmlns='urn:xmpp:jingle:apps:rtp:1'/><transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'/></content></jingle>`)
	if file := beside(f, "corpus/MANIFEST.tsv"); file != "" {
		for _, x := range manifest(f, file) {
			if !x.wellFormed {
				continue
			}
			if root := read(f, filepath.Dir(file), x); root != nil {
				each(root, func(e *xmltree.Element) {
					if _, ok := all[e.Name]; ok {
						f.Add(e.String())
					}
				})
			}
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := xmltree.Parse([]byte(s), xmltree.Limits{})
		if err != nil {
			return
		}
		c, ok := all[e.Name]
		if !ok {
			return
		}
		once, err := c(e)
		if err != nil {
			return
		}
		once, err = xmltree.Parse(once.AppendXML(nil, ""), xmltree.Limits{Bytes: 4 << 20, Depth: 64, Elements: 1 << 16, Attrs: 128})
		if err != nil {
			t.Fatalf("what was written is no XML: %v", err)
		}
		twice, err := c(once)
		if err != nil {
			t.Fatalf("%s is written and refused: %v", once, err)
		}
		if !twice.Equal(once) {
			t.Fatalf("%s\nbecame %s", once, twice)
		}
	})
}
