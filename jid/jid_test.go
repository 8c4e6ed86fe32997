package jid_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jingled/jingled/jid"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]jid.JID{
		"juliet@capulet.lit/balcony": "juliet@capulet.lit/balcony",
		"Juliet@Capulet.LIT/Balcony": "juliet@capulet.lit/Balcony",
		"capulet.lit":                "capulet.lit",
		"capulet.lit.":               "capulet.lit",
		"capulet.lit/a/b@c":          "capulet.lit/a/b@c",
		"a@[::1]/x":                  "a@[::1]/x",
		"a@127.0.0.1":                "a@127.0.0.1",
		"a@my_host":                  "a@my_host",
		"a@example.org．":             "a@example.org", // another full stop
		"fuß@straße.example":         "fuß@straße.example",
		"a@xn--strae-oqa.example":    "a@straße.example",
		"ＡＢＣ@example.org":            "abc@example.org",
		"a@example.org/ two  words ": "a@example.org/ two  words ",
	} {
		got, err := jid.Parse(in)
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %q, %v, want %q", in, got, err, want)
		}
		if again, err := jid.Parse(string(got)); again != got || err != nil {
			t.Errorf("Parse is not stable on %q: %q, %v", got, again, err)
		}
	}
	for _, in := range []string{
		"", "@", "a@", "@b", "a@/c", "a@b/", "/c", "a b@c", "a'b@c", "a@b@c", "a@b c", "a@b<c", "a@b/\x00",
		"a\u202eb@c", "a@[\u009b2J]", "a@[192.0.2.1]", "a@[::1%eth0]", "a@[", "a@[]", "a@b[::1]", "a@b]", "a@[::1]b", strings.Repeat("a", 1024) + "@b", "a@b/" + strings.Repeat("c", 1024), "a@" + strings.Repeat("b", 1100),
	} {
		if got, err := jid.Parse(in); !errors.Is(err, jid.ErrInvalid) {
			t.Errorf("Parse(%.40q) = %.40q, %v, want an error", in, got, err)
		}
	}
}

func TestParts(t *testing.T) {
	j := jid.MustParse("juliet@capulet.lit/bal/cony@x")
	if j.Local() != "juliet" || j.Domain() != "capulet.lit" || j.Resource() != "bal/cony@x" {
		t.Errorf("parts are %q %q %q", j.Local(), j.Domain(), j.Resource())
	}
	if j.Bare() != "juliet@capulet.lit" || j.IsBare() || !j.Bare().IsBare() {
		t.Errorf("the bare address is %q", j.Bare())
	}
	if j.WithResource("x") != "juliet@capulet.lit/x" || j.WithResource("") != j.Bare() {
		t.Errorf("with another resource it is %q", j.WithResource("x"))
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a@b/c", "b", "ＡＢ@ü.example/ß", "a@[::1]", "x@y."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		j, err := jid.Parse(s)
		if err != nil {
			return
		}
		again, err := jid.Parse(j.String())
		if err != nil || again != j {
			t.Fatalf("%q is %q, and that is %q, %v", s, j, again, err)
		}
	})
}
