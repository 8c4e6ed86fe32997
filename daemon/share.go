package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"path"
	"path/filepath"
	"time"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/store"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmpp/roster"
)

// Share is a folder whose files others may fetch without being asked (XEP-0234 section 6.2), by name or by hash. The zero
// value shares nothing.
type Share struct {
	// Dir is absolute. Hidden files, incomplete ones and what links lead to are not shared.
	Dir string
	// Policy says who may fetch; its zero value is the contacts.
	Policy
}

func (s Share) validate() error {
	if s.Dir != "" && !filepath.IsAbs(s.Dir) {
		return fmt.Errorf("the shared folder %q is not absolute", s.Dir)
	}
	return s.Policy.validate()
}

// searchTime bounds the search for a file by its hash. A large folder is known after a few of them.
const searchTime = time.Minute

// sharesWith reports whether a peer may fetch files.
func (a *account) sharesWith(peer jid.JID) bool {
	return a.cfg.Share.Dir != "" && a.cfg.Share.admits(peer, a.isContact(peer))
}

// isContact reports whether a peer may see our presence.
func (a *account) isContact(peer jid.JID) bool {
	i, ok := a.client.Contact(peer.Bare())
	return peer.Bare() == a.cfg.JID || ok && (i.Subscription == roster.From || i.Subscription == roster.Both)
}

// sharedFile looks for a file in the shared folder. Whatever is wrong, the peer learns the same.
func (a *account) sharedFile(peer jid.JID, sums []hashes.Hash, want filetransfer.File) (transfers.Shared, *jingle.Reason) {
	if !a.sharesWith(peer) {
		return transfers.Shared{}, transfers.NotAvailable()
	}
	a.mu.Lock()
	life := a.life
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(life, searchTime)
	defer cancel()
	f, err := a.share.Find(ctx, store.Wanted{Name: want.Name, Size: want.Size, Hashes: sums})
	if err == nil && a.d.cfg.MaxFileSize > 0 && f.Size > a.d.cfg.MaxFileSize {
		return transfers.Shared{}, &jingle.Reason{Condition: jingle.MediaError, Text: "The file is larger than what is sent from here.",
			App: filetransfer.FileTooLarge()}
	}
	if err != nil {
		if !errors.Is(err, store.ErrNotShared) {
			a.log.Warn("shared folder", "err", err)
		}
		return transfers.Shared{}, transfers.NotAvailable()
	}
	name := path.Base(f.Name)
	if want.Name != "" {
		name = want.Name // by which it can be asked for again
	}
	return transfers.Shared{Source: transfers.Source{
		Name: name, Size: f.Size, ModTime: f.ModTime, MediaType: mime.TypeByExtension(path.Ext(f.Name)), Hashes: f.Hashes,
		Open: func() (io.ReadSeekCloser, error) { return a.share.Open(f) },
	}}, nil
}
