package terminal

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// hostile are names that somebody might take.
func hostile() []string {
	var all strings.Builder
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if utf8.ValidRune(r) {
			all.WriteRune(r)
		}
	}
	return []string{all.String(), "\u009b2J\u202etxt.exe\u2066\x7f\u200f", "\U000e0001 \U0001f600 é\u0301", `\u009b is written so`, ""}
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

func TestJSON(t *testing.T) {
	for _, name := range hostile() {
		var out bytes.Buffer
		if err := json.NewEncoder(JSON{&out}).Encode(name); err != nil {
			t.Fatal(err)
		}
		line := strings.TrimSuffix(out.String(), "\n")
		if i := strings.IndexFunc(line, unprintable); i >= 0 {
			t.Errorf("%+q stands there", line[i:min(i+8, len(line))])
		}
		var back string
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || back != name {
			t.Errorf("%.40q became %.40q, %v", name, back, err)
		}
	}
}

type full struct{}

var errFull = errors.New("full")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestJSONReportsErrors(t *testing.T) {
	if n, err := (JSON{full{}}).Write([]byte("{}")); n != 0 || !errors.Is(err, errFull) {
		t.Errorf("%d, %v", n, err)
	}
}

func TestClean(t *testing.T) {
	for _, name := range hostile() {
		if got := Clean(name); strings.IndexFunc(got, unprintable) >= 0 {
			t.Errorf("%.40q became %.40q", name, got)
		}
	}
	if got := Clean("a\tb\u202ec é"); got != "a\ufffdb\ufffdc é" {
		t.Errorf("%q", got)
	}
}
