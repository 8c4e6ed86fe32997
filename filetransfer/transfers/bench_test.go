package transfers_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/store"
	"github.com/jingled/jingled/jingle/jet"
)

// BenchmarkEncrypted copies over loopback with SHA-256 at both ends: as files go that are encrypted by XEP-0391, and beside
// it in the same run by TLS 1.3 of the standard library (AES-128-GCM), hashed inline. "ratio" is our speed by theirs.
func BenchmarkEncrypted(b *testing.B) {
	const size = 256 << 20
	cert := tlsCertificate(b)
	text := pattern(1 << 20)
	overTLS := func(c net.Conn, sending bool) error {
		h := sha256.New()
		if !sending {
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13})
			_, err := io.CopyN(h, s, size)
			return err
		}
		s := tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
		for left := size; left > 0; left -= 256 << 10 {
			p := text[:256<<10]
			h.Write(p)
			if _, err := s.Write(p); err != nil {
				return err
			}
		}
		return nil
	}
	for _, cipher := range []jet.Cipher{jet.AES128GCM, jet.AES256GCM} {
		b.Run(string(cipher)[len("urn:xmpp:ciphers:"):], func(b *testing.B) {
			secret, err := jet.NewSecret(cipher)
			if err != nil {
				b.Fatal(err)
			}
			byJET := func(c net.Conn, sending bool) error {
				j, err := jet.NewConn(c, secret, size)
				if err != nil {
					return err
				}
				cfg := store.CopyConfig{Length: size, Hash: hashes.NewMulti(hashes.SHA256)}
				if sending {
					if _, err = store.Copy(j, &endless{text}, cfg); err == nil {
						err = j.Finish()
					}
					return err
				}
				if _, err = store.Copy(io.Discard, j, cfg); err == nil {
					err = j.Check()
				}
				return err
			}
			var ours, theirs time.Duration
			for range b.N {
				theirs += both(b, overTLS)
				ours += both(b, byJET)
			}
			mbps := func(d time.Duration) float64 { return float64(size) * float64(b.N) / 1e6 / d.Seconds() }
			b.ReportMetric(mbps(ours), "MB/s")
			b.ReportMetric(mbps(theirs), "tls-MB/s")
			b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// endless repeats a text.
type endless struct{ text []byte }

func (e *endless) Read(p []byte) (int, error) { return copy(p, e.text), nil }

func tlsCertificate(b *testing.B) tls.Certificate {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		b.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// both runs the two ends of a connection and returns how long they took.
func both(b *testing.B, end func(c net.Conn, sending bool) error) time.Duration {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	sent := make(chan error, 1)
	begin := time.Now()
	go func() {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err == nil {
			defer c.Close()
			err = end(c, true)
		}
		sent <- err
	}()
	c, err := ln.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if err := end(c, false); err != nil {
		b.Fatal(err)
	}
	took := time.Since(begin)
	if err := <-sent; err != nil {
		b.Fatal(err)
	}
	return took
}
