// Package store is the disk side of a file transfer: a folder that received files go into, and the copying of bytes
// with their hashes computed on the way.
//
// Nothing is ever created, followed or overwritten outside the folder, and a file has its name only when it is
// complete: until then it is "name.part".
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/jingled/jingled/filetransfer"
)

// PartSuffix ends the name of a file that is not complete.
const PartSuffix = ".part"

// maxSameName bounds how many files of one name a folder takes.
const maxSameName = 10000

// ErrNoSpace is wrapped where the disk has no room for a file.
var ErrNoSpace = errors.New("not enough room on the disk")

// Config says how a [Folder] works; the zero value is the default.
type Config struct {
	// Reserve is how many bytes must stay free on the disk beside the file (default 64 MiB; negative: none).
	Reserve int64
	// Mode is the permissions of files (default 0600).
	Mode fs.FileMode
	// Free replaces the question of how many bytes are free in the folder, for tests.
	Free func(dir string) (int64, error)
}

// Folder is an open folder. Its methods may be called from any goroutine.
type Folder struct {
	root *os.Root
	dir  string
	cfg  Config
}

// Open opens an existing folder.
func Open(dir string, cfg Config) (*Folder, error) {
	if cfg.Reserve == 0 {
		cfg.Reserve = 64 << 20
	}
	if cfg.Mode == 0 {
		cfg.Mode = 0o600
	}
	if cfg.Free == nil {
		cfg.Free = diskFree
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("folder for received files: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("folder for received files: %w", err)
	}
	return &Folder{root: root, dir: dir, cfg: cfg}, nil
}

// Dir returns the folder's absolute path.
func (f *Folder) Dir() string { return f.dir }

// Close closes the folder. Files that are open stay open but can no longer be made final.
func (f *Folder) Close() error { return f.root.Close() }

// CheckSpace returns an error that wraps [ErrNoSpace] if the disk has no room for size more bytes.
func (f *Folder) CheckSpace(size int64) error {
	free, err := f.cfg.Free(f.dir)
	if err != nil {
		return fmt.Errorf("free space of the folder for received files: %w", err)
	}
	if need := size + max(f.cfg.Reserve, 0); free >= 0 && (need < size || free < need) {
		return fmt.Errorf("%w: %d bytes are free, the file has %d", ErrNoSpace, free, size)
	}
	return nil
}

// Create makes an empty file for what a peer calls name, which is made safe. size, if it is known, is checked against
// the disk. The name that the file will have in the end is free now; should it be taken by then, another number is
// chosen.
func (f *Folder) Create(name string, size int64) (*File, error) {
	if err := f.CheckSpace(size); err != nil {
		return nil, err
	}
	name = filetransfer.SafeName(name)
	for n := 1; n <= maxSameName; n++ {
		final := filetransfer.NumberedName(name, n)
		if f.exists(final) {
			continue
		}
		// O_EXCL: neither an existing file nor a link to somewhere else is ever opened.
		file, err := f.root.OpenFile(final+PartSuffix, os.O_CREATE|os.O_EXCL|os.O_RDWR, f.cfg.Mode)
		switch {
		case err == nil:
			return &File{File: file, folder: f, name: name, number: n, part: final + PartSuffix}, nil
		case !errors.Is(err, fs.ErrExist):
			return nil, fmt.Errorf("create a received file: %w", err)
		}
	}
	return nil, fmt.Errorf("create a received file: there are %d files called %q", maxSameName, name)
}

// Reopen opens an incomplete file again that was kept under its .part name; name is what the peer called it. The position
// is at its start.
func (f *Folder) Reopen(name, part string) (*File, error) {
	name = filetransfer.SafeName(name)
	for n := 1; n <= maxSameName; n++ {
		if filetransfer.NumberedName(name, n)+PartSuffix != part {
			continue
		}
		// What is not a file of ours, such as a link that somebody has put there, is left alone.
		st, err := f.root.Lstat(part)
		if err == nil && !st.Mode().IsRegular() {
			err = fmt.Errorf("%s is not a regular file", part)
		}
		if err != nil {
			return nil, fmt.Errorf("go on with a received file: %w", err)
		}
		file, err := f.root.OpenFile(part, os.O_RDWR, 0)
		if err != nil {
			return nil, fmt.Errorf("go on with a received file: %w", err)
		}
		return &File{File: file, folder: f, name: name, number: n, part: part}, nil
	}
	return nil, fmt.Errorf("go on with a received file: %q is not the name of a part of %q", part, name)
}

func (f *Folder) exists(name string) bool {
	_, err := f.root.Lstat(name)
	return !errors.Is(err, fs.ErrNotExist)
}

// File is a file that is being received. It is for one goroutine at a time.
type File struct {
	*os.File
	folder *Folder
	name   string // safe, without a number
	number int
	part   string
	done   bool
}

// CheckSpace is [Folder.CheckSpace] of the folder that the file is in.
func (f *File) CheckSpace(size int64) error { return f.folder.CheckSpace(size) }

// Part returns the name that the incomplete file has in its folder.
func (f *File) Part() string { return f.part }

// Commit flushes the file to the disk, gives it its name and closes it. It returns the file's path. On an error the
// file keeps its .part name and is closed.
func (f *File) Commit() (string, error) {
	if f.done {
		return "", fs.ErrClosed
	}
	f.done = true
	err := f.Sync()
	if e := f.File.Close(); err == nil {
		err = e
	}
	if err != nil {
		return "", fmt.Errorf("flush %s: %w", f.part, err)
	}
	for n := f.number; n <= maxSameName; n++ {
		final := filetransfer.NumberedName(f.name, n)
		err := f.folder.rename(f.part, final)
		switch {
		case err == nil:
			f.folder.sync()
			return filepath.Join(f.folder.dir, final), nil
		case !errors.Is(err, fs.ErrExist):
			return "", fmt.Errorf("give %s its name: %w", f.part, err)
		}
	}
	return "", fmt.Errorf("give %s its name: there are %d files called %q", f.part, maxSameName, f.name)
}

// rename gives a file another name and never replaces a file: the error is [fs.ErrExist] instead.
func (f *Folder) rename(from, to string) error {
	err := f.root.Link(from, to)
	switch {
	case err == nil:
		return f.root.Remove(from)
	case errors.Is(err, fs.ErrExist):
		return fs.ErrExist
	}
	// File systems without hard links (FAT, some network ones). Only another local program could come between.
	if f.exists(to) {
		return fs.ErrExist
	}
	return f.root.Rename(from, to)
}

// sync makes a rename last over a power failure, on systems where a folder can be flushed.
func (f *Folder) sync() {
	d, err := f.root.Open(".")
	if err != nil {
		return
	}
	_ = d.Sync() // not possible on Windows, and not needed there
	_ = d.Close()
}

// Discard closes the file and removes it. It does nothing after [File.Commit] or [File.Keep].
func (f *File) Discard() error {
	if f.done {
		return nil
	}
	f.done = true
	err := f.File.Close()
	if e := f.folder.root.Remove(f.part); e != nil {
		err = e
	}
	return err
}

// Keep flushes and closes the file and leaves it under its .part name, to go on with it later.
func (f *File) Keep() error {
	if f.done {
		return nil
	}
	f.done = true
	err := f.Sync()
	if e := f.File.Close(); err == nil {
		err = e
	}
	return err
}

// Close is [File.Discard], so that a file that was not made final leaves nothing behind.
func (f *File) Close() error { return f.Discard() }
