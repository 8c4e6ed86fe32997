package terminal

import (
	"strings"
	"unicode"
)

// Clean takes out of somebody's words what could steer a terminal: a replacement character stands for all that cannot be
// printed, line ends among it.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
