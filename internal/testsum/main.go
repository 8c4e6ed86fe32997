// Command testsum reads what `go test -json` prints and shows what matters: the output of what failed, one line a
// package, and every skipped test with its reason. With CI=true a test that is skipped for want of a component is a
// failure, as CI installs what the tests need.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// optional are the reasons that hold in CI too: reference material that is not part of the project, and the fuzz
// engine's and testing's own.
var optional = regexp.MustCompile(`(?i)\bshared/|examples .*not here|transcripts .*here|reference material|corpus of XEP|in short mode|symbolic links`)

func main() {
	ok, err := summarise(os.Stdin, os.Stdout, os.Getenv("CI") == "true")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// event is a line of `go test -json` (go doc test2json).
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

// maxOutput is how much of one test's output is kept, from its end.
const maxOutput = 64 << 10

type skip struct{ name, reason string }

// summarise reports whether all held.
func summarise(r io.Reader, w io.Writer, ci bool) (bool, error) {
	out := map[string]string{}   // by package and test
	failed := map[string]bool{}  // packages
	skips := map[string][]skip{} // by reason, to show each once
	packages, tests, total := 0, 0, time.Duration(0)
	add := func(key, s string) {
		s = out[key] + s
		if over := len(s) - maxOutput; over > 0 {
			s = "...\n" + s[over:]
		}
		out[key] = s
	}
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		var e event
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			fmt.Fprintln(w, sc.Text()) // go's own complaints
			continue
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "build-output":
			fmt.Fprint(w, e.Output)
		case "build-fail":
			failed[e.ImportPath] = true
		case "output":
			if e.Test != "" || !strings.HasPrefix(e.Output, "ok ") && e.Output != "PASS\n" {
				add(key, e.Output)
			}
		case "pass", "skip":
			if e.Test == "" {
				packages++
				total += time.Duration(e.Elapsed * float64(time.Second))
				if e.Action == "pass" {
					fmt.Fprintf(w, "ok    %-60s %6.1fs\n", e.Package, e.Elapsed)
				}
				break
			}
			tests++
			if e.Action == "skip" {
				reason := reasonOf(out[key])
				skips[reason] = append(skips[reason], skip{key, reason})
			}
			delete(out, key)
		case "fail":
			failed[e.Package] = true
			fmt.Fprintf(w, "%s", out[key])
			if e.Test == "" {
				packages++
				fmt.Fprintf(w, "FAIL  %-60s %6.1fs\n", e.Package, e.Elapsed)
			}
			delete(out, key)
		}
	}
	if err := sc.Err(); err != nil {
		return false, fmt.Errorf("testsum: %w", err)
	}
	ok := len(failed) == 0
	var reasons []string
	for reason := range skips {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		word := "skipped"
		if ci && !optional.MatchString(reason) {
			word, ok = "skipped, which CI=true does not allow", false
		}
		fmt.Fprintf(w, "%d %s: %s\n", len(skips[reason]), word, reason)
		for _, s := range skips[reason] {
			fmt.Fprintf(w, "      %s\n", s.name)
		}
	}
	fmt.Fprintf(w, "%d packages, %d tests passed or skipped, %d packages failed, %.0f s of testing\n", packages, tests, len(failed), total.Seconds())
	if packages == 0 && len(failed) == 0 {
		return false, fmt.Errorf("testsum: nothing was tested")
	}
	return ok, nil
}

var place = regexp.MustCompile(`^\s*[\w.-]+\.go:\d+: `)

// reasonOf finds what t.Skip was given in a test's output.
func reasonOf(out string) string {
	for line := range strings.Lines(out) {
		if m := place.FindString(line); m != "" {
			return strings.TrimSpace(line[len(m):])
		}
	}
	return "no reason given"
}
