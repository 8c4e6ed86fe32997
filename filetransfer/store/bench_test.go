package store_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/store"
)

// BenchmarkTCP sends a file over loopback into a file, verified by SHA-256 at both ends. The baseline, measured beside
// it in the same run, hashes inline, as a plain program does; "ratio" is how many times faster we are.
func BenchmarkTCP(b *testing.B) {
	const size = 256 << 20
	dir := b.TempDir()
	src := filepath.Join(dir, "src")
	if err := os.WriteFile(src, pattern(size), 0o600); err != nil {
		b.Fatal(err)
	}
	plain := func(dst io.Writer, from io.Reader) error {
		h := sha256.New()
		buf := make([]byte, 256<<10)
		for left := size; left > 0; {
			n, err := from.Read(buf[:min(left, len(buf))])
			if err != nil {
				return err
			}
			h.Write(buf[:n])
			if _, err := dst.Write(buf[:n]); err != nil {
				return err
			}
			left -= n
		}
		_ = h.Sum(nil)
		return nil
	}
	ours := func(algos ...hashes.Algo) func(io.Writer, io.Reader) error {
		return func(dst io.Writer, from io.Reader) error {
			cfg := store.CopyConfig{Length: size}
			if len(algos) > 0 {
				cfg.Hash = hashes.NewMulti(algos...)
			}
			_, err := store.Copy(dst, from, cfg)
			return err
		}
	}
	splice := func(dst io.Writer, from io.Reader) error {
		_, err := io.CopyN(dst, from, size)
		return err
	}
	for _, c := range []struct {
		name           string
		ours, baseline func(io.Writer, io.Reader) error
	}{
		{"sha-256", ours(hashes.SHA256), plain},
		{"unhashed", ours(), splice},
	} {
		b.Run(c.name, func(b *testing.B) {
			var mine, base time.Duration
			for range b.N {
				base += transfer(b, src, filepath.Join(dir, "dst"), c.baseline)
				mine += transfer(b, src, filepath.Join(dir, "dst"), c.ours)
			}
			mbps := func(d time.Duration) float64 { return float64(size) * float64(b.N) / 1e6 / d.Seconds() }
			b.ReportMetric(mbps(mine), "MB/s")
			b.ReportMetric(mbps(base), "baseline-MB/s")
			b.ReportMetric(base.Seconds()/mine.Seconds(), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// transfer copies one file over a connection, by the same function at both ends, and returns how long it took.
func transfer(b *testing.B, src, dst string, copy func(io.Writer, io.Reader) error) time.Duration {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	sent := make(chan error, 1)
	begin := time.Now()
	go func() {
		sent <- func() error {
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				return err
			}
			defer c.Close()
			f, err := os.Open(src)
			if err != nil {
				return err
			}
			defer f.Close()
			return copy(c, f)
		}()
	}()
	c, err := ln.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	f, err := os.Create(dst)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := copy(f, c); err != nil {
		b.Fatal(fmt.Errorf("receive: %w", err))
	}
	if err := <-sent; err != nil {
		b.Fatal(fmt.Errorf("send: %w", err))
	}
	return time.Since(begin)
}
