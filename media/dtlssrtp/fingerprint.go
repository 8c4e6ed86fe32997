package dtlssrtp

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"

	"github.com/jingled/jingled/ice"
)

// ErrNoFingerprint says that the peer has signalled nothing to know its certificate by, so that the call would not be
// encrypted to anybody in particular. It is the peer's.
var ErrNoFingerprint = errors.New("the peer did not send a DTLS fingerprint (XEP-0320), and unencrypted calls are off")

// ErrFingerprint says that the peer has shown another certificate than it has signalled: somebody is in between, or its
// client is broken.
var ErrFingerprint = errors.New("the certificate of the peer is not the one that it has signalled")

// verifiable returns the fingerprints that we can check. SHA-1 and weaker ones are not worth checking (RFC 8122 section
// 5 wants SHA-256 to be there).
func verifiable(fs []ice.Fingerprint) ([]ice.Fingerprint, error) {
	var good []ice.Fingerprint
	var hashes []string
	for _, f := range fs {
		sum, err := f.Bytes()
		if want := size(f.Hash); err == nil && want > 0 && len(sum) == want {
			good = append(good, f)
		}
		hashes = append(hashes, f.Hash)
	}
	switch {
	case len(fs) == 0:
		return nil, ErrNoFingerprint
	case len(good) == 0:
		return nil, fmt.Errorf("%w: what it sent is %q, which is malformed or weaker than sha-256", ErrNoFingerprint, hashes)
	}
	return good, nil
}

func size(hash string) int {
	switch strings.ToLower(hash) {
	case "sha-256":
		return sha256.Size
	case "sha-384":
		return sha512.Size384
	case "sha-512":
		return sha512.Size
	}
	return 0
}

// verify checks a certificate, in DER, against what was signalled: any one fingerprint is enough.
func verify(der []byte, fs []ice.Fingerprint) error {
	for _, f := range fs {
		var sum []byte
		switch strings.ToLower(f.Hash) {
		case "sha-256":
			s := sha256.Sum256(der)
			sum = s[:]
		case "sha-384":
			s := sha512.Sum384(der)
			sum = s[:]
		case "sha-512":
			s := sha512.Sum512(der)
			sum = s[:]
		}
		if want, err := f.Bytes(); err == nil && len(sum) > 0 && subtle.ConstantTimeCompare(sum, want) == 1 {
			return nil
		}
	}
	return ErrFingerprint
}
