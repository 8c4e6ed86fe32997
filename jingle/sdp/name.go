package sdp

import (
	"encoding/hex"
	"strings"
)

// A content's name is the mid of its media description (XEP-0338 section 2). A mid is a token, a name may be anything,
// so what is no token is written as %XX. A mid that we could not have written is a name as it stands.

// MID returns the mid that the content of this name has in SDP.
func MID(name string) string { return midOf(name) }

// ContentName returns the name of the content that the media description of this mid is.
func ContentName(mid string) string { return nameOf(mid) }

// midOf returns the mid for a content's name. Names of clients ("audio", "0") are their own mids.
func midOf(name string) string {
	if token(name) && !strings.Contains(name, "%") {
		return name
	}
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; tokenByte(c) && c != '%' {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{c})))
		}
	}
	return b.String()
}

// nameOf is the inverse of midOf.
func nameOf(mid string) string {
	var b strings.Builder
	for rest := mid; ; {
		before, after, found := strings.Cut(rest, "%")
		b.WriteString(before)
		if !found {
			break
		}
		if len(after) < 2 {
			return mid
		}
		c, err := hex.DecodeString(after[:2])
		if err != nil {
			return mid
		}
		b.Write(c)
		rest = after[2:]
	}
	if name := b.String(); midOf(name) == mid {
		return name
	}
	return mid
}
