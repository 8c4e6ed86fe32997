package folder

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/jingled/jingled/filetransfer"
)

// ErrUnsafe is wrapped where an archive has more than files and folders, or too much.
var ErrUnsafe = errors.New("the archive is not unpacked")

// maxSame bounds how many folders of one name there are.
const maxSame = 10_000

// Unpack takes an archive apart into a new folder of the given name in dir, and returns the new folder's path and how many
// files it has. Names are made safe as those of received files; nothing that exists is touched. limit bounds the bytes of all
// files together. When it fails nothing is left.
func Unpack(ctx context.Context, archive io.Reader, dir, name string, limit int64) (made string, files int, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", 0, fmt.Errorf("unpack: %w", err)
	}
	defer root.Close()
	name = filetransfer.SafeName(strings.TrimSuffix(name, ".tar"))
	part, err := fresh(root, name, ".part")
	if err != nil {
		return "", 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, root.RemoveAll(part))
		}
	}()
	in, err := root.OpenRoot(part)
	if err != nil {
		return "", 0, fmt.Errorf("unpack: %w", err)
	}
	u := &unpacking{ctx: ctx, root: in, left: limit}
	err = u.all(tar.NewReader(archive))
	if err = errors.Join(err, in.Close()); err != nil {
		return "", 0, err
	}
	for n := 1; n <= maxSame; n++ {
		final := filetransfer.NumberedName(name, n)
		if _, err := root.Lstat(final); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		// Only another local program could come between; a folder that is not empty is never replaced.
		if err := root.Rename(part, final); err != nil {
			return "", 0, fmt.Errorf("unpack: %w", err)
		}
		return filepath.Join(dir, final), u.files, nil
	}
	return "", 0, fmt.Errorf("unpack: there are %d folders called %q", maxSame, name)
}

// fresh makes a folder that was not there.
func fresh(root *os.Root, name, suffix string) (string, error) {
	for n := 1; n <= maxSame; n++ {
		made := filetransfer.NumberedName(name, n) + suffix
		err := root.Mkdir(made, 0o700)
		if err == nil {
			return made, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("unpack: %w", err)
		}
	}
	return "", fmt.Errorf("unpack: there are %d folders called %q", maxSame, name)
}

type unpacking struct {
	ctx     context.Context
	root    *os.Root
	left    int64 // bytes
	entries int
	files   int
}

func (u *unpacking) all(r *tar.Reader) error {
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = u.ctx.Err()
		}
		if err == nil {
			err = u.one(h, r)
		}
		if err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
	}
}

func (u *unpacking) one(h *tar.Header, r io.Reader) error {
	if u.entries++; u.entries > MaxFiles {
		return fmt.Errorf("%w: it has more than %d files", ErrUnsafe, MaxFiles)
	}
	name, err := safePath(h.Name)
	if err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.root.MkdirAll(name, 0o700)
	case tar.TypeReg:
	default:
		return fmt.Errorf("%w: %q is neither a file nor a folder", ErrUnsafe, h.Name)
	}
	if h.Size < 0 || h.Size > u.left {
		return fmt.Errorf("%w: its files are larger than it is", ErrUnsafe)
	}
	u.left -= h.Size
	if dir := filepath.Dir(name); dir != "." {
		if err := u.root.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	f, name, err := u.create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	u.files++
	if h.ModTime.Unix() > 0 {
		return u.root.Chtimes(name, h.ModTime, h.ModTime)
	}
	return nil
}

// create makes a file, with a number if the name is taken: several names can become the same when they are made safe.
func (u *unpacking) create(name string) (*os.File, string, error) {
	dir, base := filepath.Split(name)
	for n := 1; ; n++ {
		name = dir + filetransfer.NumberedName(base, n)
		f, err := u.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if !errors.Is(err, fs.ErrExist) || n == maxSame {
			return f, name, err
		}
	}
}

// safePath makes each part of a path safe. What leads out of the folder is refused, not repaired.
func safePath(p string) (string, error) {
	clean := strings.TrimSuffix(p, "/")
	parts := strings.Split(clean, "/")
	if clean == "" || path.IsAbs(p) || len(parts) > maxDepth {
		return "", fmt.Errorf("%w: the path %.200q", ErrUnsafe, p)
	}
	for i, part := range parts {
		if part == "" || part == "." || part == ".." {
			return "", fmt.Errorf("%w: the path %.200q", ErrUnsafe, p)
		}
		if parts[i] = filetransfer.SafeName(part); part[0] == '.' {
			parts[i] = "." + filetransfer.SafeName(part[1:]) // in a folder of its own it hides nothing from its owner
		}
	}
	return filepath.Join(parts...), nil
}
