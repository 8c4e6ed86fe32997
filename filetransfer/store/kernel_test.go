package store_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/store"
)

// connected returns the two ends of a TCP connection.
func connected(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); d.Close() })
	return c.(*net.TCPConn), d.(*net.TCPConn)
}

// TestCopyByKernel is what nobody hashes, from a file to a connection and from there into a file.
func TestCopyByKernel(t *testing.T) {
	data := pattern(5<<20 + 3)
	path := filepath.Join(t.TempDir(), "src")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		length, extra int64
		want          error
	}{
		"all of it":  {length: int64(len(data))},
		"too much":   {length: 1000, extra: 1, want: store.ErrTooMuch},
		"too little": {length: int64(len(data)), extra: -1, want: io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := open(t, store.Config{})
			file, err := f.Create("x", c.length)
			if err != nil {
				t.Fatal(err)
			}
			src, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			a, b := connected(t)
			sent := make(chan error, 1)
			go func() {
				_, err := store.Copy(a, src, store.CopyConfig{Length: c.length + c.extra})
				sent <- errors.Join(err, a.CloseWrite())
			}()
			if c.extra > 0 { // the extra byte has to be there: it fits into the socket
				if err := <-sent; err != nil {
					t.Fatal(err)
				}
			}
			n, err := store.Copy(file, b, store.CopyConfig{Length: c.length, NoMore: true, Hash: hashes.NewMulti()})
			if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
				t.Errorf("%d, %v", n, err)
			}
			if c.extra <= 0 {
				if err := <-sent; err != nil {
					t.Error(err)
				}
			}
			p, err := file.Commit()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(p); err != nil || !bytes.Equal(got, data[:min(c.length, c.length+c.extra)]) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}
