package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/xmltree"
)

// maxPath bounds the paths that are read, in bytes.
const maxPath = 4096

// ErrTooMany is wrapped where a folder has more files than are sent one by one.
var ErrTooMany = errors.New("too many files")

// Each is a file of a folder that is sent file by file.
type Each struct {
	// Path is where it is here, Rel where it is in the folder: with slashes, the folder's own name first.
	Path, Rel string
}

// Files lists the regular files in a folder, at most limit; with more the error is [ErrTooMany]. Links and devices are left
// out, and so are empty folders.
func Files(dir string, limit int) ([]Each, error) {
	var out []Each
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if len(out) == limit {
			return fmt.Errorf("%s: %w: more than %d are sent as an archive only", dir, ErrTooMany, limit)
		}
		out = append(out, Each{Path: p, Rel: path.Join(filepath.Base(dir), filepath.ToSlash(rel))})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("send a folder: %w", err)
	}
	return out, nil
}

// PathElement says in the <file/> of an offer where in a folder the file is:
//
//	<path xmlns='https://github.com/jingled/jingled/ns/folder/0'>photos/summer/1.jpg</path>
//
// To other clients it is a file of its name.
func PathElement(rel string) *xmltree.Element { return xmltree.New(NS, "path").AddText(rel) }

// FindPath returns the path of an offered file, made safe, with the system's separators; "" if there is none, or one that
// leads out of the folder. extra are the further children of its <file/>.
func FindPath(extra []*xmltree.Element) string {
	for _, e := range extra {
		if e.Is(NS, "path") && len(e.Text()) <= maxPath {
			p, err := safePath(e.Text())
			if err == nil && strings.ContainsRune(p, filepath.Separator) {
				return p
			}
		}
	}
	return ""
}

// Fresh makes a new folder in dir for what a peer sends file by file, and returns its name: that of the first part of a path
// of [FindPath], with a number where there is one already.
func Fresh(dir, rel string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", fmt.Errorf("a folder for received files: %w", err)
	}
	defer root.Close()
	top, _, _ := strings.Cut(rel, string(filepath.Separator))
	return fresh(root, filetransfer.SafeName(top), "")
}

// Place makes the folders that lead to a path of [FindPath], with top in place of its first part, and returns the path of
// the last of them. Nothing is made, and no link is followed, out of dir.
func Place(dir, top, rel string) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", fmt.Errorf("a folder for received files: %w", err)
	}
	defer root.Close()
	_, below, _ := strings.Cut(rel, string(filepath.Separator))
	place := filepath.Join(top, filepath.Dir(below))
	if err := root.MkdirAll(place, 0o700); err != nil {
		return "", fmt.Errorf("a folder for received files: %w", err)
	}
	return filepath.Join(dir, place), nil
}
