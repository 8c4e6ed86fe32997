package state

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
)

// Key returns the private file of an account, and makes it with what fresh returns if there is none. It is
// identity-ACCOUNT.pem in the state folder, for its owner alone; when Key returns it for the first time, it is on the disk.
func (s *Store) Key(account string, fresh func() ([]byte, error)) ([]byte, error) {
	s.keys.Lock()
	defer s.keys.Unlock()
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	defer root.Close()
	// Addresses may hold what no file name may.
	name := "identity-" + url.PathEscape(account) + ".pem"
	b, err := root.ReadFile(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	if b, err = fresh(); err != nil {
		return nil, err
	}
	return b, writeWhole(root, name, b)
}

// writeWhole writes a file so that it is there whole or not at all.
func writeWhole(root *os.Root, name string, b []byte) error {
	f, err := root.OpenFile(name+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := root.Rename(name+".new", name); err != nil {
		return err
	}
	if d, err := root.Open("."); err == nil {
		_ = d.Sync() // not possible on Windows, and not needed there
		_ = d.Close()
	}
	return nil
}
