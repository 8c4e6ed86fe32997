package transfers

import "io"

// UnsentForTest is unsent.
func UnsentForTest(c io.Closer) int { return unsent(c) }
