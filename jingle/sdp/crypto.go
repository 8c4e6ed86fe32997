package sdp

import (
	"strings"

	"github.com/jingled/jingled/jingle/rtp"
)

// writeEncryption adds SDES keys (XEP-0167 section 7) and ZRTP hashes (XEP-0262 section 1).
func writeEncryption(m *Media, x *rtp.Encryption) {
	if x == nil {
		return
	}
	for _, c := range x.Cryptos {
		if _, ok := number(c.Tag, 32); !ok || !token(c.Suite) || !word(c.KeyParams) {
			continue
		}
		v := c.Tag + " " + c.Suite + " " + c.KeyParams
		if phrase(c.SessionParams) {
			v += " " + c.SessionParams
		}
		m.Attributes.add(attrCrypto, v)
	}
	for _, z := range x.ZRTPHashes {
		if word(z.Version) && word(z.Hash) {
			m.Attributes.add(attrZRTPHash, z.Version+" "+z.Hash)
		}
	}
}

// readEncryption is the inverse; it returns nil if there is none. Whether encryption is required SDP does not say.
func readEncryption(m *Media) *rtp.Encryption {
	x := &rtp.Encryption{}
	for _, v := range m.Attributes.All(attrCrypto) {
		f := strings.SplitN(v, " ", 4)
		if len(f) < 3 {
			continue
		}
		c := rtp.Crypto{Tag: f[0], Suite: f[1], KeyParams: f[2]}
		if len(f) == 4 {
			c.SessionParams = f[3]
		}
		x.Cryptos = append(x.Cryptos, c)
	}
	for _, v := range m.Attributes.All(attrZRTPHash) {
		if f := strings.Fields(v); len(f) == 2 {
			x.ZRTPHashes = append(x.ZRTPHashes, rtp.ZRTPHash{Version: f[0], Hash: f[1]})
		}
	}
	if len(x.Cryptos)+len(x.ZRTPHashes) == 0 {
		return nil
	}
	return x
}
