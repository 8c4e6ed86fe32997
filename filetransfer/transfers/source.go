package transfers

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/xmltree"
)

// Source is a file to send.
type Source struct {
	// Name is what the peer is told, without a path.
	Name string
	Size int64
	// ModTime is left out if it is zero, MediaType and Desc if they are empty.
	ModTime         time.Time
	MediaType, Desc string
	// Hashes of the whole file, if they are known. Otherwise they are computed while it is sent.
	Hashes []hashes.Hash
	// Extra are further children of the <file/> that it is offered with.
	Extra []*xmltree.Element
	// Open opens the file. It is called once the peer wants it.
	Open func() (io.ReadSeekCloser, error)
}

// Opens is an Open that cannot fail.
func Opens(f func() io.ReadSeekCloser) func() (io.ReadSeekCloser, error) {
	return func() (io.ReadSeekCloser, error) { return f(), nil }
}

// File returns the source of a regular file.
func File(path string) (Source, error) {
	st, err := os.Stat(path)
	if err != nil {
		return Source{}, fmt.Errorf("send a file: %w", err)
	}
	if !st.Mode().IsRegular() {
		return Source{}, fmt.Errorf("send a file: %s is not a regular file", path)
	}
	return Source{
		Name: filepath.Base(path), Size: st.Size(), ModTime: st.ModTime(),
		MediaType: mime.TypeByExtension(filepath.Ext(path)),
		Open: func() (io.ReadSeekCloser, error) {
			f, err := os.Open(path)
			if err != nil {
				return nil, err
			}
			if now, err := f.Stat(); err != nil || now.Size() != st.Size() || !now.ModTime().Equal(st.ModTime()) || !now.Mode().IsRegular() {
				return nil, errors.Join(fmt.Errorf("%s has changed since it was offered", path), err, f.Close())
			}
			return f, nil
		},
	}, nil
}

// describe returns the <file/> to offer a source with.
func (s Source) describe(spelling filetransfer.MediaTypeSpelling) filetransfer.File {
	f := filetransfer.File{
		Name: s.Name, Size: &s.Size, MediaType: s.MediaType, MediaTypeSpelling: spelling, Hashes: s.Hashes,
		Range: &filetransfer.Range{}, // says that we understand ranges
		Extra: slices.Clone(s.Extra),
	}
	if !s.ModTime.IsZero() {
		f.Date = filetransfer.FormatDate(s.ModTime)
	}
	if s.Desc != "" {
		f.Desc = []filetransfer.Desc{{Text: s.Desc}}
	}
	if len(s.Hashes) == 0 {
		f.HashUsed = []hashes.Used{{Algo: hashes.SHA256}}
	}
	return f
}
