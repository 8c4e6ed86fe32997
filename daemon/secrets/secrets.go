// Package secrets keeps the passwords of accounts: in the keyring of the user's desktop, or where there is none in a file
// that only the user can read. Passwords that systemd hands over as credentials come before both.
package secrets

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/jingled/jingled/jid"
)

// ErrNotFound is returned where nothing is known about an account.
var ErrNotFound = errors.New("no password is kept for this account")

// ErrBadPassword is one that cannot be kept.
var ErrBadPassword = errors.New("this cannot be a password")

// maxPassword bounds a password, in bytes.
const maxPassword = 4096

// Place is where a password is kept.
type Place string

// The places.
const (
	Keyring    Place = "keyring"    // of the desktop: Secret Service, macOS Keychain, Windows Credential Manager
	Credential Place = "credential" // of systemd, see systemd.exec(5), LoadCredential=
	File       Place = "file"       // with mode 0600 in the state folder
	Memory     Place = "memory"     // until the daemon ends
)

// Config says where a [Store] keeps passwords.
type Config struct {
	// Dir is the folder for the file, which is made with mode 0700 if it is not there. Empty: nothing outlives the
	// process, and the keyring is left alone.
	Dir string
	// Credentials is a folder with a file for each account, named by its address, as systemd makes it
	// ($CREDENTIALS_DIRECTORY). It is only read. Empty: none.
	Credentials string
	// NoKeyring keeps passwords in the file even where there is a keyring.
	NoKeyring bool
}

// Store keeps passwords. Its methods may be called from any goroutine; they can wait for a person who unlocks the keyring.
type Store struct {
	cfg  Config
	ring ring // nil: there is none

	mu     sync.Mutex // guards the file too, but is not held while a keyring asks a person
	memory map[jid.JID]string
}

// ring is a keyring.
type ring interface {
	get(account string) (string, error) // ErrNotFound
	set(account, password string) error
	remove(account string) error // ErrNotFound
}

// New returns a store. It does not look for anything yet.
func New(cfg Config) *Store {
	s := &Store{cfg: cfg, memory: make(map[jid.JID]string)}
	if cfg.Dir != "" && !cfg.NoKeyring && desktop() {
		s.ring = system{}
	}
	return s
}

// Get returns the password of an account and where it was.
func (s *Store) Get(account jid.JID) (password string, at Place, err error) {
	if password, err = s.credential(account); err == nil || !errors.Is(err, ErrNotFound) {
		return password, Credential, err
	}
	s.mu.Lock()
	password, ok := s.memory[account]
	s.mu.Unlock()
	if ok {
		return password, Memory, nil
	}
	var failure error
	if s.ring != nil {
		password, err := s.ring.get(account.String())
		if err == nil {
			return password, Keyring, nil
		}
		if !errors.Is(err, ErrNotFound) {
			failure = fmt.Errorf("the keyring: %w", err)
		}
	}
	if s.cfg.Dir != "" {
		s.mu.Lock()
		all, err := s.read()
		s.mu.Unlock()
		if err != nil {
			return "", File, err
		}
		if password, ok := all[account.String()]; ok {
			return password, File, nil
		}
	}
	if failure != nil {
		return "", Keyring, failure // it may be there: a locked keyring is no proof
	}
	return "", "", ErrNotFound
}

// Set keeps a password in the best place, and says which that is.
func (s *Store) Set(account jid.JID, password string) (Place, error) {
	switch {
	case password == "":
		return "", fmt.Errorf("%w: it is empty", ErrBadPassword)
	case len(password) > maxPassword:
		return "", fmt.Errorf("%w: at most %d bytes are possible", ErrBadPassword, maxPassword)
	case strings.ContainsAny(password, "\x00\n\r"):
		return "", fmt.Errorf("%w: it has a line break", ErrBadPassword) // they would not survive a file with lines
	}
	if s.cfg.Dir == "" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.memory[account] = password
		return Memory, nil
	}
	kept := s.ring != nil && s.ring.set(account.String(), password) == nil
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept {
		return Keyring, s.change(func(all map[string]string) bool {
			_, old := all[account.String()]
			delete(all, account.String()) // of a time without a keyring
			return old
		})
	}
	return File, s.change(func(all map[string]string) bool {
		all[account.String()] = password
		return true
	})
}

// Delete forgets an account's password wherever it is kept. That of systemd stays. It is no error if there is none.
func (s *Store) Delete(account jid.JID) error {
	var failure error
	if s.ring != nil {
		if err := s.ring.remove(account.String()); err != nil && !errors.Is(err, ErrNotFound) {
			failure = fmt.Errorf("the keyring: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.memory, account)
	if s.cfg.Dir == "" {
		return failure
	}
	return errors.Join(failure, s.change(func(all map[string]string) bool {
		_, there := all[account.String()]
		delete(all, account.String())
		return there
	}))
}

// credential reads what systemd has handed over. A trailing line break is not part of the password.
func (s *Store) credential(account jid.JID) (string, error) {
	if s.cfg.Credentials == "" {
		return "", ErrNotFound
	}
	// An address is one name of a file: it has no slash, and one with a local part is neither "." nor "..".
	if account.Local() == "" || !account.IsBare() || strings.ContainsRune(account.String(), os.PathSeparator) {
		return "", ErrNotFound
	}
	b, err := readBounded(filepath.Join(s.cfg.Credentials, account.String()), maxPassword+2)
	if errors.Is(err, os.ErrNotExist) {
		return "", ErrNotFound
	}
	if err != nil {
		return "", fmt.Errorf("the credential of %s: %w", account, err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", fmt.Errorf("the credential of %s is empty", account)
	}
	return line, nil
}
