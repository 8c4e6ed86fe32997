package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// The phases of an [Unfinished] transfer.
const (
	// Running is a transfer with a session; after a kill it stands for Waiting.
	Running = "running"
	// Waiting is one that was interrupted and goes on by itself.
	Waiting = "waiting"
	// Paused is one that goes on when the user says so.
	Paused = "paused"
	// PausedByPeer is one that goes on when the user of the other side says so.
	PausedByPeer = "paused-by-peer"
	// Storing is a received file that is complete and verified and is being given its name.
	Storing = "storing"
	// GivenUp is one that has ended, of which the other side has not heard yet.
	GivenUp = "given-up"
)

// Unfinished is a file transfer that has begun and not ended, for both sides.
type Unfinished struct {
	Account, ID           string // the key; ID is the name that clients of the API know
	Peer                  string // the device, as it was last seen
	SID, Content          string // of the first session, by which both sides know the transfer
	Incoming              bool
	Phase                 string
	Name                  string // as the sender writes it, and never a path
	Size                  uint64
	Date                  string // as the sender writes it
	MediaType, Desc, Hash string // Hash is "algorithm:hex", or ""
	// Path is the file that is sent, or the folder of the one received. Part is the name of the incomplete file in it.
	Path, Part     string
	ModTime        time.Time // of the file that is sent, in nanoseconds
	Bytes          uint64    // that are flushed to the disk, or, at a sender, were sent
	Via            int32     // the road that was asked for
	Pull           bool      // whether the receiver is who asks
	Fruitless      int       // attempts in a row that brought no byte
	Encryption     int32     // what is wanted of it
	URL, Validator string    // of what is fetched by https: where, and of which version
	Began, Updated time.Time
}

// Journal writes an unfinished transfer down, in place of what was known of it. It survives the end of the process at
// once; a power failure may bring back the state of a few seconds before, in which Bytes is no larger than it may be.
func (s *Store) Journal(ctx context.Context, u Unfinished) error {
	return s.jot(ctx, `INSERT OR REPLACE INTO unfinished (account, id, peer, sid, content, incoming, phase, name, size, date,
		media_type, description, hash, path, part, mtime, bytes, via, pull, fruitless, began, updated, encryption, url, validator)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		u.Account, u.ID, u.Peer, u.SID, u.Content, u.Incoming, u.Phase, u.Name, count(u.Size), u.Date, u.MediaType, u.Desc,
		u.Hash, u.Path, u.Part, u.ModTime.UnixNano(), count(u.Bytes), u.Via, u.Pull, u.Fruitless, ms(u.Began), ms(u.Updated), u.Encryption,
		u.URL, u.Validator)
}

// Forget strikes an unfinished transfer out.
func (s *Store) Forget(ctx context.Context, account, id string) error {
	return s.jot(ctx, "DELETE FROM unfinished WHERE account = ? AND id = ?", account, id)
}

// jot writes without waiting for the disk.
func (s *Store) jot(ctx context.Context, text string, args ...any) error {
	if _, err := s.jots.ExecContext(ctx, text, args...); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

// Unfinished returns what an account has to go on with, the oldest first.
func (s *Store) Unfinished(ctx context.Context, account string) ([]Unfinished, error) {
	return query(ctx, s.db, `SELECT account, id, peer, sid, content, incoming, phase, name, size, date, media_type, description,
		hash, path, part, mtime, bytes, via, pull, fruitless, began, updated, encryption, url, validator FROM unfinished WHERE account = ? ORDER BY began, id`,
		[]any{account}, func(scan func(...any) error) (u Unfinished, err error) {
			var mtime, began, updated int64
			err = scan(&u.Account, &u.ID, &u.Peer, &u.SID, &u.Content, &u.Incoming, &u.Phase, &u.Name, &u.Size, &u.Date,
				&u.MediaType, &u.Desc, &u.Hash, &u.Path, &u.Part, &mtime, &u.Bytes, &u.Via, &u.Pull, &u.Fruitless, &began, &updated,
				&u.Encryption, &u.URL, &u.Validator)
			u.ModTime, u.Began, u.Updated = time.Unix(0, mtime), at(began), at(updated)
			return u, err
		})
}

// Ended looks in the history for a transfer with a bare address, by the name that clients know it by, and tells whether it
// was completed.
func (s *Store) Ended(ctx context.Context, account, peer, sid string, incoming bool) (known, complete bool, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT complete FROM transfer WHERE sid = ?1 AND account = ?2 AND incoming = ?4
		AND (peer = ?3 OR substr(peer, 1, length(?3) + 1) = ?3 || '/') ORDER BY id DESC LIMIT 1`, sid, account, peer, incoming).
		Scan(&complete)
	if errors.Is(err, sql.ErrNoRows) {
		return false, false, nil
	}
	return err == nil, complete, err
}
