package xmltree_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jingled/jingled/xmltree"
)

func parse(t testing.TB, s string) *xmltree.Element {
	t.Helper()
	e, err := xmltree.Parse([]byte(s), xmltree.Limits{})
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return e
}

func TestRoundTrip(t *testing.T) {
	for _, s := range []string{
		`<a xmlns="urn:a"/>`,
		`<a xmlns="urn:a"><b/><c xmlns="urn:c"><d/></c>text &amp; more</a>`,
		`<a xmlns="urn:a" b="&lt;&quot;'" xml:lang="en"/>`,
		`<a xmlns="urn:a" xmlns:n1="urn:n" n1:x="1"/>`,
		`<a><b xmlns="urn:b"/></a>`,
		"<a x=\"1&#10;2&#9;3\">line\nline&#13;</a>",
		`<ä xmlns="urn:ü">☎ 📞</ä>`,
	} {
		e := parse(t, s)
		again := parse(t, e.String())
		if !e.Equal(again) || !again.Equal(e) {
			t.Errorf("%s was written as %s, which differs", s, e)
		}
		if c := e.Clone(); !c.Equal(e) {
			t.Errorf("the clone of %s is %s", e, c)
		}
	}
}

func TestPrefixesAreResolved(t *testing.T) {
	a := parse(t, `<x:a xmlns:x="urn:a" y="1" z="2"><x:b/><![CDATA[<te]]>xt</x:a>`)
	b := parse(t, `<a xmlns="urn:a" z="2" y="1"> <b/>&lt;text </a>`)
	if !a.Equal(b) {
		t.Errorf("%s and %s differ", a, b)
	}
}

func TestEqualOrder(t *testing.T) {
	base := parse(t, `<a><b n="1"/><c/><b n="2"/></a>`)
	if !base.Equal(parse(t, `<a><c/><b n="1"/><b n="2"/></a>`)) {
		t.Error("the order of children of different names counts")
	}
	if base.Equal(parse(t, `<a><c/><b n="2"/><b n="1"/></a>`)) {
		t.Error("the order of children of one name does not count")
	}
}

func TestEqualTellsApart(t *testing.T) {
	base := `<a xmlns="urn:a" x="1"><b/><c/>text</a>`
	for _, other := range []string{
		`<a xmlns="urn:b" x="1"><b/><c/>text</a>`,
		`<a xmlns="urn:a" x="2"><b/><c/>text</a>`,
		`<a xmlns="urn:a" x="1" y="1"><b/><c/>text</a>`,
		`<a xmlns="urn:a" x="1"><b/><c d="1"/>text</a>`,
		`<a xmlns="urn:a" x="1"><b/>text</a>`,
		`<a xmlns="urn:a" x="1"><b/><c/><c/>text</a>`,
		`<a xmlns="urn:a" x="1"><b/><c/>other</a>`,
	} {
		if parse(t, base).Equal(parse(t, other)) || parse(t, other).Equal(parse(t, base)) {
			t.Errorf("%s counts as equal to %s", other, base)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		is   error
	}{
		"nothing":               {"", nil},
		"text only":             {"hello", nil},
		"two elements":          {"<a/><b/>", nil},
		"text after":            {"<a/>b", nil},
		"unclosed":              {"<a><b></b>", nil},
		"mismatch":              {"<a></b>", nil},
		"undeclared prefix":     {"<x:a/>", nil},
		"undeclared attr":       {"<a x:b='1'/>", nil},
		"undeclared inside":     {"<a><x:b/></a>", nil},
		"two colons":            {"<a xmlns:b='u'><b:c:d/></a>", nil},
		"attribute twice":       {"<a b='1' b='2'/>", nil},
		"attribute twice by ns": {"<a xmlns:x='u' xmlns:y='u' x:b='1' y:b='2'/>", nil},
		"empty prefix binding":  {"<a xmlns:x=''/>", nil},
		"entity":                {"<a>&boom;</a>", nil},
		"doctype":               {"<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", xmltree.ErrRestricted},
		"comment inside":        {"<a><!-- b --></a>", xmltree.ErrRestricted},
		"instruction inside":    {"<a><?b c?></a>", xmltree.ErrRestricted},
		"instruction before":    {"<?b c?><a/>", xmltree.ErrRestricted},
		"control character":     {"<a>\x01</a>", nil},
		"too deep":              {strings.Repeat("<a>", 33) + strings.Repeat("</a>", 33), xmltree.ErrLimit},
		"too many":              {"<a>" + strings.Repeat("<b/>", 8192) + "</a>", xmltree.ErrLimit},
		"too large":             {"<a>" + strings.Repeat(" ", 256<<10) + "</a>", xmltree.ErrLimit},
		"too many attributes": {"<a " + func() string {
			var b strings.Builder
			for i := range 65 {
				b.WriteString(strings.Repeat("b", i+1) + "='' ")
			}
			return b.String()
		}() + "/>", xmltree.ErrLimit},
	} {
		e, err := xmltree.Parse([]byte(c.text), xmltree.Limits{})
		if err == nil {
			t.Errorf("%s: %s was taken", name, e)
			continue
		}
		if c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: error %v, want one that is %v", name, err, c.is)
		}
	}
}

