package daemon

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon/state"
	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/resume"
	"github.com/jingled/jingled/filetransfer/store"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
)

// resumable is what a transfer needs to go on after an interruption. The account's lock guards it.
type resumable struct {
	j          *state.Unfinished // as it stands in the journal; nil: it cannot go on
	next       time.Time         // when it is tried again
	delay      time.Duration     // before the try after that
	attempting bool
	offered    *transfers.Transfer // by which the peer wants to go on with it; not begun
	cancelled  *jingle.Reason      // the user has given it up while it had a session
	over       bool                // it was given up, and the history has to hear of it
	most       uint64              // bytes that were there at the end of a session, since the daemon began
}

// journals is what an account has for transfers that are interrupted.
type journals struct {
	writing sync.Mutex    // so that what is written last is what is known last
	wake    chan struct{} // there may be something to try
	tasks   tasks
	// The account's lock guards the rest.
	hashing int                    // answers about blocks that are being computed
	untold  map[jid.JID][]*givenUp // by the bare address of who has not heard it yet
}

const (
	// checkpointInterval is how much of a file that is received may come twice after the daemon was killed, in time.
	checkpointInterval = time.Second
	// keepPart is how long an interrupted transfer waits, and keepEmpty one without a byte.
	keepPart, keepEmpty = 7 * 24 * time.Hour, time.Hour
	// maxUnfinished bounds the interrupted transfers of an account; the one that rests longest goes first.
	maxUnfinished = 1000
)

// checkpoint returns how often received files are flushed. Without a journal there is no use in it.
func (a *account) checkpoint() time.Duration {
	if a.d.state == nil {
		return 0
	}
	return checkpointInterval
}

// rowOfSent begins the journal of a file that is offered. a.mu is held.
func (a *account) rowOfSent(x *transfer, src transfers.Source, via jingledv1.Via) *state.Unfinished {
	if !x.t.Continues() || x.path == "" {
		return nil
	}
	return a.row(x, func(u *state.Unfinished) {
		u.Path, u.ModTime, u.Desc, u.Via = x.path, src.ModTime, src.Desc, int32(via)
	})
}

// rowOfReceived begins the journal of a file that is accepted. a.mu is held.
func (a *account) rowOfReceived(x *transfer, dir, part string) *state.Unfinished {
	return a.row(x, func(u *state.Unfinished) {
		u.Path, u.Part = dir, part
		if o, ok := a.files.web.Origin(x.t); ok {
			u.URL, u.Pull = o.URL, true
		}
	})
}

func (a *account) row(x *transfer, more func(*state.Unfinished)) *state.Unfinished {
	if a.d.state == nil {
		return nil
	}
	f := x.t.File()
	u := &state.Unfinished{Account: a.cfg.JID.String(), ID: x.id, Peer: x.peer.String(), SID: x.t.SID(), Content: x.t.Content(),
		Incoming: x.incoming, Encryption: int32(x.wishFor()), Phase: state.Running, Name: f.Name, Size: sizeOf(x.t), Date: f.Date, MediaType: f.MediaType,
		Began: x.since, ModTime: time.Unix(0, 0)}
	if r, named := resume.Find(f.Extra); named && x.incoming {
		// It goes on with one that we have ended or do not know, and its sender will name that again.
		u.SID, u.Content = r.SID, r.Content
	}
	for _, h := range f.Hashes {
		if h.Usable() {
			u.Hash = journalHash(h)
		}
	}
	more(u)
	return u
}

// journal writes down where a transfer stands, if it can go on after an interruption.
func (a *account) journal(x *transfer) {
	a.journals.writing.Lock()
	defer a.journals.writing.Unlock()
	a.mu.Lock()
	if x.j == nil || a.transfers[x.id] != x {
		a.mu.Unlock()
		return
	}
	x.j.Peer, x.j.Updated = x.peer.String(), time.Now()
	row := *x.j
	a.mu.Unlock()
	a.d.keep("unfinished transfer", func(ctx context.Context, s *state.Store) error { return s.Journal(ctx, row) })
}

// strike takes a transfer that has ended out of the journal.
func (a *account) strike(x *transfer) {
	a.journals.writing.Lock()
	defer a.journals.writing.Unlock()
	a.mu.Lock()
	had := x.j != nil
	a.mu.Unlock()
	if had {
		a.strikeRow(x.id)
	}
}

// strikeOut takes rows out of the journal that are no transfers any more.
func (a *account) strikeOut(ids ...string) {
	a.journals.writing.Lock()
	defer a.journals.writing.Unlock()
	for _, id := range ids {
		a.strikeRow(id)
	}
}

// strikeRow takes a row out of the journal; writing is held.
func (a *account) strikeRow(id string) {
	a.d.keep("end of a transfer", func(ctx context.Context, s *state.Store) error {
		return s.Forget(ctx, a.cfg.JID.String(), id)
	})
}

