package state

import (
	"context"
	"database/sql"
	"errors"
)

// Resource returns the name of this device for an account: what it returned the last time on the same machine, or else fresh.
// A folder that was copied to another machine gets another name there, as two devices of one name throw each other out.
func (s *Store) Resource(ctx context.Context, account, machine, fresh string) (string, error) {
	name := fresh
	err := s.write(ctx, func(tx *sql.Tx) error {
		var at, known string
		err := tx.QueryRowContext(ctx, "SELECT machine, name FROM resource WHERE account = ?", account).Scan(&at, &known)
		switch {
		case err == nil && at == machine:
			name = known
			return nil
		case err != nil && !errors.Is(err, sql.ErrNoRows):
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO resource (account, machine, name) VALUES (?1, ?2, ?3)
			ON CONFLICT DO UPDATE SET machine = ?2, name = ?3`, account, machine, fresh)
		return err
	})
	return name, err
}
