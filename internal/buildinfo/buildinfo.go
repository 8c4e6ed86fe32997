// Package buildinfo finds out which version of Jingled a program is.
package buildinfo

import "runtime/debug"

// Devel is the version of a program that was built from sources without a name.
const Devel = "devel"

// Version returns the version that a release was built with, if it is one, or else that of the module as "go install" and
// "go build" note it.
func Version(built string) string {
	if built != Devel {
		return built
	}
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" && b.Main.Version != "(devel)" {
		return b.Main.Version
	}
	return Devel
}
