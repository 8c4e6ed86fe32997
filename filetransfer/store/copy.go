package store

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jingled/jingled/filetransfer/hashes"
)

// The copying uses at most copyBuffers of bufferSize at once. With 256 KiB the goroutine that hashes is woken so often that
// it costs as much as it spares; more than 1 MiB measure no faster.
const (
	bufferSize  = 1 << 20
	copyBuffers = 4
	// What is left to the kernel at once when nothing is hashed. Progress is counted in such steps, so that they take
	// about stepTime each.
	minStep, maxStep = 64 << 10, 32 << 20
	stepTime         = 50 * time.Millisecond
)

// CopyConfig says what is copied.
type CopyConfig struct {
	// Length is how many bytes to copy.
	Length int64
	// Hash, if not nil, is fed every byte that is copied, on another goroutine and while the next bytes are read.
	Hash *hashes.Multi
	// NoMore makes it an error for the source to have more bytes, as far as they have already arrived.
	NoMore bool
	// Progress, if not nil, counts the bytes that were written.
	Progress *atomic.Int64
}

// Errors of [Copy]. The cause is wrapped beside them.
var (
	ErrRead    = errors.New("read")
	ErrWrite   = errors.New("write")
	ErrTooMuch = errors.New("the source has more bytes than expected")
)

// Copy copies bytes from src to dst and returns how many were written. It returns without an error only if Length
// bytes were. A source that ends early is an [io.ErrUnexpectedEOF] that wraps [ErrRead]. Without a hash the copying is
// left to the kernel between a file and a TCP connection.
func Copy(dst io.Writer, src io.Reader, cfg CopyConfig) (int64, error) {
	if cfg.Progress == nil {
		cfg.Progress = new(atomic.Int64)
	}
	if cfg.Hash != nil && len(cfg.Hash.Algos()) == 0 {
		cfg.Hash = nil
	}
	if cfg.Hash == nil && (isFile(src) && isTCP(dst) || isTCP(src) && isFile(dst) && (canPeek || !cfg.NoMore)) {
		n, err := splice(dst, src, cfg)
		if err == nil && cfg.NoMore && hasMore(src) {
			err = ErrTooMuch
		}
		return n, err
	}
	c := &copying{cfg: cfg, dst: dst, src: src, free: make(chan *buffer, copyBuffers), hash: make(chan *buffer, copyBuffers)}
	var hashing sync.WaitGroup
	if cfg.Hash != nil {
		hashing.Go(c.hashAll)
	}
	n, err := c.run()
	close(c.hash)
	hashing.Wait()
	return n, err
}

// copying is one call of [Copy]. Every buffer goes to the file and to the hash at the same time, and is free when
// both are done with it.
type copying struct {
	cfg       CopyConfig
	dst       io.Writer
	src       io.Reader
	free      chan *buffer
	allocated int
	hash      chan *buffer
}

type buffer struct {
	b    []byte
	n    int
	uses atomic.Int32
}

func (c *copying) run() (int64, error) {
	var written int64
	for empty := 0; written < c.cfg.Length; {
		b := c.buffer()
		want := c.cfg.Length - written
		if c.cfg.NoMore {
			want++ // one byte more, to see whether there is one
		}
		n, err := c.src.Read(b.b[:min(want, int64(len(b.b)))])
		more := int64(n) > c.cfg.Length-written
		if more {
			n--
		}
		if b.n = n; n > 0 {
			if c.cfg.Hash != nil {
				b.uses.Store(2)
				c.hash <- b
			} else {
				b.uses.Store(1)
			}
			w, werr := c.dst.Write(b.b[:n])
			c.release(b)
			written += int64(max(w, 0))
			c.cfg.Progress.Store(written)
			if werr == nil && w < n {
				werr = io.ErrShortWrite
			}
			if werr != nil {
				return written, errors.Join(ErrWrite, werr)
			}
			empty = 0
		} else {
			c.free <- b
			empty++
		}
		switch {
		case more:
			return written, ErrTooMuch
		case err == io.EOF && written < c.cfg.Length:
			return written, errors.Join(ErrRead, io.ErrUnexpectedEOF)
		case err != nil && err != io.EOF:
			return written, errors.Join(ErrRead, err)
		case empty >= 100:
			return written, errors.Join(ErrRead, io.ErrNoProgress)
		}
	}
	return written, nil
}

// buffer returns a free buffer, which it may have to wait for.
func (c *copying) buffer() *buffer {
	if c.allocated < copyBuffers {
		select {
		case b := <-c.free:
			return b
		default:
			c.allocated++
			return &buffer{b: make([]byte, min(bufferSize, max(c.cfg.Length+1, 512)))}
		}
	}
	return <-c.free
}

func (c *copying) release(b *buffer) {
	if b.uses.Add(-1) == 0 {
		c.free <- b
	}
}

func (c *copying) hashAll() {
	for b := range c.hash {
		_, _ = c.cfg.Hash.Write(b.b[:b.n]) // never fails
		c.release(b)
	}
}

// splice copies with io.Copy, which lets the kernel move the bytes between sockets and files.
func splice(dst io.Writer, src io.Reader, cfg CopyConfig) (int64, error) {
	var written int64
	step, began := int64(minStep), time.Now()
	for written < cfg.Length {
		n, err := io.CopyN(dst, src, min(step, cfg.Length-written))
		written += n
		cfg.Progress.Store(written)
		if err == io.EOF {
			return written, errors.Join(ErrRead, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return written, errors.Join(blame(dst, src, err), err)
		}
		now := time.Now()
		switch took := now.Sub(began); {
		case took < stepTime/2:
			step = min(2*step, maxStep)
		case took > 2*stepTime:
			step = max(step/2, minStep)
		}
		began = now
	}
	return written, nil
}

// blame tells which end an error of io.Copy belongs to. A file's errors are of another type than a connection's, and
// of two files or two connections the writer is the likelier.
func blame(dst io.Writer, src io.Reader, err error) error {
	_, ofFile := errors.AsType[*fs.PathError](err)
	if isFile(src) && !isFile(dst) && ofFile || !isFile(src) && isFile(dst) && !ofFile {
		return ErrRead
	}
	return ErrWrite
}

func isTCP(x any) bool {
	_, ok := x.(*net.TCPConn)
	return ok
}

func isFile(x any) bool {
	switch x.(type) {
	case *os.File, *File:
		return true
	}
	return false
}
