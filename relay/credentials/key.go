package credentials

import (
	"crypto/md5" // #nosec G501 -- RFC 8489 section 18.5.1.1 defines the key so
	"crypto/sha256"
	"errors"

	"golang.org/x/text/secure/precis"
)

// Algorithm is a STUN password algorithm by its registered number (RFC 8489 section 18.5). The zero value means
// [MD5].
type Algorithm uint16

const (
	// MD5 is what every client knows; the key has 16 bytes.
	MD5 Algorithm = 0x0001
	// SHA256 gives a key of 32 bytes.
	SHA256 Algorithm = 0x0002
)

// ErrInvalidName is wrapped where a user name, realm or password holds characters that RFC 8489 section 14.3 does not
// allow.
var ErrInvalidName = errors.New("not allowed in a user name, realm or password")

// Key returns the long-term key of a user (RFC 8489 sections 18.5.1.1 and 18.5.1.2):
// H(username ":" OpaqueString(realm) ":" OpaqueString(password)).
func Key(alg Algorithm, username, realm, password string) ([]byte, error) {
	r, err := opaque(realm)
	if err != nil {
		return nil, err
	}
	p, err := opaque(password)
	if err != nil {
		return nil, err
	}
	return key(alg, username, r, p), nil
}

func key(alg Algorithm, username, realm, password string) []byte {
	b := make([]byte, 0, len(username)+len(realm)+len(password)+2)
	b = append(b, username...)
	b = append(b, ':')
	b = append(b, realm...)
	b = append(b, ':')
	b = append(b, password...)
	if alg == SHA256 {
		sum := sha256.Sum256(b)
		return sum[:]
	}
	sum := md5.Sum(b) // #nosec G401
	return sum[:]
}

// opaque applies the OpaqueString profile (RFC 8265 section 4.2). Plain ASCII is already in its form.
func opaque(s string) (string, error) {
	ascii := s != ""
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			ascii = false
			break
		}
	}
	if ascii {
		return s, nil
	}
	out, err := precis.OpaqueString.String(s)
	if err != nil {
		return "", errors.Join(ErrInvalidName, err)
	}
	return out, nil
}
