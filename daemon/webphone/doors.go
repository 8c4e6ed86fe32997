package webphone

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"sync"
	"time"
)

const (
	tokenTime   = 5 * time.Minute
	maxTokens   = 16 // that were not used yet
	maxSessions = 32
)

// doors knows who may come in. Of secrets it keeps hashes only.
type doors struct {
	now func() time.Time

	mu       sync.Mutex
	tokens   map[digest]time.Time // until when they are good
	sessions map[digest]*session  // by cookie
}

type digest [sha256.Size]byte

type session struct {
	key  digest
	used time.Time
}

// secret makes 256 bits of randomness.
func secret() (text string, hash digest) {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	text = base64.RawURLEncoding.EncodeToString(b)
	return text, sha256.Sum256([]byte(text))
}

// invite makes a one-time token.
func (d *doors) invite() (token string, expires time.Time, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	for t, until := range d.tokens {
		if !now.Before(until) {
			delete(d.tokens, t)
		}
	}
	if len(d.tokens) >= maxTokens {
		return "", time.Time{}, errors.New("the phone was opened too often and never used: try again in some minutes")
	}
	if d.tokens == nil {
		d.tokens = make(map[digest]time.Time)
	}
	token, hash := secret()
	expires = now.Add(tokenTime)
	d.tokens[hash] = expires
	return token, expires, nil
}

// enter takes a token and makes a session of it. The one that was not used for the longest time makes room.
func (d *doors) enter(token string) (cookie, key string, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	hash := sha256.Sum256([]byte(token))
	until, ok := d.tokens[hash]
	delete(d.tokens, hash)
	now := d.now()
	if !ok || !now.Before(until) {
		return "", "", false
	}
	if d.sessions == nil {
		d.sessions = make(map[digest]*session)
	}
	if len(d.sessions) >= maxSessions {
		var oldest digest
		for id, s := range d.sessions {
			if o := d.sessions[oldest]; o == nil || s.used.Before(o.used) {
				oldest = id
			}
		}
		delete(d.sessions, oldest)
	}
	cookie, id := secret()
	key, keyHash := secret()
	d.sessions[id] = &session{key: keyHash, used: now}
	return cookie, key, true
}

// admits reports whether a cookie and a key are those of one session.
func (d *doors) admits(cookie, key string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.sessions[sha256.Sum256([]byte(cookie))]
	if s == nil {
		return false
	}
	hash := sha256.Sum256([]byte(key))
	if subtle.ConstantTimeCompare(hash[:], s.key[:]) != 1 {
		return false
	}
	s.used = d.now()
	return true
}

// leave ends a session.
func (d *doors) leave(cookie string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sessions, sha256.Sum256([]byte(cookie)))
}
