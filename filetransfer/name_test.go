package filetransfer_test

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"github.com/jingled/jingled/filetransfer"
)

func TestSafeName(t *testing.T) {
	for in, want := range map[string]string{
		"photo.jpg":                          "photo.jpg",
		"Ein schönes Bild (1).png":           "Ein schönes Bild (1).png",
		"schon":                              "schon",
		"scho\u0308n":                        "schön",
		"":                                   "file",
		".":                                  "file",
		"..":                                 "file",
		"...":                                "file",
		"/":                                  "file",
		"../../etc/passwd":                   "passwd",
		`..\..\boot.ini`:                     "boot.ini",
		"/etc/":                              "file",
		"a/b":                                "b",
		"C:\\x\\y.txt":                       "y.txt",
		"C:evil.txt":                         "C_evil.txt",
		"a:b":                                "a_b",
		".bashrc":                            "_bashrc",
		"-rf":                                "_rf",
		"~root":                              "_root",
		"con":                                "_con",
		"CON.txt":                            "_CON.txt",
		"nul .txt":                           "_nul .txt",
		"COM1":                               "_COM1",
		"lpt¹.x":                             "_lpt¹.x",
		"COM10":                              "COM10",
		"console":                            "console",
		"x. . .":                             "x",
		" x ":                                "x",
		"a\x00b\nc\x1b[31md":                 "abc[31md",
		"invoice\u202efdp.exe":               "invoicefdp.exe",
		"a\u2066b\u2069\u200bc\ufeff":        "abc",
		"a\u2028b":                           "ab",
		"a\u00a0b":                           "a b",
		"bad\xffutf8":                        "bad_utf8",
		`what?<>|*".txt`:                     "what______.txt",
		"\u202e":                             "file",
		strings.Repeat("a", 300) + ".tar.gz": strings.Repeat("a", 193) + ".tar.gz",
		strings.Repeat("ä", 150) + ".png":    strings.Repeat("ä", 98) + ".png",
		"CON" + strings.Repeat(" ", 250) + "x.txt": "_CON.txt",
		"e\u200b\u0301": "é",
	} {
		if got := filetransfer.SafeName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestNumberedName(t *testing.T) {
	long := strings.Repeat("a", 200)
	for _, c := range []struct {
		name string
		n    int
		want string
	}{
		{"a.txt", 0, "a.txt"}, {"a.txt", 1, "a.txt"}, {"a.txt", 2, "a (2).txt"}, {"a.tar.gz", 3, "a (3).tar.gz"},
		{"a", 10, "a (10)"}, {"_bashrc", 2, "_bashrc (2)"}, {"a.this is no extension", 2, "a.this is no extension (2)"},
		{long, 12, strings.Repeat("a", 195) + " (12)"},
	} {
		if got := filetransfer.NumberedName(c.name, c.n); got != c.want {
			t.Errorf("%q %d: %q, want %q", c.name, c.n, got, c.want)
		}
	}
}

// checkSafe states what a safe name is.
func checkSafe(t interface {
	Helper()
	Fatalf(string, ...any)
}, in, name string) {
	t.Helper()
	switch {
	case name == "", name == ".", name == "..":
		t.Fatalf("%q: %q is no file", in, name)
	case len(name) > 200:
		t.Fatalf("%q: %d bytes", in, len(name))
	case !utf8.ValidString(name):
		t.Fatalf("%q: %q is not UTF-8", in, name)
	case !norm.NFC.IsNormalString(name):
		t.Fatalf("%q: %q is not in NFC", in, name)
	case strings.ContainsAny(name, "/\\:<>\"|?*"):
		t.Fatalf("%q: %q has a reserved character", in, name)
	case strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") || strings.HasPrefix(name, "~") || strings.HasPrefix(name, " "):
		t.Fatalf("%q: %q begins badly", in, name)
	case strings.HasSuffix(name, ".") || strings.HasSuffix(name, " "):
		t.Fatalf("%q: %q ends badly", in, name)
	case filepath.Base(name) != name || !filepath.IsLocal(name):
		t.Fatalf("%q: %q is not one element of a path", in, name)
	case filetransfer.SafeName(name) != name:
		t.Fatalf("%q: %q becomes %q the second time", in, name, filetransfer.SafeName(name))
	}
	for _, r := range name {
		if unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) || (unicode.Is(unicode.Zs, r) && r != ' ') {
			t.Fatalf("%q: %q has %U", in, name, r)
		}
	}
}

func TestSafeNameProperties(t *testing.T) {
	nasty := rapid.SampledFrom([]string{"CON", "nul", "com1", ".", "..", "/", "\\", " ", "-", "~", ":", "\u202e", "\u200d", "\u0301",
		"\u212b", "e", "\xff", "\x00", ".tar.gz", strings.Repeat(" ", 70), strings.Repeat("ö", 60), strings.Repeat("x", 90), "\u1100\u1161"})
	rapid.Check(t, func(t *rapid.T) {
		in := strings.Join(rapid.SliceOfN(rapid.OneOf(nasty, rapid.String()), 0, 8).Draw(t, "parts"), "")
		name := filetransfer.SafeName(in)
		checkSafe(t, in, name)
		n := rapid.IntRange(1, 100000).Draw(t, "n")
		checkSafe(t, in, filetransfer.NumberedName(name, n))
	})
}

func FuzzSafeName(f *testing.F) {
	for _, s := range []string{"a.txt", "../x", "CON.txt", "\u202etxt.exe", strings.Repeat("ä", 200)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		name := filetransfer.SafeName(in)
		checkSafe(t, in, name)
		checkSafe(t, in, filetransfer.NumberedName(name, 7))
	})
}

func TestPlainText(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"All is well.", 100, "All is well."},
		{"red\x1b[31m\r\nand\u202eback\tout\u2028x", 100, "red[31m  andback out x"},
		{"bad\xff", 100, "bad\ufffd"},
		{"äöüäöü", 9, "äöü..."},
		{"äöüäöü", 8, "äö..."},
	} {
		if got := filetransfer.PlainText(c.in, c.limit); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}
