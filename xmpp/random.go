package xmpp

import (
	"crypto/rand"
	"strings"
)

// IDPrefix begins the id of every request that this package makes, so that a host that shares its stream with us
// knows whose a reply is.
const IDPrefix = "jd-"

// randomText returns n random letters and digits, five bits each.
func randomText(n int) string {
	s := strings.ToLower(rand.Text()) // 26 characters of base32
	for len(s) < n {
		s += strings.ToLower(rand.Text())
	}
	return s[:n]
}

// newID returns an id that nobody can guess.
func newID() string { return IDPrefix + randomText(16) }
