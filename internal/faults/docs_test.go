package faults

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestOperationsDocNamesTestsThatExist looks for every test that docs/operations.md names in the package that it names.
func TestOperationsDocNamesTestsThatExist(t *testing.T) {
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z/]+)` ((?:Test\\w+(?:, )?)+)").FindAllStringSubmatch(string(doc), -1)
	if len(named) < 10 {
		t.Fatalf("only %d tests are named", len(named))
	}
	for _, n := range named {
		out, err := exec.Command("grep", "-rhoE", `^func Test\w+`, "--include=*_test.go", "../../"+n[1]).Output()
		if err != nil {
			t.Errorf("no tests in %s: %v", n[1], err)
		}
		for test := range strings.SplitSeq(strings.TrimSuffix(n[2], ", "), ", ") {
			if !regexp.MustCompile(`(?m)^func ` + test + `$`).Match(out) {
				t.Errorf("docs/operations.md names %s of %s, which does not exist", test, n[1])
			}
		}
	}
}
