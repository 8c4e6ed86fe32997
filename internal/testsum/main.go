// Command testsum reads what `go test -json` prints and shows what matters: the output of what failed, one line a
// package, and every skipped test with its reason. With CI=true a test that is skipped for want of a component is a
// failure, as CI installs what the tests need.
//
// With arguments, which are a command that tests the packages named after it, a few packages that failed by what a test
// saw, not by a data race, a panic or a leak, are tested once more, alone: tests that speak with real servers and
// browsers fail when a machine stalls. What passes only then is named as unreliable, and is to be repaired.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"
)

// optional are the reasons that hold in CI too: reference material that is not part of the project, and the fuzz
// engine's and testing's own.
var optional = regexp.MustCompile(`(?i)\bshared/|examples .*not here|transcripts .*here|reference material|corpus of XEP|in short mode|symbolic links`)

func main() {
	ci := os.Getenv("CI") == "true"
	r, err := summarise(os.Stdin, os.Stdout, ci)
	if err == nil && r.mayTryAgain() && len(os.Args) > 1 {
		r, err = again(r.failed, os.Args[1:], ci)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || !r.ok {
		os.Exit(1)
	}
}

// again tests packages a second time.
func again(packages, command []string, ci bool) (result, error) {
	fmt.Printf("\nonce more, alone: %s\n", strings.Join(packages, " "))
	cmd := exec.Command(command[0], append(command[1:], packages...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return result{}, err
	}
	if err := cmd.Start(); err != nil {
		return result{}, err
	}
	r, err := summarise(out, os.Stdout, ci)
	if err != nil {
		return result{}, err
	}
	if err := cmd.Wait(); err == nil && r.ok {
		fmt.Printf("UNRELIABLE, passed only the second time: %s\n", strings.Join(packages, " "))
	}
	return r, nil
}

// result is how a run went.
type result struct {
	ok     bool
	failed []string // packages
	// final says that something failed that no second run excuses.
	final bool
}

// maxAgain is how many packages may fail by bad luck.
const maxAgain = 5

func (r result) mayTryAgain() bool {
	return !r.ok && !r.final && len(r.failed) > 0 && len(r.failed) <= maxAgain
}

// final matches what is a defect however busy the machine was.
var final = regexp.MustCompile(`WARNING: DATA RACE|(?m)^panic: |^fatal error: |goleak|found unexpected goroutines|deadlock`)

// event is a line of `go test -json` (go doc test2json).
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

// maxOutput is how much of one test's output is kept, from its end.
const maxOutput = 64 << 10

type skip struct{ name, reason string }

// summarise reports what held and what did not.
func summarise(r io.Reader, w io.Writer, ci bool) (result, error) {
	var res result
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
			failed[e.ImportPath], res.final = true, true
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
			res.final = res.final || final.MatchString(out[key])
			fmt.Fprintf(w, "%s", out[key])
			if e.Test == "" {
				packages++
				fmt.Fprintf(w, "FAIL  %-60s %6.1fs\n", e.Package, e.Elapsed)
			}
			delete(out, key)
		}
	}
	if err := sc.Err(); err != nil {
		return res, fmt.Errorf("testsum: %w", err)
	}
	res.ok, res.failed = len(failed) == 0, slices.Sorted(maps.Keys(failed))
	var reasons []string
	for reason := range skips {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		word := "skipped"
		if ci && !optional.MatchString(reason) {
			word, res.ok, res.final = "skipped, which CI=true does not allow", false, true
		}
		fmt.Fprintf(w, "%d %s: %s\n", len(skips[reason]), word, reason)
		for _, s := range skips[reason] {
			fmt.Fprintf(w, "      %s\n", s.name)
		}
	}
	fmt.Fprintf(w, "%d packages, %d tests passed or skipped, %d packages failed, %.0f s of testing\n", packages, tests, len(failed), total.Seconds())
	if packages == 0 && len(failed) == 0 {
		return res, fmt.Errorf("testsum: nothing was tested")
	}
	return res, nil
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
