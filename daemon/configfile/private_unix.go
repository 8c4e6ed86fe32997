//go:build unix

package configfile

import "os"

// Exposed reports whether a file that holds a secret can be read by every user of the machine.
func Exposed(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o004 != 0
}
