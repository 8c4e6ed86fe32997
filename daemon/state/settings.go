package state

import "context"

// AccountSettings is what was set for an account while the daemon ran. There is no secret in it.
type AccountSettings struct {
	JID      string
	Added    bool   // the account is only here, and in no configuration
	Settings string // jingled.v1.AccountSettings in its JSON form
}

// SetAccount keeps the settings of an account, in place of those that are there.
func (s *Store) SetAccount(ctx context.Context, a AccountSettings) error {
	return s.exec(ctx, `INSERT INTO account_settings (jid, added, settings) VALUES (?1, ?2, ?3)
		ON CONFLICT DO UPDATE SET added = ?2, settings = ?3`, a.JID, a.Added, a.Settings)
}

// RemoveAccount forgets the settings of an account. What happened with it stays.
func (s *Store) RemoveAccount(ctx context.Context, jid string) error {
	return s.exec(ctx, "DELETE FROM account_settings WHERE jid = ?", jid)
}

// AccountSettings returns what SetAccount has kept, by address.
func (s *Store) AccountSettings(ctx context.Context) ([]AccountSettings, error) {
	return query(ctx, s.db, "SELECT jid, added, settings FROM account_settings ORDER BY jid", nil,
		func(scan func(...any) error) (a AccountSettings, err error) {
			err = scan(&a.JID, &a.Added, &a.Settings)
			return a, err
		})
}
