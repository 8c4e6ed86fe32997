package folder

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"time"
)

// blockSize is that of tar; an archive ends with two blocks of zeros.
const blockSize = 512

// Archive is a folder as a tar archive that nobody has written down. Its size is known at once.
type Archive struct {
	root    string
	entries []entry
	size    int64
	files   int
	modTime time.Time // the newest
}

// entry is a file or folder at its place in the archive: its header, its bytes and what fills the last block.
type entry struct {
	name    string // with slashes, relative to the root
	size    int64
	modTime time.Time
	mode    fs.FileMode
	at      int64
	header  int64 // bytes
}

func (e entry) end() int64 { return e.at + e.header + padded(e.size) }

func padded(n int64) int64 { return (n + blockSize - 1) / blockSize * blockSize }

// Open looks at everything in a folder.
func Open(dir string) (*Archive, error) {
	a := &Archive{root: dir}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if p == dir {
			return nil
		}
		return a.add(p, d)
	})
	if err != nil {
		return nil, fmt.Errorf("send a folder: %w", err)
	}
	a.size += 2 * blockSize
	return a, nil
}

func (a *Archive) add(p string, d fs.DirEntry) error {
	if !d.Type().IsRegular() && !d.IsDir() {
		return nil // links and devices stay here
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(a.root, p)
	if err != nil {
		return err
	}
	e := entry{name: filepath.ToSlash(rel), modTime: info.ModTime().Truncate(time.Second), mode: info.Mode(), at: a.size}
	if d.Type().IsRegular() {
		e.size = info.Size()
		a.files++
	}
	if len(a.entries) >= MaxFiles {
		return fmt.Errorf("%s has more than %d files and folders", a.root, MaxFiles)
	}
	header, err := e.makeHeader()
	if err != nil {
		return err
	}
	e.header = int64(len(header))
	a.entries, a.size = append(a.entries, e), e.end()
	if e.modTime.After(a.modTime) {
		a.modTime = e.modTime
	}
	return nil
}

// makeHeader makes the same bytes each time.
func (e entry) makeHeader() ([]byte, error) {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: e.name, Size: e.size, ModTime: e.modTime, Mode: 0o644, Format: tar.FormatPAX}
	switch {
	case e.mode.IsDir():
		h.Typeflag, h.Name, h.Mode = tar.TypeDir, e.name+"/", 0o755
	case e.mode&0o100 != 0:
		h.Mode = 0o755
	}
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(h); err != nil {
		return nil, fmt.Errorf("%s: %w", e.name, err)
	}
	return b.Bytes(), nil
}

// Size returns how many bytes the archive has.
func (a *Archive) Size() int64 { return a.size }

// Files returns how many files are in it, folders not counted.
func (a *Archive) Files() int { return a.files }

// ModTime returns the time of the newest file.
func (a *Archive) ModTime() time.Time { return a.modTime }

// Name returns the name that the archive has as a file.
func (a *Archive) Name() string { return path.Base(filepath.ToSlash(a.root)) + ".tar" }

// Reader returns the archive's bytes. It is for one goroutine.
func (a *Archive) Reader() io.ReadSeekCloser { return &reader{a: a} }

// reader is at a place in an archive, with at most one file open.
type reader struct {
	a      *Archive
	at     int64
	i      int      // the entry whose file or header is open
	header []byte   // of i
	file   *os.File // of i, or nil
	opened bool
}

// Seek implements [io.Seeker].
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.a.size
	}
	if offset < 0 {
		return 0, errors.New("folder: a place before the beginning")
	}
	r.at = offset
	return offset, nil
}

// Read implements [io.Reader].
func (r *reader) Read(p []byte) (int, error) {
	if r.at >= r.a.size {
		return 0, io.EOF
	}
	i := sort.Search(len(r.a.entries), func(i int) bool { return r.a.entries[i].end() > r.at })
	if i == len(r.a.entries) { // the end of the archive
		n := min(int64(len(p)), r.a.size-r.at)
		clear(p[:n])
		r.at += n
		return int(n), nil
	}
	if err := r.open(i); err != nil {
		return 0, err
	}
	e, n, err := r.a.entries[i], 0, error(nil)
	switch in := r.at - e.at; {
	case in < e.header:
		n = copy(p, r.header[in:])
	case in < e.header+e.size:
		in -= e.header
		if n, err = r.file.ReadAt(p[:min(int64(len(p)), e.size-in)], in); n > 0 {
			err = nil
		} else if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%s has become smaller since it was offered", e.name)
		}
	default:
		n = int(min(int64(len(p)), e.end()-r.at))
		clear(p[:n])
	}
	r.at += int64(n)
	return n, err
}

// open opens an entry, if it is another one than before.
func (r *reader) open(i int) error {
	if r.opened && r.i == i {
		return nil
	}
	if err := r.Close(); err != nil {
		return err
	}
	e := r.a.entries[i]
	header, err := e.makeHeader()
	if err != nil {
		return err
	}
	if e.size > 0 {
		root, err := os.OpenRoot(r.a.root) // a link that was put there meanwhile leads nowhere else
		if err != nil {
			return err
		}
		defer root.Close()
		if r.file, err = root.Open(filepath.FromSlash(e.name)); err != nil {
			return err
		}
		st, err := r.file.Stat()
		if err == nil && (!st.Mode().IsRegular() || st.Size() != e.size || !st.ModTime().Truncate(time.Second).Equal(e.modTime)) {
			err = fmt.Errorf("%s has changed since it was offered", e.name)
		}
		if err != nil {
			return errors.Join(err, r.Close())
		}
	}
	r.i, r.header, r.opened = i, header, true
	return nil
}

// Close implements [io.Closer].
func (r *reader) Close() error {
	r.opened = false
	f := r.file
	if r.file = nil; f == nil {
		return nil
	}
	return f.Close()
}
