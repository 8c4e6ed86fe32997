package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

// Whatever a peer says, a line of JSON has nothing in it that steers a terminal, and says the same.
func TestJSONIsEscapedAndLossless(t *testing.T) {
	var all strings.Builder
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if utf8.ValidRune(r) {
			all.WriteRune(r)
		}
	}
	for _, name := range []string{all.String(), "\u009b2J\u202etxt.exe\u2066\x7f\u200f", "\U000e0001 \U0001f600 é\u0301", `\u009b is written so`, ""} {
		var out bytes.Buffer
		p := (&global{json: true}).printer(&out)
		p.show(&jingledv1.Event{Body: &jingledv1.Event_TransferOffered{TransferOffered: &jingledv1.TransferOffered{Name: name}}})
		p.object(struct {
			Name string `json:"name"`
		}{name})
		lines := strings.SplitAfter(out.String(), "\n")
		if len(lines) != 3 || lines[2] != "" {
			t.Fatalf("%d lines", len(lines))
		}
		for _, line := range lines[:2] {
			if i := strings.IndexFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
				t.Errorf("%+q stands there", line[i:min(i+8, len(line))])
			}
			var o struct{ Name string }
			if err := json.Unmarshal([]byte(line), &o); err != nil || o.Name != name {
				t.Errorf("%.40q became %.40q, %v", name, o.Name, err)
			}
		}
	}
}