// recall reads what a daemon before this one left unfinished.
func (a *account) recall(ctx context.Context) error {
	if a.d.state == nil {
		return nil
	}
	rows, err := a.d.state.Unfinished(ctx, a.cfg.JID.String())
	if err != nil {
		return err
	}
	for _, u := range rows {
		if u.Phase == state.GivenUp {
			if !a.addUntold(&u) {
				a.strikeOut(u.ID)
			}
			continue
		}
		x := &transfer{id: u.ID, peer: jid.JID(u.Peer), incoming: u.Incoming, name: filetransfer.SafeName(u.Name), path: u.Path,
			since: u.Began, state: jingledv1.TransferState_TRANSFER_STATE_WAITING, resumable: resumable{j: &u}}
		known, _, err := a.d.state.Ended(ctx, u.Account, x.peer.Bare().String(), u.ID, u.Incoming)
		if err != nil {
			return err
		}
		a.transfers[x.id] = x
		switch {
		case known: // it was killed between its end and the end of its journal
			delete(a.transfers, x.id)
			a.strike(x)
			continue
		case u.Phase == state.Storing && gone(u.Path, u.Part):
			// It was killed when the file had its name already.
			delete(a.transfers, x.id)
			done := &jingledv1.TransferDone{Bytes: u.Size, Verified: u.Hash != "", Hash: map[string]string{}}
			if algo, sum, ok := cutHash(u.Hash); ok {
				done.Hash[string(algo)] = sum
			}
			a.keepTransfer(x, done, nil)
			a.strike(x)
			continue
		case u.Phase == state.Paused:
			x.state = jingledv1.TransferState_TRANSFER_STATE_PAUSED
		case u.Phase == state.PausedByPeer:
			x.state = jingledv1.TransferState_TRANSFER_STATE_PAUSED_BY_PEER
		default:
			x.j.Phase = state.Waiting
		}
	}
	return nil
}

func gone(dir, name string) bool {
	_, err := os.Lstat(filepath.Join(dir, name))
	return errors.Is(err, os.ErrNotExist)
}

// expire gives up what has waited for too long, and what is too much.
func (a *account) expire(now time.Time) {
	a.expireUntold(now)
	a.mu.Lock()
	var old []*transfer
	var oldest *transfer
	n := 0
	for _, x := range a.transfers {
		if !x.resting() || x.attempting {
			continue
		}
		keep := keepPart
		if x.j.Bytes == 0 && x.incoming && x.j.Phase != state.Paused {
			keep = keepEmpty
		}
		if now.Sub(x.j.Updated) > keep {
			old = append(old, x)
			continue
		}
		if n++; oldest == nil || x.j.Updated.Before(oldest.j.Updated) {
			oldest = x
		}
	}
	if n > maxUnfinished {
		old = append(old, oldest)
	}
	a.mu.Unlock()
	for _, x := range old {
		a.end(x, &jingledv1.TransferFailed{Reason: "expired", Text: "It was not gone on with for too long."})
	}
}

// end gives up an interrupted transfer with what is there of it. It returns false if it is not interrupted any more.
func (a *account) end(x *transfer, why *jingledv1.TransferFailed) bool {
	a.mu.Lock()
	if a.transfers[x.id] != x || !x.resting() {
		a.mu.Unlock()
		return false
	}
	row := *x.j
	x.over = true // nobody goes on with it any more
	a.mu.Unlock()
	if x.incoming && row.Part != "" {
		if err := removePart(row); err != nil {
			a.log.Warn("an incomplete file is left", "folder", row.Path, "name", row.Part, "err", err)
		}
	}
	a.failed(x, why)
	return true
}

func removePart(u state.Unfinished) error {
	if gone(u.Path, u.Part) {
		return nil
	}
	folder, err := store.Open(u.Path, store.Config{})
	if err != nil {
		return err
	}
	f, err := folder.Reopen(u.Name, u.Part)
	if err == nil {
		err = f.Discard()
	}
	return errors.Join(err, folder.Close())
}

// ref is the name by which both sides know a transfer.
func ref(u *state.Unfinished) resume.Ref { return resume.Ref{SID: u.SID, Content: u.Content} }

// same reports whether an offer is of the file that the journal knows. Where both say when it was changed or what its hash
// is, these have to agree.
func same(u *state.Unfinished, f filetransfer.File) bool {
	if f.Name != u.Name || f.Size == nil || uint64(*f.Size) != u.Size || u.Date != "" && f.Date != "" && u.Date != f.Date {
		return false
	}
	for _, h := range f.Hashes {
		if algo, sum, ok := cutHash(u.Hash); ok && h.Usable() && h.Algo.Canonical() == algo && h.Hex() != sum {
			return false
		}
	}
	return true
}

// certain reports whether an offer that names no earlier transfer surely is of the file that the journal knows.
func certain(u *state.Unfinished, f filetransfer.File) bool {
	if u.Date != "" && f.Date == u.Date {
		return true
	}
	algo, sum, ok := cutHash(u.Hash)
	for _, h := range f.Hashes {
		if ok && h.Usable() && h.Algo.Canonical() == algo && h.Hex() == sum {
			return true
		}
	}
	return false
}

// journalHash writes a hash as "algorithm:hex", and "" for one without a value.
func journalHash(h hashes.Hash) string {
	if len(h.Sum) == 0 {
		return ""
	}
	return string(h.Algo.Canonical()) + ":" + hex.EncodeToString(h.Sum)
}

// cutHash reads "algorithm:hex".
func cutHash(s string) (hashes.Algo, string, bool) {
	algo, sum, ok := strings.Cut(s, ":")
	return hashes.Algo(algo).Canonical(), sum, ok
}
