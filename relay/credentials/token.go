package credentials

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Token errors. A relay answers all of them with 401 (RFC 7635 section 9); they differ for the log alone.
var (
	ErrTokenFormat  = errors.New("not an RFC 7635 token")
	ErrTokenKey     = errors.New("token is of an unknown key")
	ErrTokenForged  = errors.New("token was not sealed with the key it names, or for another server")
	ErrTokenExpired = errors.New("token is not valid at this time")
)

const (
	maxToken    = 512             // bytes; a token with a 32-byte MAC key has 76
	minMACKey   = 20              // bytes: HMAC-SHA1's output (RFC 7635 section 4.1.1)
	maxMACKey   = 64              // bytes
	tokenLeeway = 5 * time.Second // RFC 7635 section 4.1.2: Delta, for clocks that differ
	maxLifetime = 7 * 24 * time.Hour
)

// TokenKey is a symmetric key shared with an authorization server (RFC 7635 section 4.1.1).
type TokenKey struct {
	ID  string // kid: what the client sends as USERNAME
	Key []byte // 16 bytes for A128GCM, 32 for A256GCM
}

// Tokens opens RFC 7635 tokens. It is immutable.
type Tokens struct {
	server string
	aeads  map[string]cipher.AEAD
}

// NewTokens takes the relay's name, which tokens are bound to and which is sent as THIRD-PARTY-AUTHORIZATION, and the
// authorization servers' keys.
func NewTokens(server string, keys []TokenKey) (*Tokens, error) {
	t := &Tokens{server: server, aeads: make(map[string]cipher.AEAD, len(keys))}
	if server == "" {
		return nil, errors.New("credentials: tokens need the relay's server name")
	}
	for _, k := range keys {
		if k.ID == "" {
			return nil, errors.New("credentials: a token key needs an id")
		}
		if _, dup := t.aeads[k.ID]; dup {
			return nil, fmt.Errorf("credentials: token key %q stands there twice", k.ID)
		}
		a, err := tokenAEAD(k.Key)
		if err != nil {
			return nil, fmt.Errorf("credentials: token key %q: %w", k.ID, err)
		}
		t.aeads[k.ID] = a
	}
	return t, nil
}

func tokenAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != 16 && len(key) != 32 { // RFC 7635 section 9: AEAD_AES_128_GCM and AEAD_AES_256_GCM
		return nil, fmt.Errorf("has %d bytes, not 16 or 32", len(key))
	}
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}

// Server returns the name to send as THIRD-PARTY-AUTHORIZATION.
func (t *Tokens) Server() string { return t.server }

// Known reports whether kid names a key.
func (t *Tokens) Known(kid string) bool { return t.aeads[kid] != nil }

// Open returns the MAC key inside the token that kid sealed, and when it ends. The token is the value of the
// ACCESS-TOKEN attribute (RFC 7635 section 6.2): nonce length, nonce, sealed block.
func (t *Tokens) Open(now time.Time, kid string, token []byte) (macKey []byte, expires time.Time, err error) {
	a := t.aeads[kid]
	if a == nil {
		return nil, time.Time{}, ErrTokenKey
	}
	if len(token) < 2 || len(token) > maxToken {
		return nil, time.Time{}, ErrTokenFormat
	}
	n := int(binary.BigEndian.Uint16(token))
	rest := token[2:]
	if n != a.NonceSize() || len(rest) < n+a.Overhead() { // the length is the sender's word: checked before it is used
		return nil, time.Time{}, ErrTokenFormat
	}
	plain, err := a.Open(nil, rest[:n], rest[n:], []byte(t.server))
	if err != nil {
		return nil, time.Time{}, ErrTokenForged
	}
	if len(plain) < 2 {
		return nil, time.Time{}, ErrTokenFormat
	}
	size := int(binary.BigEndian.Uint16(plain))
	if size < minMACKey || size > maxMACKey || len(plain) != 2+size+8+4 {
		return nil, time.Time{}, ErrTokenFormat
	}
	stamp := binary.BigEndian.Uint64(plain[2+size:])
	life := time.Duration(binary.BigEndian.Uint32(plain[2+size+8:])) * time.Second
	if stamp>>16 > 1<<40 {
		return nil, time.Time{}, ErrTokenFormat
	}
	begin := time.Unix(int64(stamp>>16), 0)
	expires = begin.Add(min(life, maxLifetime)).UTC()
	// RFC 7635 section 4.1.2: timestamp + lifetime > now - Delta; one from the future is refused as well.
	if !now.Add(-tokenLeeway).Before(expires) || begin.After(now.Add(tokenLeeway)) {
		return nil, time.Time{}, ErrTokenExpired
	}
	return plain[2 : 2+size : 2+size], expires, nil
}

// Seal makes a token as an authorization server does. rand is read for the nonce.
func Seal(rand io.Reader, key []byte, server string, macKey []byte, begin time.Time, life time.Duration) ([]byte, error) {
	a, err := tokenAEAD(key)
	if err != nil {
		return nil, err
	}
	if len(macKey) < minMACKey || len(macKey) > maxMACKey {
		return nil, fmt.Errorf("credentials: a MAC key has %d to %d bytes, this one %d", minMACKey, maxMACKey, len(macKey))
	}
	out := make([]byte, 2+a.NonceSize(), maxToken)
	binary.BigEndian.PutUint16(out, uint16(a.NonceSize()))
	nonce := out[2:]
	if _, err := io.ReadFull(rand, nonce); err != nil {
		return nil, err
	}
	plain := binary.BigEndian.AppendUint16(nil, uint16(len(macKey)))
	plain = append(plain, macKey...)
	plain = binary.BigEndian.AppendUint64(plain, uint64(begin.Unix())<<16)
	plain = binary.BigEndian.AppendUint32(plain, uint32(life/time.Second))
	return a.Seal(out, nonce, plain, []byte(server)), nil
}
