package secrets

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// maxFile bounds the file of passwords.
const maxFile = 4 << 20

func (s *Store) path() string { return filepath.Join(s.cfg.Dir, "passwords.json") }

// read returns what the file has; nothing if it is not there.
func (s *Store) read() (map[string]string, error) {
	all := map[string]string{}
	if s.cfg.Dir == "" {
		return all, nil
	}
	b, err := readBounded(s.path(), maxFile)
	if errors.Is(err, os.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	if exposed(s.path()) {
		return nil, fmt.Errorf("others can read %s: run chmod 600 on it, and change the passwords", s.path())
	}
	if err := json.Unmarshal(b, &all); err != nil {
		// What the decoder says could have a piece of a password in it.
		return nil, fmt.Errorf("%s is not as this program has written it", s.path())
	}
	if all == nil {
		all = map[string]string{}
	}
	return all, nil
}

// change rewrites the file if edit says so. The old one stays until the new one is on the disk.
func (s *Store) change(edit func(map[string]string) bool) error {
	all, err := s.read()
	if err != nil {
		return err
	}
	if !edit(all) {
		return nil
	}
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(s.cfg.Dir, ".passwords-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // where it was not renamed
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), s.path())
}

func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, most)
	}
	return b, nil
}
