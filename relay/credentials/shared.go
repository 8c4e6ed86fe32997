package credentials

import (
	"crypto/hmac"
	"crypto/sha1" // #nosec G505 -- the draft, coturn, Prosody and ejabberd all use HMAC-SHA1
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// DefaultTTL is how long an issued credential is valid if nothing else is said: one day, as the draft recommends.
const DefaultTTL = 24 * time.Hour

// MinSecret is the least length of a shared secret in bytes. One that can be guessed makes an open relay.
const MinSecret = 16

// maxUser bounds the name that is put into a credential: STUN's USERNAME takes 513 bytes (RFC 8489 section 14.3).
const maxUser = 480

// Issued is a credential to hand to a client.
type Issued struct {
	Username string    // "<unix time of expiry>:<user>"
	Password string    // base64
	Expires  time.Time // to the second, UTC
}

// Shared issues and checks time-limited credentials (draft-uberti-behave-turn-rest-00 section 2.2). It is immutable.
type Shared struct {
	secrets []string
}

// NewShared takes the secrets, the current one first. Credentials are issued with the first; all are accepted, so a
// new secret is rolled out by putting it first everywhere and dropping the old one a TTL later.
func NewShared(secrets ...string) (*Shared, error) {
	if len(secrets) == 0 {
		return nil, errors.New("credentials: no shared secret given")
	}
	for i, s := range secrets {
		if len(s) < MinSecret {
			return nil, fmt.Errorf("credentials: shared secret %d has %d bytes, it needs at least %d; make one with: jingle-relay credentials secret", i+1, len(s), MinSecret)
		}
	}
	return &Shared{secrets: append([]string(nil), secrets...)}, nil
}

// Issue returns a credential for user that ends ttl after now (0 means [DefaultTTL]). user is what quotas and records
// count by, e.g. a bare JID; it may be empty. Characters that would break the form are replaced.
func (s *Shared) Issue(now time.Time, user string, ttl time.Duration) Issued {
	if ttl <= 0 {
		ttl = DefaultTTL
	}
	end := now.Add(ttl).Truncate(time.Second).UTC()
	name := strconv.FormatInt(end.Unix(), 10)
	if user = cleanUser(user); user != "" {
		name += ":" + user
	}
	return Issued{Username: name, Password: Password(s.secrets[0], name), Expires: end}
}

// Password returns base64(HMAC-SHA1(secret, username)), the draft's password.
func Password(secret, username string) string {
	m := hmac.New(sha1.New, []byte(secret))
	m.Write([]byte(username))
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// Check splits a time-limited user name. ok is false if it has not the form or its time has come.
func (s *Shared) Check(now time.Time, username string) (user string, expires time.Time, ok bool) {
	stamp, user, _ := strings.Cut(username, ":")
	if len(stamp) == 0 || len(stamp) > 12 || stamp[0] == '0' {
		return "", time.Time{}, false
	}
	for i := range len(stamp) { // ParseInt would take a sign
		if stamp[i] < '0' || stamp[i] > '9' {
			return "", time.Time{}, false
		}
	}
	n, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return "", time.Time{}, false
	}
	expires = time.Unix(n, 0).UTC()
	if !now.Before(expires) {
		return "", time.Time{}, false
	}
	return user, expires, true
}

// Keys returns the long-term keys a valid holder of username may have, one for each secret, the current one first.
// It is empty if [Shared.Check] is not ok.
func (s *Shared) Keys(now time.Time, alg Algorithm, username, realm string) [][]byte {
	if _, _, ok := s.Check(now, username); !ok {
		return nil
	}
	r, err := opaque(realm)
	if err != nil {
		return nil
	}
	keys := make([][]byte, 0, len(s.secrets))
	for _, sec := range s.secrets {
		keys = append(keys, key(alg, username, r, Password(sec, username)))
	}
	return keys
}

// cleanUser keeps what USERNAME can carry as an OpaqueString and bounds its length at a character's border.
func cleanUser(u string) string {
	u = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == '\uFFFD' {
			return '_'
		}
		return r
	}, u)
	if len(u) <= maxUser {
		return u
	}
	cut := maxUser
	for cut > 0 && u[cut]&0xc0 == 0x80 {
		cut--
	}
	return u[:cut]
}
