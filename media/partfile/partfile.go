// Package partfile writes recordings: files that have their name only once they are whole.
package partfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Suffix ends the name of a file while it is being written.
const Suffix = ".part"

// File is a file on its way. Until [File.Commit] its name ends in [Suffix].
type File struct {
	*os.File
	path string
}

// Create begins a file that its owner alone can read. What an earlier run left on its way is replaced; one that has the
// name stays until Commit, and must be a regular file.
func Create(path string) (*File, error) {
	if fi, err := os.Stat(path); err == nil && !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	part := path + Suffix
	// What another run left is ours to replace; whatever else stands there is not followed or written to.
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &File{f, path}, nil
}

// Path is the name that the file gets.
func (f *File) Path() string { return f.path }

// Commit closes the file once it is on the disk, and gives it its name. After an error what there is keeps its own.
func (f *File) Commit() error {
	if err := errors.Join(f.Sync(), f.File.Close()); err != nil {
		return err
	}
	return os.Rename(f.path+Suffix, f.path)
}

// Discard closes the file and removes it.
func (f *File) Discard() error { return errors.Join(f.File.Close(), os.Remove(f.path+Suffix)) }
