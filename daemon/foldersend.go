package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/filetransfer/folder"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

// Folders that are sent file by file: to clients that would not unpack an archive, and where the user wants it so.

// oneByOne reports whether a client takes one content in a session and no more.
func oneByOne(c xmpp.Capabilities) bool {
	return isClient(c, nodeConversations) || isClient(c, nodeDino) || isClient(c, nodeGajim)
}

// pieces returns the files of a folder if it is to be sent file by file, nil if it goes as an archive.
func pieces(dir string, form jingledv1.FolderForm, w way) ([]folder.Each, error) {
	byFiles := form == jingledv1.FolderForm_FOLDER_FORM_FILES
	switch {
	case byFiles && w.sendAll == nil:
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("by this road a folder goes as an archive only"))
	case form == jingledv1.FolderForm_FOLDER_FORM_ARCHIVE, w.sendAll == nil, w.unpacks && !byFiles:
		return nil, nil
	}
	files, err := folder.Files(dir, transfers.MaxFiles)
	switch {
	case errors.Is(err, folder.ErrTooMany) && !byFiles:
		return nil, nil
	case err != nil:
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	case len(files) == 0 && byFiles:
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("%s has no files", dir))
	}
	return files, nil
}

// sendPieces offers the files of a folder. Each is a transfer of its own.
func (a *account) sendPieces(files []folder.Each, req *jingledv1.SendFileRequest, peer jid.JID, w way, want wish) (*jingledv1.SendFileResponse, error) {
	var srcs []transfers.Source
	for _, f := range files {
		src, err := transfers.File(f.Path)
		if err != nil {
			return nil, connect.NewError(connect.CodeInvalidArgument, err)
		}
		src.Desc = req.GetDescription()
		src.Extra = append(src.Extra, folder.PathElement(f.Rel))
		if !w.sealed && !req.GetNoThumbnail() {
			a.depict(&src, peer)
		}
		srcs = append(srcs, src)
	}
	out := &jingledv1.SendFileResponse{}
	var xs []*transfer
	a.mu.Lock() // their first events wait until they have names
	ts, err := w.sendAll(srcs)
	for i, t := range ts {
		x := &transfer{path: files[i].Path, wish: want}
		a.enter(t, x)
		x.j = a.rowOfSent(x, srcs[i], cmp.Or(w.via, req.GetVia()))
		xs, out.Sids = append(xs, x), append(out.Sids, x.id)
	}
	a.mu.Unlock()
	for _, x := range xs {
		a.journal(x)
	}
	if err != nil && len(xs) == 0 {
		return nil, connect.NewError(connect.CodeUnavailable, err)
	}
	if err != nil { // some sessions could not begin
		a.log.Warn("not all files of a folder are offered", "path", req.GetPath(), "offered", len(xs), "err", err)
	}
	out.Sid = out.Sids[0]
	return out, nil
}

// placeFor returns the folder below dir that an offered file goes to, which is dir but for those of a folder that is sent
// file by file: these go into one new folder, where each has its place.
func (a *account) placeFor(x *transfer, t *transfers.Transfer, dir string) (string, error) {
	rel := folder.FindPath(t.File().Extra)
	if rel == "" {
		return dir, nil
	}
	a.placing.Lock()
	defer a.placing.Unlock()
	a.mu.Lock()
	top := ""
	for _, o := range a.transfers {
		if o != x && o.t != nil && o.t.SID() == t.SID() && o.t.Peer() == t.Peer() && o.within.dir == dir {
			top = cmp.Or(top, o.within.top)
		}
	}
	if top == "" && a.lastPlace.sid == t.SID() && a.lastPlace.peer == t.Peer() && a.lastPlace.dir == dir {
		top = a.lastPlace.top // the others are through already
	}
	a.mu.Unlock()
	if top == "" {
		made, err := folder.Fresh(dir, rel)
		if err != nil {
			return "", err
		}
		top = made
	}
	place, err := folder.Place(dir, top, rel)
	if err != nil {
		return "", err
	}
	a.mu.Lock()
	x.within = within{dir: dir, top: top}
	a.lastPlace = lastWithin{within: x.within, sid: t.SID(), peer: t.Peer()}
	a.mu.Unlock()
	return place, nil
}

// within is the folder that a file of a folder goes to, and in which one.
type within struct{ dir, top string }

// lastWithin says where the last file of a folder went to.
type lastWithin struct {
	within
	sid  string
	peer jid.JID
}

// folderPath is how clients are told where in a folder a file is.
func folderPath(t *transfers.Transfer) string {
	return filepath.ToSlash(folder.FindPath(t.File().Extra))
}
