package buildinfo_test

import (
	"testing"

	"github.com/jingled/jingled/internal/buildinfo"
)

func TestVersion(t *testing.T) {
	if got := buildinfo.Version("1.2.3"); got != "1.2.3" {
		t.Errorf("a release is %q", got)
	}
	if got := buildinfo.Version(buildinfo.Devel); got == "" || got == "(devel)" {
		t.Errorf("a build without a name is %q", got)
	}
}
