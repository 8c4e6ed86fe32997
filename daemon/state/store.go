package state

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// ErrInUse says that another daemon has the folder.
var ErrInUse = errors.New("another jingled uses this state folder")

// ErrTooNew says that a newer version has written the database.
var ErrTooNew = errors.New("a newer version of jingled has written this database")

//go:embed migrations/*.sql
var migrations embed.FS

// Store is an open state folder. Its methods may be called from any goroutine.
type Store struct {
	db   *sql.DB
	jots *sql.DB // the same database, for what need not be on the disk at once
	lock *os.File
	keep int
	dir  string
	keys sync.Mutex // held while a key is looked for and made
}

// Config says how a [Store] works. The zero value has sensible defaults.
type Config struct {
	// Keep is how many calls, and how many transfers, are remembered (default 10,000 each). The oldest go first.
	Keep int
}

// Open opens the state in a folder, which is made with mode 0700 if it is not there, and brings it up to date. A
// folder that another process has open gives an error that wraps [ErrInUse].
func Open(dir string, cfg Config) (*Store, error) {
	if cfg.Keep <= 0 {
		cfg.Keep = 10_000
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	lock, err := lockFile(filepath.Join(dir, "jingled.lock"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	s := &Store{lock: lock, keep: cfg.Keep, dir: dir}
	if err := s.open(filepath.Join(dir, "jingled.db")); err != nil {
		return nil, errors.Join(fmt.Errorf("state in %s: %w", dir, err), s.Close())
	}
	return s, nil
}

func (s *Store) open(path string) error {
	// The file is made before SQLite does, so that nobody else can ever read it; its log gets the same mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if s.db, err = connect(path, "FULL"); err != nil {
		return err
	}
	s.db.SetMaxOpenConns(4)
	if s.jots, err = connect(path, "NORMAL"); err != nil {
		return err
	}
	s.jots.SetMaxOpenConns(1)
	return s.migrate()
}

func connect(path, synchronous string) (*sql.DB, error) {
	at := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path)}
	at.RawQuery = url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(" + synchronous + ")", "busy_timeout(5000)",
		"foreign_keys(ON)"}, "_txlock": {"immediate"}}.Encode()
	return sql.Open("sqlite", at.String())
}

// migrate applies what the database does not have yet. Each migration is a transaction, so a run that is killed leaves
// either all or nothing of it.
func (s *Store) migrate() error {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	slices.Sort(names)
	var have int
	if err := s.db.QueryRow("PRAGMA user_version").Scan(&have); err != nil {
		return err
	}
	if have > len(names) {
		return fmt.Errorf("%w: it has version %d, this program knows %d", ErrTooNew, have, len(names))
	}
	for i, name := range names[have:] {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		if err := s.apply(string(text), have+i+1); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (s *Store) apply(text string, version int) error {
	return s.write(context.Background(), func(tx *sql.Tx) error {
		if _, err := tx.Exec(text); err != nil {
			return err
		}
		_, err := tx.Exec(fmt.Sprintf("PRAGMA user_version = %d", version))
		return err
	})
}

// write runs f in a transaction. When it returns nil, what f wrote is on the disk.
func (s *Store) write(ctx context.Context, f func(*sql.Tx) error) error { return inTx(ctx, s.db, f) }

func inTx(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// Close ends the use of the folder. The store cannot be used afterwards.
func (s *Store) Close() error {
	var err error
	for _, db := range []*sql.DB{s.jots, s.db} {
		if db != nil {
			err = errors.Join(err, db.Close())
		}
	}
	return errors.Join(err, s.lock.Close())
}
