package ice

import (
	"bytes"
	"encoding/hex"
	"encoding/xml"
	"strconv"
	"strings"

	"github.com/jingled/jingled/xmltree"
)

// NSFingerprint is the namespace of XEP-0320.
const NSFingerprint = "urn:xmpp:jingle:apps:dtls:0"

// Setup says who starts the DTLS handshake (RFC 5763 section 5).
type Setup string

// The values of 'setup'. A fingerprint may come without one.
const (
	SetupActive   Setup = "active"
	SetupPassive  Setup = "passive"
	SetupActpass  Setup = "actpass"
	SetupHoldconn Setup = "holdconn"
)

// Fingerprint is a <fingerprint/> (XEP-0320 section 1): the hash of the certificate that its sender will show. It is
// as trustworthy as the signalling that it came by.
type Fingerprint struct {
	// Hash is the name of the hash function of RFC 8122 section 5, e.g. "sha-256".
	Hash  string
	Setup Setup
	// Value is pairs of hexadecimal digits with colons between them, as read. See [Fingerprint.Bytes].
	Value string
	// Required is what some senders add to say that they will not go without DTLS; nil if absent.
	Required *bool
	// Extra holds attributes that are none of the above.
	Extra []xml.Attr
}

// NewFingerprint returns the fingerprint for a hash in binary.
func NewFingerprint(hash string, setup Setup, sum []byte) Fingerprint {
	var b strings.Builder
	for i, c := range sum {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(strings.ToUpper(hex.EncodeToString([]byte{c})))
	}
	return Fingerprint{Hash: hash, Setup: setup, Value: b.String()}
}

// Element returns the <fingerprint/>.
func (f Fingerprint) Element() *xmltree.Element {
	e := xmltree.New(NSFingerprint, "fingerprint").Set("hash", f.Hash).SetOpt("setup", string(f.Setup))
	if f.Required != nil {
		e.Set("required", strconv.FormatBool(*f.Required))
	}
	e.Attrs = append(e.Attrs, f.Extra...)
	return e.AddText(f.Value)
}

// Bytes returns the hash in binary. Letters of either case are read, and white space is not, as the XEP's own examples
// have it.
func (f Fingerprint) Bytes() ([]byte, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Join(strings.Fields(f.Value), ""), ":", ""))
	if want, known := hashSize[strings.ToLower(f.Hash)]; err != nil || len(b) == 0 || known && len(b) != want {
		return nil, &xmltree.Error{Element: "fingerprint", Problem: "does not hold a hash of the kind that it names"}
	}
	return b, nil
}

var hashSize = map[string]int{"md5": 16, "sha-1": 20, "sha-224": 28, "sha-256": 32, "sha-384": 48, "sha-512": 64}

// Same reports whether both are the same hash of the same kind, however they are written. The setup does not count.
func (f Fingerprint) Same(o Fingerprint) bool {
	a, err := f.Bytes()
	b, err2 := o.Bytes()
	return err == nil && err2 == nil && strings.EqualFold(f.Hash, o.Hash) && bytes.Equal(a, b)
}

// ParseFingerprint reads a <fingerprint/>. The text is not judged: see [Fingerprint.Bytes].
func ParseFingerprint(e *xmltree.Element) (Fingerprint, error) {
	r := xmltree.Attrs(e)
	f := Fingerprint{
		Hash:  r.Required("hash"),
		Setup: Setup(r.OneOf("setup", "active", "passive", "actpass", "holdconn")),
		Value: e.Text(),
	}
	if _, ok := e.LookupAttr("required"); ok {
		b := r.Bool("required", false)
		f.Required = &b
	}
	for _, a := range e.Attrs {
		switch {
		case a.Name.Space != "":
			f.Extra = append(f.Extra, a)
		case a.Name.Local == "hash", a.Name.Local == "setup", a.Name.Local == "required":
		default:
			f.Extra = append(f.Extra, a)
		}
	}
	if len(f.Hash) > 32 || len(f.Value) > 1024 {
		r.Fail("", "is too long")
	}
	return f, r.Err()
}
