package thumbnail

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/jingled/jingled/xmltree"
)

// NSBoB is the namespace of bits of binary.
const NSBoB = "urn:xmpp:bob"

// Bits is a <data/> of XEP-0231: without Data it asks.
type Bits struct {
	// CID is the content id, see [CID].
	CID       string
	MediaType string
	// MaxAge is how many seconds it may be kept, -1 where absent.
	MaxAge int
	Data   []byte
}

// CID returns the content id of data (XEP-0231 section 2.1). SHA-1 is what everybody has; here it names things that their
// owner has told the name of, and nothing hangs on it that an attacker could want.
func CID(data []byte) string {
	sum := sha1.Sum(data)
	return "sha1+" + hex.EncodeToString(sum[:]) + "@bob.xmpp.org"
}

// Element returns the <data/>.
func (b Bits) Element() *xmltree.Element {
	e := xmltree.New(NSBoB, "data").Set("cid", b.CID)
	if b.Data == nil {
		return e
	}
	if b.MaxAge >= 0 {
		e.Set("max-age", strconv.Itoa(b.MaxAge))
	}
	return e.SetOpt("type", b.MediaType).AddText(base64.StdEncoding.EncodeToString(b.Data))
}

// ParseBits reads a <data/>.
func ParseBits(e *xmltree.Element) (Bits, error) {
	r := xmltree.Attrs(e)
	if !e.Is(NSBoB, "data") {
		r.Fail("", "is not a <data/> of "+NSBoB)
	}
	b := Bits{CID: r.Required("cid"), MediaType: r.String("type"), MaxAge: -1}
	if r.String("max-age") != "" {
		b.MaxAge = int(r.Uint("max-age", 0, 1<<31-1))
	}
	if len(b.CID) > 256 {
		r.Fail("cid", "is too long")
	}
	if strings.TrimSpace(e.Text()) != "" {
		b.Data = r.Base64()
	}
	return b, r.Err()
}
