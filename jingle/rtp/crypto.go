package rtp

import (
	"github.com/jingled/jingled/xmltree"
)

// Encryption is an <encryption/>: keys for SRTP in the signalling (SDES, XEP-0167 section 7) and hashes of ZRTP
// (XEP-0262).
type Encryption struct {
	// Required says that the session must be encrypted.
	Required bool
	Cryptos  []Crypto
	// ZRTPHashes has one entry as a rule.
	ZRTPHashes []ZRTPHash
	// Extra holds children that are not understood.
	Extra []*xmltree.Element

	lexical string // 'required' as it was spelt
	layout  layout
}

// Crypto is a <crypto/>, one set of SRTP keys (XEP-0167 section 7, RFC 4568). It is secret.
type Crypto struct {
	// Tag identifies it, a decimal number.
	Tag string
	// Suite is e.g. "AES_CM_128_HMAC_SHA1_80".
	Suite string
	// KeyParams is e.g. "inline:" and the base64 form of key and salt.
	KeyParams string
	// SessionParams may be empty.
	SessionParams string
}

// String hides the key, so that a crypto cannot get into a log.
func (c Crypto) String() string { return "crypto " + c.Tag + " " + c.Suite }

// GoString is [Crypto.String].
func (c Crypto) GoString() string { return c.String() }

const (
	kindCrypto kind = iota
	kindZRTPHash
	kindEncryptionExtra
)

func (x *Encryption) element() *xmltree.Element {
	e := xmltree.New(NS, "encryption")
	if v, ok := boolean(x.lexical); ok && v == x.Required {
		e.Set("required", x.lexical)
	} else if x.Required {
		e.Set("required", "true")
	}
	kids := kidsOf(nil, kindCrypto, x.Cryptos, Crypto.element)
	kids = kidsOf(kids, kindZRTPHash, x.ZRTPHashes, ZRTPHash.element)
	kids = kidsOf(kids, kindEncryptionExtra, x.Extra, cloneElement)
	return x.layout.add(e, kids)
}

// boolean reads the four forms of an XML Schema boolean.
func boolean(s string) (value, ok bool) {
	switch s {
	case "true", "1":
		return true, true
	case "false", "0":
		return false, true
	}
	return false, false
}

func (c Crypto) element() *xmltree.Element {
	return xmltree.New(NS, "crypto").Set("crypto-suite", c.Suite).Set("key-params", c.KeyParams).
		SetOpt("session-params", c.SessionParams).Set("tag", c.Tag)
}

func parseEncryption(e *xmltree.Element) (*Encryption, error) {
	r := xmltree.Attrs(e)
	x := &Encryption{Required: r.Bool("required", false), lexical: e.Attr("required")}
	if err := r.Err(); err != nil {
		return nil, err
	}
	var kinds []kind
	for c := range e.Elements() {
		k, err := kindEncryptionExtra, error(nil)
		switch {
		case c.Is(NS, "crypto"):
			k, err = kindCrypto, parseInto(&x.Cryptos, c, parseCrypto)
		case c.Is(NSZRTP, "zrtp-hash"):
			k, err = kindZRTPHash, parseInto(&x.ZRTPHashes, c, parseZRTPHash)
		default:
			x.Extra = append(x.Extra, c)
		}
		if err != nil {
			return nil, err
		}
		kinds = append(kinds, k)
	}
	x.layout = layoutOf(kinds)
	return x, nil
}

func parseCrypto(e *xmltree.Element) (Crypto, error) {
	r := xmltree.Attrs(e)
	c := Crypto{
		Tag:           required(r, "tag", maxName),
		Suite:         required(r, "crypto-suite", maxName),
		KeyParams:     required(r, "key-params", maxValue),
		SessionParams: bounded(r, "session-params", maxValue),
	}
	return c, r.Err()
}
