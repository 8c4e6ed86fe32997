//go:build !unix

package configfile

// Exposed reports false: permissions here are not those of Unix.
func Exposed(string) bool { return false }
