// Package dtlssrtp secures a packet connection for RTP: the keys come from a DTLS handshake (RFC 5764) in which each
// side shows the certificate whose fingerprint it has signalled (XEP-0320), and the packets are SRTP (RFC 3711).
//
// DTLS, RTP and RTCP share the connection and are told apart by their first bytes (RFC 7983, RFC 5761).
package dtlssrtp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/jingled/jingled/ice"
)

// Certificate is what we show in handshakes. It is made by [NewCertificate] or [LoadCertificate] and holds for an account
// rather than a call, so that its fingerprint stays the same.
type Certificate struct{ tls tls.Certificate }

// NewCertificate makes a self-signed certificate with a key on the curve P-256, which every client can do. Its name says
// nothing.
func NewCertificate() (*Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("dtls: making a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("dtls: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "WebRTC"}, // what others put there too
		NotBefore:    now.Add(-24 * time.Hour),
		// Nobody checks it: the fingerprint is what counts.
		NotAfter: now.AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("dtls: making a certificate: %w", err)
	}
	return &Certificate{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}, nil
}

// LoadCertificate reads a certificate and its key from PEM.
func LoadCertificate(certPEM, keyPEM []byte) (*Certificate, error) {
	c, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("dtls: %w", err)
	}
	return &Certificate{c}, nil
}

// PEM returns the certificate and behind it its key, unencrypted, as [LoadCertificate] reads them.
func (c *Certificate) PEM() ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(c.tls.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("dtls: %w", err)
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.tls.Certificate[0]})
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...), nil
}

// Fingerprint returns what is signalled for the certificate: SHA-256, as Dino knows no other.
func (c *Certificate) Fingerprint(setup ice.Setup) ice.Fingerprint {
	sum := sha256.Sum256(c.tls.Certificate[0])
	return ice.NewFingerprint("sha-256", setup, sum[:])
}

// Role is our part in the handshake.
type Role uint8

// The roles.
const (
	// Server waits for the peer's first message: we are passive.
	Server Role = iota
	// Client sends the first message: we are active.
	Client
)

// ErrSetup says that two values of setup do not go together (RFC 5763 section 5).
var ErrSetup = errors.New("the two sides do not agree on who starts the DTLS handshake")

// Answer chooses our setup for an answer to the peer's offer. We are active wherever we can be: it saves half a round
// trip, as the answerer can start at once.
func Answer(offered ice.Setup) (ice.Setup, Role, error) {
	switch offered {
	case ice.SetupActpass, ice.SetupPassive, "":
		return ice.SetupActive, Client, nil
	case ice.SetupActive:
		return ice.SetupPassive, Server, nil
	}
	return "", 0, fmt.Errorf("%w: the offer says %q", ErrSetup, offered)
}

// Answered tells our role when the peer answers our offer, which said [ice.SetupActpass].
func Answered(answer ice.Setup) (Role, error) {
	switch answer {
	case ice.SetupActive, ice.SetupActpass, "":
		// An answer must not say actpass (RFC 5763 section 5). Gateways do, and wait for us to be told what they meant;
		// most of them then start.
		return Server, nil
	case ice.SetupPassive:
		return Client, nil
	}
	return 0, fmt.Errorf("%w: the answer says %q", ErrSetup, answer)
}
