package daemon

import (
	"errors"
	"fmt"
	"math"
	"mime"
	"path/filepath"
	"strings"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/filetransfer/store"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
)

// AcceptRule takes offered files without asking.
type AcceptRule struct {
	// Policy says from whom; its zero value stands for contacts.
	Policy
	// MaxSize is the largest file, in bytes; 0 means any. A file of unknown size fits no rule that has one.
	MaxSize int64
	// Types are media types, such as "image/png" or "image/*". Nil means any. What the sender says counts only if the name
	// does not say something else.
	Types []string
	// Encrypted takes only files that are encrypted end to end.
	Encrypted bool
	// Dir is the folder that they go to, absolute; "" is that of [Config].Downloads.
	Dir string
}

func (r AcceptRule) validate(downloads string) error {
	switch {
	case r.MaxSize < 0:
		return errors.New("max_size is negative")
	case r.Dir == "" && downloads == "":
		return errors.New("there is no folder that the files go to")
	case r.Dir != "" && !filepath.IsAbs(r.Dir):
		return fmt.Errorf("the folder %q is not absolute", r.Dir)
	}
	for _, t := range r.Types {
		if major, minor, ok := strings.Cut(t, "/"); !ok || major == "" || minor == "" || major == "*" {
			return fmt.Errorf("%q is no media type such as image/png or image/*", t)
		}
	}
	return r.Policy.validate()
}

// fits reports whether a rule takes a file. contact says that the sender may see our presence.
func (r AcceptRule) fits(peer jid.JID, contact bool, name, mediaType string, size *int64, encrypted bool) bool {
	switch {
	case !r.admits(peer, contact), r.Encrypted && !encrypted:
		return false
	case r.MaxSize > 0 && (size == nil || *size > r.MaxSize):
		return false
	}
	return len(r.Types) == 0 || r.fitsType(mediaType) && (extensionType(name) == "" || r.fitsType(extensionType(name)))
}

func (r AcceptRule) fitsType(mediaType string) bool {
	mediaType, _, _ = strings.Cut(strings.ToLower(mediaType), ";")
	mediaType = strings.TrimSpace(mediaType)
	for _, t := range r.Types {
		t = strings.ToLower(t)
		if major, all := strings.CutSuffix(t, "/*"); mediaType == t || all && strings.HasPrefix(mediaType, major+"/") {
			return true
		}
	}
	return false
}

func extensionType(name string) string { return mime.TypeByExtension(filepath.Ext(name)) }

// rule returns the folder that the first rule that fits has a file go to, "" if none does.
func (a *account) rule(t *transfers.Transfer) string {
	f := t.File()
	for _, r := range a.d.cfg.Accept {
		if r.fits(t.Peer(), a.isContact(t.Peer()), t.Name(), f.MediaType, f.Size, t.Encryption() == transfers.EndToEnd) {
			if r.Dir != "" {
				return r.Dir
			}
			return a.d.cfg.Downloads
		}
	}
	return ""
}

// takeFile takes an offered file into a folder.
func (a *account) takeFile(x *transfer, dir string, keepArchive bool) error {
	a.mu.Lock()
	t, waits := x.t, x.t != nil && x.incoming && x.state == jingledv1.TransferState_TRANSFER_STATE_OFFERED
	a.mu.Unlock()
	errWaits := connect.NewError(connect.CodeFailedPrecondition, errors.New("this file does not wait to be accepted"))
	if !waits {
		return errWaits
	}
	if err := a.acquaint(t); err != nil {
		return connect.NewError(connect.CodeFailedPrecondition, err)
	}
	place, err := a.placeFor(x, t, dir)
	if err != nil {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	folder, err := store.Open(place, store.Config{})
	if err != nil {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	size := sizeOf(t)
	if unpacks(t) && !keepArchive {
		size *= 2 // the archive and what is in it
	}
	if size <= math.MaxInt64 {
		if err := folder.CheckSpace(int64(size)); err != nil {
			return connect.NewError(connect.CodeFailedPrecondition, errors.Join(err, folder.Close()))
		}
	}
	a.mu.Lock()
	if x.state != jingledv1.TransferState_TRANSFER_STATE_OFFERED || a.transfers[x.id] != x {
		a.mu.Unlock()
		return errors.Join(errWaits, folder.Close())
	}
	x.folder, x.path, x.state = folder, folder.Dir(), jingledv1.TransferState_TRANSFER_STATE_CONNECTING
	x.keepArchive, x.unpack = keepArchive, unpacks(t) && !keepArchive
	a.mu.Unlock()
	a.acceptFile(x, folder)
	return nil
}
