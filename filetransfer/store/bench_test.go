package store_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jingled/jingled/filetransfer/store"
)

// BenchmarkKernel sends a file over loopback into another that nobody hashes, beside sendfile and splice as they are.
// "ratio" is how many times faster we are, the middle of all rounds. What hashes is measured in internal/bench.
func BenchmarkKernel(b *testing.B) {
	const size = 1 << 30
	dir := "/dev/shm" // in memory, if there is such a thing
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		dir = os.TempDir()
	}
	dir, err := os.MkdirTemp(dir, "jingled-bench-")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	src := filepath.Join(dir, "src")
	if err := os.WriteFile(src, pattern(size), 0o600); err != nil {
		b.Fatal(err)
	}
	bare := func(dst io.Writer, from io.Reader) error {
		_, err := io.CopyN(dst, from, size)
		return err
	}
	ours := func(dst io.Writer, from io.Reader) error {
		_, err := store.Copy(dst, from, store.CopyConfig{Length: size, NoMore: true})
		return err
	}
	var mine, base, ratios []float64
	for b.Loop() {
		x := transfer(b, src, filepath.Join(dir, "dst"), bare)
		y := transfer(b, src, filepath.Join(dir, "dst"), ours)
		base, mine = append(base, size/1e6/x.Seconds()), append(mine, size/1e6/y.Seconds())
		ratios = append(ratios, x.Seconds()/y.Seconds())
	}
	for unit, xs := range map[string][]float64{"MB/s": mine, "baseline-MB/s": base, "ratio": ratios} {
		slices.Sort(xs)
		b.ReportMetric(xs[len(xs)/2], unit)
	}
	b.ReportMetric(0, "ns/op")
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
	defer os.Remove(dst) // so that none is faster because there is a file already
	defer f.Close()
	if err := copy(f, c); err != nil {
		b.Fatal(fmt.Errorf("receive: %w", err))
	}
	if err := <-sent; err != nil {
		b.Fatal(fmt.Errorf("send: %w", err))
	}
	return time.Since(begin)
}
