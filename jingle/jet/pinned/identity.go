package pinned

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// NS is the type of the envelope, the namespace of its elements, and a feature of service discovery.
const NS = "https://github.com/jingled/jingled/ns/jet/0"

// maxCertificate bounds a peer's certificate, in bytes.
const maxCertificate = 4096

// Fingerprint is the SHA-256 of a certificate.
type Fingerprint [sha256.Size]byte

// String returns lower-case hex.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// Words returns the fingerprint for people: upper-case hex with a colon between bytes, as XEP-0320 writes it.
func (f Fingerprint) Words() string {
	return strings.ReplaceAll(fmt.Sprintf("% X", f[:]), " ", ":")
}

// ParseFingerprint reads hex, with colons or without.
func ParseFingerprint(s string) (Fingerprint, error) {
	var f Fingerprint
	b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(s), ":", ""))
	if err != nil || len(b) != len(f) {
		return f, fmt.Errorf("%.100q is no SHA-256 fingerprint", s)
	}
	copy(f[:], b)
	return f, nil
}

// Identity is our own certificate with its key.
type Identity struct {
	der []byte
	key *ecdsa.PrivateKey
	sum Fingerprint
}

// NewIdentity takes a certificate and its key, which must be on P-256.
func NewIdentity(der []byte, key *ecdsa.PrivateKey) (*Identity, error) {
	public, sum, err := readCertificate(der)
	if err != nil {
		return nil, err
	}
	if !public.Equal(key.Public()) {
		return nil, errors.New("the key is not the certificate's")
	}
	return &Identity{der: der, key: key, sum: sum}, nil
}

// Fingerprint returns the fingerprint of the certificate.
func (i *Identity) Fingerprint() Fingerprint { return i.sum }

func (i *Identity) sign(fields ...string) ([]byte, error) {
	sum := sha256.Sum256(frame(fields...))
	return ecdsa.SignASN1(rand.Reader, i.key, sum[:])
}

// errSignature says that somebody else has made a key or an envelope, or changed it.
var errSignature = errors.New("the signature is wrong")

func verify(key *ecdsa.PublicKey, signature []byte, fields ...string) error {
	sum := sha256.Sum256(frame(fields...))
	if !ecdsa.VerifyASN1(key, sum[:], signature) {
		return errSignature
	}
	return nil
}

// readCertificate returns a certificate's key. Nothing else of it counts: it is known by its fingerprint.
func readCertificate(der []byte) (*ecdsa.PublicKey, Fingerprint, error) {
	if len(der) > maxCertificate {
		return nil, Fingerprint{}, errors.New("the certificate is too large")
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, Fingerprint{}, fmt.Errorf("the certificate cannot be read: %w", err)
	}
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, Fingerprint{}, errors.New("the certificate's key is not on P-256")
	}
	return key, sha256.Sum256(der), nil
}

// frame makes of several texts one that stands for these and no others.
func frame(fields ...string) []byte {
	var out []byte
	for _, f := range fields {
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(f))), f...)
	}
	return out
}
