package daemon

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/filetransfer/folder"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/xmltree"
)

// sourceAt is a file, or a folder as an archive.
func sourceAt(path string) (transfers.Source, error) {
	st, err := os.Stat(path)
	if err != nil || !st.IsDir() {
		return transfers.File(path)
	}
	a, err := folder.Open(path)
	if err != nil {
		return transfers.Source{}, err
	}
	modified := a.ModTime()
	if a.Files() == 0 {
		modified = st.ModTime()
	}
	return transfers.Source{Name: a.Name(), Size: a.Size(), ModTime: modified, MediaType: "application/x-tar",
		Extra: []*xmltree.Element{folder.Element(a.Files())}, Open: transfers.Opens(a.Reader)}, nil
}

// unpacks reports whether an offered file is a folder in an archive.
func unpacks(t *transfers.Transfer) bool {
	_, ok := folder.Find(t.File().Extra)
	return ok
}

// folderFiles is how many files a folder is said to have, 0 for a file.
func folderFiles(t *transfers.Transfer) uint64 {
	n, _ := folder.Find(t.File().Extra)
	return uint64(n)
}

// done tells that a transfer has come to its end, after it has unpacked what is to be unpacked.
func (a *account) done(x *transfer, done *jingledv1.TransferDone) {
	if !x.unpack {
		a.finished(x, done)
		return
	}
	a.mu.Lock()
	life := a.life
	a.mu.Unlock()
	a.journals.tasks.Go(func() {
		if err := unpack(life, done); err != nil {
			a.log.Warn("a folder stays an archive", "path", done.GetPath(), "err", err)
		}
		a.finished(x, done)
	})
}

func (a *account) finished(x *transfer, done *jingledv1.TransferDone) {
	a.keepTransfer(x, done, nil)
	a.strike(x)
	a.drop(x)
	a.publishTransfer(x, &jingledv1.Event{Body: &jingledv1.Event_TransferDone{TransferDone: done}})
	a.completed(x, done)
}

// unpack puts a folder where its archive is, which is complete and verified.
func unpack(ctx context.Context, done *jingledv1.TransferDone) error {
	if ctx == nil {
		return errors.New("the daemon ends")
	}
	path := done.GetPath()
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	made, files, err := folder.Unpack(ctx, f, filepath.Dir(path), filepath.Base(path), int64(done.GetBytes()))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	done.Path, done.FolderFiles = made, uint64(files)
	return os.Remove(path)
}
