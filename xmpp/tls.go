package xmpp

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/net/idna"
)

// tlsConfig is for the account's domain: that is what the certificate must be for, whatever the host is called
// (RFC 6120 section 13.7.2, XEP-0368 section 3).
func (c *Config) tlsConfig(direct bool) *tls.Config {
	t := &tls.Config{
		ServerName: asciiDomain(c.JID.Domain()),
		RootCAs:    c.RootCAs,
		MinVersion: tls.VersionTLS12,
	}
	if direct {
		t.NextProtos = []string{"xmpp-client"} // XEP-0368 section 3
	}
	if c.PinnedSHA256 != "" {
		// The pin takes the place of the chain and of the name, and is checked for every handshake.
		t.InsecureSkipVerify = true
		t.VerifyConnection = func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return errors.New("no certificate")
			}
			got := Fingerprint(s.PeerCertificates[0])
			if subtle.ConstantTimeCompare([]byte(plainHex(got)), []byte(c.PinnedSHA256)) != 1 {
				return &pinError{cert: s.PeerCertificates[0]}
			}
			return nil
		}
	}
	return t
}

type pinError struct{ cert *x509.Certificate }

func (*pinError) Error() string { return "the certificate is not the pinned one" }

// handshake does TLS on raw and explains what goes wrong.
func (c *Config) handshake(ctx context.Context, raw net.Conn, addr string, direct bool) (*tls.Conn, error) {
	t := tls.Client(raw, c.tlsConfig(direct))
	err := t.HandshakeContext(ctx)
	if err == nil {
		return t, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, c.tlsError(err, addr)
}

func (c *Config) tlsError(err error, addr string) *Error {
	domain := c.JID.Domain()
	e := &Error{Kind: ErrCertificate, Addr: addr, Err: err}
	var (
		pin     *pinError
		verify  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	if errors.As(err, &pin) {
		e.Fingerprint = Fingerprint(pin.cert)
		e.Message = fmt.Sprintf("the certificate of %s is not the pinned one; its SHA-256 is %s", domain, e.Fingerprint)
		e.Advice = "If the server's operator has renewed it, pin the new fingerprint; otherwise somebody may be listening"
		return e
	}
	if errors.As(err, &verify) && len(verify.UnverifiedCertificates) > 0 {
		e.Fingerprint = Fingerprint(verify.UnverifiedCertificates[0])
	}
	trust := "To trust it, give its authority with --ca FILE, or pin this certificate: SHA-256 " + e.Fingerprint
	switch {
	case errors.As(err, &host):
		e.Message = fmt.Sprintf("the certificate is not for %s but for %s", domain, certNames(host.Certificate))
		e.Advice = "Check the domain of the account. " + trust
	case errors.As(err, &unknown):
		e.Message = fmt.Sprintf("the certificate of %s is signed by an unknown authority", domain)
		e.Advice = trust
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		e.Message = fmt.Sprintf("the certificate of %s is not valid now: %s", domain, validity(invalid.Cert))
		e.Advice = "Check this machine's clock, and tell the server's operator. " + trust
	case e.Fingerprint != "":
		e.Message = fmt.Sprintf("the certificate of %s cannot be trusted: %v", domain, verify.Err)
		e.Advice = trust
	case errors.As(err, &record):
		e.Kind = ErrTLS
		e.Message = fmt.Sprintf("%s does not speak TLS there", domain)
		e.Advice = "Try --tls starttls, or another port"
	default:
		e.Kind = ErrTLS
		e.Message = fmt.Sprintf("no TLS connection with %s: %v", domain, err)
	}
	return e
}

// Fingerprint returns the SHA-256 of a certificate in upper-case hex with colons.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = strings.ToUpper(hex.EncodeToString([]byte{b}))
	}
	return strings.Join(parts, ":")
}

func plainHex(fingerprint string) string {
	return strings.ToLower(strings.ReplaceAll(fingerprint, ":", ""))
}

func certNames(cert *x509.Certificate) string {
	names := append([]string(nil), cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no name at all"
	}
	return clip(strings.Join(names, ", "))
}

func validity(cert *x509.Certificate) string {
	return fmt.Sprintf("from %s to %s", cert.NotBefore.UTC().Format(time.DateOnly), cert.NotAfter.UTC().Format(time.DateOnly))
}

// asciiDomain is the form of a domain that DNS and certificates use.
func asciiDomain(d string) string {
	d = strings.Trim(d, "[]")
	if a, err := idna.Lookup.ToASCII(d); err == nil {
		return a
	}
	return d
}
