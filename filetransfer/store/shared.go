package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jingled/jingled/filetransfer/hashes"
)

// maxShared bounds the files of a shared folder that are looked at for one that is asked for by its hash, and maxDepth how
// deep it is searched.
const (
	maxShared = 10000
	maxDepth  = 16
)

// ErrNotShared says that a folder has no such file for others.
var ErrNotShared = errors.New("there is no such file in the shared folder")

// Shared is a folder whose files others may fetch. Hidden files, incomplete ones and what links lead to are not among them.
// Its methods may be called from any goroutine.
type Shared struct {
	dir string

	mu   sync.Mutex // also so that one search is enough for all who ask at one time
	sums map[sumKey][]byte
}

type sumKey struct {
	name  string
	size  int64
	mtime time.Time
	algo  hashes.Algo
}

// NewShared returns a shared folder. It need not exist yet.
func NewShared(dir string) *Shared { return &Shared{dir: dir, sums: make(map[sumKey][]byte)} }

// Wanted says which file is meant. What is not set is not looked at; one of Name and Hashes has to be.
type Wanted struct {
	// Name is relative to the folder, with slashes.
	Name   string
	Size   *int64
	Hashes []hashes.Hash
}

// Found is a file of a shared folder.
type Found struct {
	// Name is relative to the folder, with slashes.
	Name    string
	Size    int64
	ModTime time.Time
	Hashes  []hashes.Hash // those by which it was asked for
}

// Find looks for a file. By a hash alone it takes as long as it takes to read those files that it has not read before. The
// error wraps [ErrNotShared] if there is none.
func (s *Shared) Find(ctx context.Context, w Wanted) (Found, error) {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return Found{}, fmt.Errorf("%w: %w", ErrNotShared, err)
	}
	defer func() { _ = root.Close() }()
	var usable []hashes.Hash
	for _, h := range w.Hashes {
		if h.Usable() {
			usable = append(usable, h)
		}
	}
	w.Hashes = usable
	if w.Name != "" {
		return s.look(ctx, root, w.Name, w)
	}
	if len(w.Hashes) == 0 {
		return Found{}, ErrNotShared
	}
	names, err := list(root)
	if err != nil {
		return Found{}, err
	}
	for _, name := range names {
		if f, err := s.look(ctx, root, name, w); !errors.Is(err, ErrNotShared) {
			return f, err
		}
	}
	return Found{}, ErrNotShared
}

// look compares one file with what is wanted.
func (s *Shared) look(ctx context.Context, root *os.Root, name string, w Wanted) (Found, error) {
	st, err := plain(root, name)
	if err != nil {
		return Found{}, err
	}
	f := Found{Name: name, Size: st.Size(), ModTime: st.ModTime()}
	if w.Size != nil && *w.Size != f.Size {
		return Found{}, ErrNotShared
	}
	for _, h := range w.Hashes {
		sum, err := s.sum(ctx, root, f, h.Algo.Canonical())
		if err != nil {
			return Found{}, err
		}
		if !slices.Equal(sum, h.Sum) {
			return Found{}, ErrNotShared
		}
		f.Hashes = append(f.Hashes, hashes.Of(h.Algo.Canonical(), sum))
	}
	return f, nil
}

// plain returns what is known of a file that may be shared.
func plain(root *os.Root, name string) (fs.FileInfo, error) {
	if !filepath.IsLocal(filepath.FromSlash(name)) || name != strings.Trim(name, "/") || strings.ContainsAny(name, "\\\x00") || strings.HasSuffix(name, PartSuffix) {
		return nil, ErrNotShared
	}
	parts := strings.Split(name, "/")
	if len(parts) > maxDepth {
		return nil, ErrNotShared
	}
	var st fs.FileInfo
	for i, p := range parts {
		if strings.HasPrefix(p, ".") || p == "" {
			return nil, ErrNotShared
		}
		var err error
		// No link is followed, not even within the folder. What is changed behind our back still cannot lead out: the root
		// sees to that.
		st, err = root.Lstat(filepath.FromSlash(strings.Join(parts[:i+1], "/")))
		if err != nil || i < len(parts)-1 && !st.IsDir() || i == len(parts)-1 && !st.Mode().IsRegular() {
			return nil, ErrNotShared
		}
	}
	return st, nil
}

// list returns the names of the files of a folder and those below.
func list(root *os.Root) ([]string, error) {
	var out []string
	err := fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fs.SkipDir // somebody else's folder, or one that is gone
		case name == ".":
		case strings.HasPrefix(e.Name(), ".") || strings.Count(name, "/") >= maxDepth:
			if e.IsDir() {
				return fs.SkipDir
			}
		case e.Type().IsRegular():
			if out = append(out, name); len(out) >= maxShared {
				return fs.SkipAll
			}
		}
		return nil
	})
	return out, err
}

// sum returns the hash of a file, and remembers it.
func (s *Shared) sum(ctx context.Context, root *os.Root, f Found, algo hashes.Algo) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := sumKey{f.Name, f.Size, f.ModTime, algo}
	if v := s.sums[key]; v != nil {
		return v, nil
	}
	file, err := root.Open(filepath.FromSlash(f.Name))
	if err != nil {
		return nil, ErrNotShared
	}
	defer func() { _ = file.Close() }()
	m := hashes.NewMulti(algo)
	const step = 4 << 20
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if _, err := io.CopyN(m, file, step); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
	}
	if len(s.sums) >= maxShared {
		clear(s.sums)
	}
	s.sums[key] = m.Sums()[algo]
	return s.sums[key], nil
}

// Open opens a file that was found, if it is still what it was.
func (s *Shared) Open(f Found) (io.ReadSeekCloser, error) {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	if _, err := plain(root, f.Name); err != nil {
		return nil, err
	}
	file, err := root.Open(filepath.FromSlash(f.Name))
	if err != nil {
		return nil, err
	}
	if st, err := file.Stat(); err != nil || st.Size() != f.Size || !st.ModTime().Equal(f.ModTime) || !st.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%s has changed since it was asked for", f.Name), err, file.Close())
	}
	return file, nil
}
