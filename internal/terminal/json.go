// Package terminal makes words of others, such as peers and users, safe to print.
package terminal

import (
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON is a writer for JSON. Some of what could steer a terminal, or make text look like another, is left by encoding/json
// as it is, as RFC 8259 section 7 allows: DEL, the control characters from U+0080 to U+009F, and what turns the direction of
// text. Here it becomes \u escapes, which mean the same. Each Write is of whole characters.
type JSON struct{ io.Writer }

// Write implements [io.Writer].
func (j JSON) Write(b []byte) (int, error) {
	if _, err := j.Writer.Write(escaped(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// escaped takes JSON, where all that is not ASCII stands in strings.
func escaped(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r < 0x7f || unicode.IsPrint(r) {
			out = append(out, b[:n]...)
		} else {
			for _, u := range utf16.AppendRune(nil, r) {
				out = fmt.Appendf(out, `\u%04x`, u)
			}
		}
		b = b[n:]
	}
	return out
}