// What we write can be read, whatever was put in.
func TestWriterIsSafe(t *testing.T) {
	e := xmltree.New("urn:a\"><evil/>", "a").Set("b", "\"'><c/>\x00\xff\u2028").AddText("]]><d/>\x00\x0b\ud7ff\ufffe")
	got := parse(t, e.String())
	if got.Name != e.Name || len(got.Attrs) != 1 || got.First() != nil {
		t.Errorf("%s was read as %s", e, got)
	}
	if got.Attr("b") != "\"'><c/>\ufffd\ufffd\u2028" || got.Text() != "]]><d/>\ufffd\ufffd\ud7ff\ufffd" {
		t.Errorf("values are %q and %q", got.Attr("b"), got.Text())
	}
}

func TestReader(t *testing.T) {
	e := parse(t, `<a n="300" neg="-1" b="yes" e="x" ok="7" t="true" z="">!</a>`)
	for name, f := range map[string]func(*xmltree.Reader){
		"attribute 'q' of <a/> is missing":                        func(r *xmltree.Reader) { r.Required("q") },
		"attribute 'z' of <a/> is missing":                        func(r *xmltree.Reader) { r.RequiredUint("z", 5) },
		"attribute 'n' of <a/> is not a number from 0 to 255":     func(r *xmltree.Reader) { r.Uint("n", 0, 255) },
		"attribute 'neg' of <a/> is not a number from 0 to 65535": func(r *xmltree.Reader) { r.Uint("neg", 0, 65535) },
		"attribute 'b' of <a/> is not true or false":              func(r *xmltree.Reader) { r.Bool("b", true) },
		"attribute 'e' of <a/> is not one of y, z":                func(r *xmltree.Reader) { r.OneOf("e", "y", "z") },
		"<a/> does not hold base64":                               func(r *xmltree.Reader) { r.Base64() },
		"attribute 'first' of <a/> is missing":                    func(r *xmltree.Reader) { r.Required("first"); r.Required("second") },
	} {
		r := xmltree.Attrs(e)
		f(r)
		var x *xmltree.Error
		if !errors.As(r.Err(), &x) || x.Error() != name {
			t.Errorf("error %q, want %q", r.Err(), name)
		}
	}
	r := xmltree.Attrs(e)
	if r.Uint("ok", 0, 9) != 7 || r.Uint("absent", 3, 9) != 3 || !r.Bool("t", false) || !r.Bool("absent", true) ||
		r.OneOf("absent", "y") != "" || r.String("e") != "x" || r.Err() != nil {
		t.Errorf("good values were misread: %v", r.Err())
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`<a/>`, `<a xmlns="urn:a" b="c">d<e xmlns="f"/></a>`, `<x:a xmlns:x='y' x:z='&amp;'/>`, "<a>\r\n</a>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := xmltree.Parse(b, xmltree.Limits{})
		if err != nil {
			return
		}
		again, err := xmltree.Parse([]byte(e.String()), xmltree.Limits{Bytes: 16 << 20})
		if err != nil {
			t.Fatalf("%q was written as %q, which cannot be read: %v", b, e, err)
		}
		if !e.Equal(again) {
			t.Fatalf("%q was written as %q, which differs", b, e)
		}
	})
}
