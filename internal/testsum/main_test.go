package main

import (
	"strings"
	"testing"
)

const passed = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"pass","Package":"p","Elapsed":0.2}
`

func skipped(reason string) string {
	return `{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN   TestB\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:12: ` + reason + `\n"}
{"Action":"skip","Package":"p","Test":"TestB","Elapsed":0}
{"Action":"pass","Package":"p","Elapsed":0.2}
`
}

const failed = `{"Action":"output","Package":"q","Test":"TestC","Output":"    c_test.go:1: wrong answer\n"}
{"Action":"fail","Package":"q","Test":"TestC","Elapsed":0}
{"Action":"fail","Package":"q","Elapsed":0.2}
`

const broken = `{"ImportPath":"q","Action":"build-output","Output":"undefined: x\n"}
{"ImportPath":"q","Action":"build-fail"}
{"Action":"fail","Package":"q","Elapsed":0}
`

const raced = `{"Action":"output","Package":"q","Test":"TestC","Output":"WARNING: DATA RACE\n"}
{"Action":"fail","Package":"q","Test":"TestC","Elapsed":0}
{"Action":"fail","Package":"q","Elapsed":0.2}
`

func TestSummarise(t *testing.T) {
	for _, c := range []struct {
		name, in string
		ci, ok   bool
		again    bool
		says     string
	}{
		{"all pass", passed, true, true, false, "ok    p"},
		{"a failure", passed + failed, false, false, true, "wrong answer"},
		{"a data race", raced, false, false, false, "DATA RACE"},
		{"it does not build", broken, false, false, false, "undefined: x"},
		{"a skip at home", skipped("prosody is not installed"), false, true, false, "1 skipped: prosody is not installed"},
		{"a skip in CI", skipped("prosody is not installed"), true, false, false, "CI=true does not allow"},
		{"reference material in CI", skipped("there is no shared/corpus above the project"), true, true, false, "1 skipped: "},
		{"no reason", skipped("") + passed, true, false, false, ""},
	} {
		var b strings.Builder
		r, err := summarise(strings.NewReader(c.in), &b, c.ci)
		if err != nil || r.ok != c.ok || r.mayTryAgain() != c.again || !strings.Contains(b.String(), c.says) {
			t.Errorf("%s: %+v, %v\n%s", c.name, r, err, b.String())
		}
	}
	if _, err := summarise(strings.NewReader("go: cannot find module\n"), &strings.Builder{}, false); err == nil {
		t.Error("nothing was tested, and nobody says so")
	}
}
