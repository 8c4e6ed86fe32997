package hashes

import (
	"crypto/md5"  // read only: XEP-0096 knows nothing else
	"crypto/sha1" // read only: XEP-0414 section 5
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"hash"
	"slices"
	"strings"

	"golang.org/x/crypto/blake2b"
)

// Algo is the name of a hash function (XEP-0300 section 3), as the peer wrote it.
type Algo string

// The functions that can be computed. MD5 and SHA1 are only ever checked, not offered.
const (
	MD5        Algo = "md5"
	SHA1       Algo = "sha-1"
	SHA256     Algo = "sha-256"
	SHA512     Algo = "sha-512"
	SHA3x256   Algo = "sha3-256"
	SHA3x512   Algo = "sha3-512"
	BLAKE2b256 Algo = "blake2b-256"
	BLAKE2b512 Algo = "blake2b-512"
)

// Known lists what can be computed, the weakest first.
var Known = []Algo{MD5, SHA1, SHA256, BLAKE2b256, SHA3x256, SHA512, BLAKE2b512, SHA3x512}

// Canonical returns the name of [Known] that a means, or a itself. The registrar's table of XEP-0300 section 9.3 has
// id-blake2b256 where the text has blake2b-256.
func (a Algo) Canonical() Algo {
	switch c := Algo(strings.ToLower(strings.TrimSpace(string(a)))); c {
	case "id-blake2b256":
		return BLAKE2b256
	case "id-blake2b512":
		return BLAKE2b512
	case "sha1":
		return SHA1
	case "sha256":
		return SHA256
	case "sha512":
		return SHA512
	default:
		if c.rank() >= 0 {
			return c
		}
	}
	return a
}

// rank is the place in [Known], or -1. a must be canonical.
func (a Algo) rank() int { return slices.Index(Known, a) }

// Known reports whether the function can be computed.
func (a Algo) Known() bool { return a.Canonical().rank() >= 0 }

// Offered reports whether the function is good enough to be named in what we send (XEP-0414 section 5).
func (a Algo) Offered() bool { return a.Canonical().rank() > SHA1.rank() }

// New returns a new hash of the function, or nil if it is not known.
func (a Algo) New() hash.Hash {
	switch a.Canonical() {
	case MD5:
		return md5.New()
	case SHA1:
		return sha1.New()
	case SHA256:
		return sha256.New()
	case SHA512:
		return sha512.New()
	case SHA3x256:
		return sha3.New256()
	case SHA3x512:
		return sha3.New512()
	case BLAKE2b256:
		return mustBLAKE2b(blake2b.New256(nil))
	case BLAKE2b512:
		return mustBLAKE2b(blake2b.New512(nil))
	}
	return nil
}

// mustBLAKE2b passes the hash on: blake2b's only error is a key that is too long, and there is none.
func mustBLAKE2b(h hash.Hash, err error) hash.Hash {
	if err != nil {
		panic(err)
	}
	return h
}

// Size returns the length of the function's value in bytes, or 0 if it is not known.
func (a Algo) Size() int {
	switch a.Canonical() {
	case MD5:
		return md5.Size
	case SHA1:
		return sha1.Size
	case SHA256, SHA3x256, BLAKE2b256:
		return 32
	case SHA512, SHA3x512, BLAKE2b512:
		return 64
	}
	return 0
}

// Features returns the service discovery features of XEP-0300 section 5.
func Features() []string {
	out := []string{NS}
	for _, a := range Known {
		if a != MD5 {
			out = append(out, featurePrefix+string(a))
		}
	}
	return out
}
