package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Account is an account that the daemon had. There is no secret in it.
type Account struct {
	JID                 string
	FirstSeen, LastSeen time.Time
}

// Identity is a key that an account trusts for a peer.
type Identity struct {
	Account, Peer       string
	Kind                string // ServerCertificate
	Value               string
	FirstSeen, LastSeen time.Time
}

// ServerCertificate is the kind of an [Identity] whose value is the SHA-256 fingerprint of a server's certificate, in
// lower-case hex. Its peer is the server's domain.
const ServerCertificate = "server-certificate"

// ClientCertificate is the kind of an [Identity] whose value is the SHA-256 fingerprint of the certificate that a
// person's client shows in DTLS handshakes and signs with, in lower-case hex. Its peer is a bare address.
const ClientCertificate = "client-certificate"

// Call is a call that has ended.
type Call struct {
	ID                                        int64 // given by AddCall
	Account, Peer, SID                        string
	Incoming, Video                           bool
	Began, Ended                              time.Time
	Connected                                 bool
	Conversation                              time.Duration
	Reason, Text                              string // XEP-0166 section 7.4
	ByPeer                                    bool
	PacketsSent, PacketsReceived, PacketsLost uint64
	KeysSent, KeysReceived                    string // DTMF
}

// Transfer is a file transfer that has ended.
type Transfer struct {
	ID                 int64 // given by AddTransfer
	Account, Peer, SID string
	Incoming           bool
	Began, Ended       time.Time
	Name               string
	Size, Bytes        uint64
	Transport, Path    string
	Encryption         string // "none", "dtls", "end-to-end", or "" if no connection was made
	Complete, Verified bool
	Hash               string // "algorithm:hex", or ""
	Reason, Text       string // of one that is not complete
	ByPeer             bool
}

// Seen notes that there is an account.
func (s *Store) Seen(ctx context.Context, jid string, now time.Time) error {
	return s.exec(ctx, `INSERT INTO account (jid, first_seen, last_seen) VALUES (?1, ?2, ?2)
		ON CONFLICT DO UPDATE SET last_seen = ?2`, jid, ms(now))
}

// Pin notes an identity.
func (s *Store) Pin(ctx context.Context, i Identity, now time.Time) error {
	return s.exec(ctx, `INSERT INTO identity (account, peer, kind, value, first_seen, last_seen) VALUES (?1, ?2, ?3, ?4, ?5, ?5)
		ON CONFLICT DO UPDATE SET last_seen = ?5`, i.Account, i.Peer, i.Kind, i.Value, ms(now))
}

// Unpin forgets an identity, or all of a peer's of this kind if it has no value, and reports whether there was one.
func (s *Store) Unpin(ctx context.Context, i Identity) (found bool, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `DELETE FROM identity WHERE account = ?1 AND peer = ?2 AND kind = ?3 AND (?4 = '' OR value = ?4)`,
			i.Account, i.Peer, i.Kind, i.Value)
		if err != nil {
			return err
		}
		n, err := r.RowsAffected()
		found = n > 0
		return err
	})
	return found, err
}

// AddCall keeps a call. When it returns nil, the record is on the disk.
func (s *Store) AddCall(ctx context.Context, c Call) error {
	return s.add(ctx, "call", `INSERT INTO call (account, peer, sid, incoming, video, began, ended, connected, seconds, reason,
		text, by_peer, packets_sent, packets_received, packets_lost, keys_sent, keys_received)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		c.Account, c.Peer, c.SID, c.Incoming, c.Video, ms(c.Began), ms(c.Ended), c.Connected, c.Conversation.Seconds(), c.Reason,
		c.Text, c.ByPeer, count(c.PacketsSent), count(c.PacketsReceived), count(c.PacketsLost),
		c.KeysSent, c.KeysReceived)
}

// AddTransfer keeps a transfer. When it returns nil, the record is on the disk.
func (s *Store) AddTransfer(ctx context.Context, t Transfer) error {
	return s.add(ctx, "transfer", `INSERT INTO transfer (account, peer, sid, incoming, began, ended, name, size, bytes, transport,
		path, complete, verified, hash, reason, text, by_peer, encryption) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		t.Account, t.Peer, t.SID, t.Incoming, ms(t.Began), ms(t.Ended), t.Name, count(t.Size), count(t.Bytes), t.Transport,
		t.Path, t.Complete, t.Verified, t.Hash, t.Reason, t.Text, t.ByPeer, t.Encryption)
}

