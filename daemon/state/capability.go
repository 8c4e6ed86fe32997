package state

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// MaxCapabilities is how many disco#info answers are kept. Those go first that have not been of use for the longest time.
const MaxCapabilities = 1000

// Capability is a disco#info answer by its hash (XEP-0115).
type Capability struct {
	Hash, Ver string
	Info      string // the <query/> as XML
}

// AddCapability keeps an answer, or notes that it was of use. It does not wait for the disk.
func (s *Store) AddCapability(ctx context.Context, c Capability, now time.Time) error {
	err := inTx(ctx, s.jots, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO capability (hash, ver, info, seen) VALUES (?1, ?2, ?3, ?4)
			ON CONFLICT DO UPDATE SET info = ?3, seen = ?4`, c.Hash, c.Ver, c.Info, ms(now)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM capability WHERE rowid IN
			(SELECT rowid FROM capability ORDER BY seen DESC, rowid DESC LIMIT -1 OFFSET ?)`, MaxCapabilities)
		return err
	})
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return nil
}

// Capabilities returns what is kept, the newest last.
func (s *Store) Capabilities(ctx context.Context) ([]Capability, error) {
	return query(ctx, s.db, "SELECT hash, ver, info FROM capability ORDER BY seen, rowid", nil,
		func(scan func(...any) error) (c Capability, err error) { return c, scan(&c.Hash, &c.Ver, &c.Info) })
}
