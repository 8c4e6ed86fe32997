package alloc

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"time"
)

// The nonce is stateless: an expiry and a keyed hash of expiry and client address. RFC 8489 section 9.2: with
// security features it starts with "obMatJos2" and 24 feature bits in base64.
const (
	nonceCookie      = "obMatJos2"
	featureSHA256    = "gAAA" // bit 0, password algorithms
	nonceMAC         = 8
	nonceText        = 16 // base64 of 4 bytes expiry and nonceMAC bytes
	passwordAlgoList = "\x00\x02\x00\x00\x00\x01\x00\x00"
)

// nonce makes one for client. The port is left out: NATs that rebind cost no extra round trip.
func (t *Table) nonce(now time.Time, client netip.Addr) []byte {
	out := make([]byte, 0, len(nonceCookie)+len(featureSHA256)+nonceText)
	if !t.cfg.NoSHA256 {
		out = append(out, nonceCookie+featureSHA256...)
	}
	return t.appendNonce(out, uint32(now.Add(t.cfg.NonceLifetime).Unix()), client) // until 2106
}

func (t *Table) appendNonce(out []byte, expires uint32, client netip.Addr) []byte {
	var raw [4 + nonceMAC]byte
	binary.BigEndian.PutUint32(raw[:], expires)
	var sum [sha256.Size]byte
	h := hmac.New(sha256.New, t.nonceKey[:])
	a := client.As16()
	h.Write(raw[:4])
	h.Write(a[:])
	copy(raw[4:], h.Sum(sum[:0]))
	return base64.RawURLEncoding.AppendEncode(out, raw[:])
}

// fresh says whether a nonce is ours, for this address, and not expired; and whether it announced SHA-256.
func (t *Table) fresh(now time.Time, client netip.Addr, nonce []byte) (ok, features bool) {
	text := nonce
	if len(nonce) == len(nonceCookie)+len(featureSHA256)+nonceText && string(nonce[:len(nonceCookie)]) == nonceCookie {
		// The feature bits are not covered by the hash: only one value is ever sent.
		if string(nonce[len(nonceCookie):len(nonceCookie)+4]) != featureSHA256 {
			return false, false
		}
		features = true
		text = nonce[len(nonce)-nonceText:]
	}
	var raw [4 + nonceMAC]byte
	if n, err := base64.RawURLEncoding.Decode(raw[:], text[:min(len(text), nonceText)]); err != nil || n != len(raw) || len(text) != nonceText {
		return false, features
	}
	expires := binary.BigEndian.Uint32(raw[:])
	if now.Unix() >= int64(expires) {
		return false, features
	}
	var buf [nonceText]byte
	return hmac.Equal(t.appendNonce(buf[:0], expires, client), text), features
}
