package credentials

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// User is a long-lived user as it stands in a configuration: keys instead of a password. A key is worth as much as
// the password at this realm, so the file that holds it stays private; it is worth nothing elsewhere.
type User struct {
	Name   string
	MD5    string // hex of [Key] with [MD5]
	SHA256 string // hex of [Key] with [SHA256]; "" if the user is to use MD5 only
}

// NewUser makes the entry of a user from a password.
func NewUser(name, realm, password string) (User, error) {
	if name == "" || password == "" {
		return User{}, fmt.Errorf("credentials: a static user needs a name and a password")
	}
	m, err := Key(MD5, name, realm, password)
	if err != nil {
		return User{}, err
	}
	s, err := Key(SHA256, name, realm, password)
	if err != nil {
		return User{}, err
	}
	return User{Name: name, MD5: hex.EncodeToString(m), SHA256: hex.EncodeToString(s)}, nil
}

type staticKeys struct{ md5, sha256 []byte }

// Static is a set of long-lived users. It is immutable.
type Static struct {
	users map[string]staticKeys
}

// NewStatic reads the users' keys. Names are unique. A name that starts with a digit and could be read as a
// time-limited one is refused, so that no user is of two kinds.
func NewStatic(users []User) (*Static, error) {
	s := &Static{users: make(map[string]staticKeys, len(users))}
	for _, u := range users {
		if u.Name == "" || len(u.Name) > 513 {
			return nil, fmt.Errorf("credentials: a static user's name has 1 to 513 bytes, %q has not", u.Name)
		}
		if head, _, _ := strings.Cut(u.Name, ":"); strings.Trim(head, "0123456789") == "" {
			return nil, fmt.Errorf("credentials: static user %q looks like a time-limited name; use one that does not begin with a number and a colon", u.Name)
		}
		if _, dup := s.users[u.Name]; dup {
			return nil, fmt.Errorf("credentials: static user %q stands there twice", u.Name)
		}
		var k staticKeys
		var err error
		if k.md5, err = hexKey(u.Name, "md5", u.MD5, 16); err != nil {
			return nil, err
		}
		if k.sha256, err = hexKey(u.Name, "sha256", u.SHA256, 32); err != nil {
			return nil, err
		}
		if k.md5 == nil && k.sha256 == nil {
			return nil, fmt.Errorf("credentials: static user %q has no key; make one with: jingle-relay credentials user", u.Name)
		}
		s.users[u.Name] = k
	}
	return s, nil
}

// Key returns the user's key for the algorithm, and nil if there is none.
func (s *Static) Key(alg Algorithm, username string) []byte {
	k := s.users[username]
	if alg == SHA256 {
		return k.sha256
	}
	return k.md5
}

// Len returns the number of users.
func (s *Static) Len() int { return len(s.users) }

func hexKey(user, kind, text string, size int) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != size {
		// The text is a secret and stays out of the sentence.
		return nil, fmt.Errorf("credentials: the %s key of static user %q is not %d hexadecimal digits", kind, user, 2*size)
	}
	return b, nil
}