// add inserts a record and lets the oldest of its table go.
func (s *Store) add(ctx context.Context, table, insert string, args ...any) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, insert, args...)
		if err != nil {
			return err
		}
		id, err := r.LastInsertId()
		if err != nil {
			return err
		}
		// Ids only grow, and the oldest record is the one with the lowest.
		_, err = tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE id <= ?", id-int64(s.keep))
		return err
	})
}

func (s *Store) exec(ctx context.Context, text string, args ...any) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, text, args...)
		return err
	})
}

// Filter selects records. The zero value selects the newest.
type Filter struct {
	Account string // bare; "": all
	Peer    string // bare, with all its devices, or full; "": all
	// Before keeps to records that ended before this time.
	Before time.Time
	// Limit is the number of records; 0 means all.
	Limit int
}

// where makes the conditions. A peer's bare address takes its full ones too.
func (f Filter) where() (string, []any) {
	text, args := " WHERE 1", []any{}
	if f.Account != "" {
		text, args = text+" AND account = ?", append(args, f.Account)
	}
	if f.Peer != "" {
		text, args = text+" AND (peer = ? OR substr(peer, 1, length(?) + 1) = ? || '/')", append(args, f.Peer, f.Peer, f.Peer)
	}
	if !f.Before.IsZero() {
		text, args = text+" AND ended < ?", append(args, ms(f.Before))
	}
	limit := f.Limit
	if limit <= 0 {
		limit = -1
	}
	return text + " ORDER BY ended DESC, id DESC LIMIT ?", append(args, limit)
}

// Calls returns calls, the newest first.
func (s *Store) Calls(ctx context.Context, f Filter) ([]Call, error) {
	where, args := f.where()
	return query(ctx, s.db, `SELECT id, account, peer, sid, incoming, video, began, ended, connected, seconds, reason, text,
		by_peer, packets_sent, packets_received, packets_lost, keys_sent, keys_received FROM call`+where, args, func(scan func(...any) error) (c Call, err error) {
		var began, ended int64
		var seconds float64
		err = scan(&c.ID, &c.Account, &c.Peer, &c.SID, &c.Incoming, &c.Video, &began, &ended, &c.Connected, &seconds, &c.Reason,
			&c.Text, &c.ByPeer, &c.PacketsSent, &c.PacketsReceived, &c.PacketsLost, &c.KeysSent, &c.KeysReceived)
		c.Began, c.Ended, c.Conversation = at(began), at(ended), time.Duration(seconds*float64(time.Second))
		return c, err
	})
}

// Transfers returns transfers, the newest first.
func (s *Store) Transfers(ctx context.Context, f Filter) ([]Transfer, error) {
	where, args := f.where()
	return query(ctx, s.db, `SELECT id, account, peer, sid, incoming, began, ended, name, size, bytes, transport, path, complete,
		verified, hash, reason, text, by_peer, encryption FROM transfer`+where, args, func(scan func(...any) error) (t Transfer, err error) {
		var began, ended int64
		err = scan(&t.ID, &t.Account, &t.Peer, &t.SID, &t.Incoming, &began, &ended, &t.Name, &t.Size, &t.Bytes, &t.Transport,
			&t.Path, &t.Complete, &t.Verified, &t.Hash, &t.Reason, &t.Text, &t.ByPeer, &t.Encryption)
		t.Began, t.Ended = at(began), at(ended)
		return t, err
	})
}

// Accounts returns the accounts that there were, by address.
func (s *Store) Accounts(ctx context.Context) ([]Account, error) {
	return query(ctx, s.db, "SELECT jid, first_seen, last_seen FROM account ORDER BY jid", nil,
		func(scan func(...any) error) (a Account, err error) {
			var first, last int64
			err = scan(&a.JID, &first, &last)
			a.FirstSeen, a.LastSeen = at(first), at(last)
			return a, err
		})
}

// Identities returns the identities that are pinned, by account and peer.
func (s *Store) Identities(ctx context.Context) ([]Identity, error) {
	return query(ctx, s.db, "SELECT account, peer, kind, value, first_seen, last_seen FROM identity ORDER BY account, peer, kind, value", nil,
		func(scan func(...any) error) (i Identity, err error) {
			var first, last int64
			err = scan(&i.Account, &i.Peer, &i.Kind, &i.Value, &first, &last)
			i.FirstSeen, i.LastSeen = at(first), at(last)
			return i, err
		})
}

func query[T any](ctx context.Context, db *sql.DB, text string, args []any, read func(scan func(...any) error) (T, error)) (out []T, err error) {
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		v, err := read(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("state: %w", err)
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

func ms(t time.Time) int64 { return t.UnixMilli() }

func at(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// count makes a number that SQLite can hold.
func count(n uint64) int64 { return int64(min(n, 1<<63-1)) }
