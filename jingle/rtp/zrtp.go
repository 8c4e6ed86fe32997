package rtp

import "github.com/jingled/jingled/xmltree"

// NSZRTP is the namespace of <zrtp-hash/> (XEP-0262).
const NSZRTP = "urn:xmpp:jingle:apps:rtp:zrtp:1"

// ZRTPHash is a <zrtp-hash/>: the hash over a ZRTP Hello message (XEP-0262 section 1). Every stream has its own.
type ZRTPHash struct {
	// Version is that of ZRTP, e.g. "1.10".
	Version string
	// Hash is in hexadecimal digits.
	Hash string
}

func (z ZRTPHash) element() *xmltree.Element {
	return xmltree.New(NSZRTP, "zrtp-hash").Set("version", z.Version).AddText(z.Hash)
}

func parseZRTPHash(e *xmltree.Element) (z ZRTPHash, err error) {
	r := xmltree.Attrs(e)
	z = ZRTPHash{Version: required(r, "version", maxName), Hash: e.Text()}
	if len(z.Hash) > maxName {
		r.Fail("", "is too long")
	}
	return z, r.Err()
}
