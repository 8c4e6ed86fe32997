//go:build unix

package secrets

import "os"

// exposed reports whether other users can read a file.
func exposed(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().Perm()&0o077 != 0
}
