package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What files are compared with: what a plain program does over a connection of TCP, with a buffer of 256 KiB.

// wrapped makes another stream of a connection.
type wrapped func(c net.Conn, sending bool) net.Conn

// inline copies and hashes by turns.
func inline(dst io.Writer, src io.Reader, size int64) error {
	h := sha256.New()
	buf := make([]byte, 256<<10)
	for left := size; left > 0; {
		n, err := src.Read(buf[:min(left, int64(len(buf)))])
		if err != nil {
			return err
		}
		h.Write(buf[:n])
		if _, err := dst.Write(buf[:n]); err != nil {
			return err
		}
		left -= int64(n)
	}
	_ = h.Sum(nil)
	return nil
}

// kernel copies by sendfile and splice.
func kernel(dst io.Writer, src io.Reader, size int64) error {
	_, err := io.CopyN(dst, src, size)
	return err
}

// overTCP copies a file over loopback into a new one and returns how long that took.
func overTCP(b *testing.B, path, dir string, size int64, wrap wrapped, copying func(io.Writer, io.Reader, int64) error) time.Duration {
	b.Helper()
	if wrap == nil {
		wrap = func(c net.Conn, _ bool) net.Conn { return c }
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	target := filepath.Join(dir, "plain.bin")
	defer os.Remove(target)
	start := time.Now()
	sent := make(chan error, 1)
	go func() {
		sent <- func() error {
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				return err
			}
			defer c.Close()
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			return copying(wrap(c, true), f, size)
		}()
	}()
	c, err := ln.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	f, err := os.Create(target)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := copying(f, wrap(c, false), size); err != nil {
		b.Fatal(fmt.Errorf("receive: %w", err))
	}
	took := time.Since(start)
	if err := <-sent; err != nil {
		b.Fatal(fmt.Errorf("send: %w", err))
	}
	return took
}

// byTLS wraps connections in TLS 1.3 with AES-128-GCM, which is what Go prefers where there is hardware for it.
func byTLS(b *testing.B) wrapped {
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
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return func(c net.Conn, sending bool) net.Conn {
		if sending {
			return tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
		}
		return tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13})
	}
}
