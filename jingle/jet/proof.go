package jet

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
)

// Proof is a MAC over data by which those who have the secret know that it is from one of them: HMAC-SHA-256, with a key
// that HKDF-SHA-256 makes of key and initialization vector without salt, with label as its info. What is said beside the
// stream, such as a hash, has no other protection.
func (s Secret) Proof(label string, data []byte) []byte {
	key, err := hkdf.Key(sha256.New, s.Bytes(), nil, label, sha256.Size)
	if err != nil {
		panic(err) // only for a length that HKDF cannot make
	}
	m := hmac.New(sha256.New, key)
	m.Write(data)
	return m.Sum(nil)
}
