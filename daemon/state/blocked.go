package state

import (
	"context"
	"database/sql"
)

// SetBlocked keeps whom an account blocks, in place of what was kept before. When it returns nil, it is on the disk.
func (s *Store) SetBlocked(ctx context.Context, account string, jids []string) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM blocked WHERE account = ?", account); err != nil {
			return err
		}
		for _, j := range jids {
			if _, err := tx.ExecContext(ctx, "INSERT INTO blocked (account, jid) VALUES (?, ?)", account, j); err != nil {
				return err
			}
		}
		return nil
	})
}

// Blocked returns whom an account blocks, by address.
func (s *Store) Blocked(ctx context.Context, account string) ([]string, error) {
	return query(ctx, s.db, "SELECT jid FROM blocked WHERE account = ? ORDER BY jid", []any{account},
		func(scan func(...any) error) (j string, err error) { return j, scan(&j) })
}
