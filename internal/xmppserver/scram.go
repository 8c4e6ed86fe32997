package xmppserver

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"golang.org/x/text/secure/precis"
)

// scramIterations is what RFC 7677 section 4 asks for at least.
const scramIterations = 4096

// secret is what a server keeps of a password (RFC 5802 section 3), for one hash.
type secret struct {
	salt, storedKey, serverKey []byte
}

// hashes are those of the mechanisms, by the mechanism's name without -PLUS.
var hashes = map[string]func() hash.Hash{
	"SCRAM-SHA-1":   sha1.New,
	"SCRAM-SHA-256": sha256.New,
}

func newSecret(h func() hash.Hash, password string, salt []byte) (secret, error) {
	normal, err := precis.OpaqueString.String(password)
	if err != nil {
		return secret{}, fmt.Errorf("password: %w", err)
	}
	salted, err := pbkdf2.Key(h, normal, salt, scramIterations, h().Size())
	if err != nil {
		return secret{}, fmt.Errorf("password: %w", err)
	}
	stored := h()
	stored.Write(mac(h, salted, "Client Key"))
	return secret{salt: salt, storedKey: stored.Sum(nil), serverKey: mac(h, salted, "Server Key")}, nil
}

func mac(h func() hash.Hash, key []byte, data string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(data))
	return m.Sum(nil)
}

// scram is one login by SCRAM (RFC 5802, RFC 7677), server side.
type scram struct {
	hash   func() hash.Hash
	plus   bool   // the mechanism is a -PLUS one
	cbName string // the channel binding type that this connection has, "" if none
	cbData []byte
	// offered says that -PLUS mechanisms were offered: then a client that claims they were not was deceived.
	offered bool
	lookup  func(user string) (secret, bool)

	user, gs2, bare, nonce, serverFirst string
	secret                              secret
	known                               bool
}

// saslError is a failed login; its name is the condition that is sent (RFC 6120 section 6.5).
type saslError string

func (e saslError) Error() string { return "login refused: " + string(e) }

// errSASL are the ways in which a login fails here.
const (
	errMalformed     = saslError("malformed-request")
	errNotAuthorized = saslError("not-authorized")
	errAuthzid       = saslError("invalid-authzid")
	errMechanism     = saslError("invalid-mechanism")
	errAborted       = saslError("aborted")
	errEncoding      = saslError("incorrect-encoding")
)

// first takes the client's first message and returns the server's.
func (s *scram) first(msg string) (string, error) {
	// gs2-header = gs2-cbind-flag "," [ authzid ] "," (RFC 5802 section 7)
	flag, rest, ok := strings.Cut(msg, ",")
	authzid, bare, ok2 := strings.Cut(rest, ",")
	if !ok || !ok2 {
		return "", errMalformed
	}
	switch {
	case flag == "n":
		// RFC 5802 section 6: -PLUS without binding is an error.
		if s.plus {
			return "", errMalformed
		}
	case flag == "y":
		// RFC 5802 section 6: somebody removed -PLUS from what we offered.
		if s.plus || s.offered {
			return "", errNotAuthorized
		}
	case strings.HasPrefix(flag, "p="):
		if !s.plus || s.cbName == "" || flag[2:] != s.cbName {
			return "", errNotAuthorized
		}
	default:
		return "", errMalformed
	}
	fields := strings.Split(bare, ",")
	if len(fields) < 2 {
		return "", errMalformed
	}
	user, ok := strings.CutPrefix(fields[0], "n=")
	nonce, ok2 := strings.CutPrefix(fields[1], "r=")
	if !ok || !ok2 || nonce == "" || len(nonce) > 256 {
		return "", errMalformed
	}
	user, err := unescapeName(user)
	if err != nil {
		return "", err
	}
	if authzid != "" {
		// Acting for another is not known here. RFC 6120 section 6.3.8: the own address is allowed.
		id, ok := strings.CutPrefix(authzid, "a=")
		if !ok {
			return "", errMalformed
		}
		if id, err = unescapeName(id); err != nil {
			return "", err
		}
		if local, _, _ := strings.Cut(id, "@"); local != user {
			return "", errAuthzid
		}
	}
	s.user, s.gs2, s.bare = user, flag+","+authzid+",", bare
	s.secret, s.known = s.lookup(user)
	s.nonce = nonce + rand.Text()
	s.serverFirst = "r=" + s.nonce + ",s=" + base64.StdEncoding.EncodeToString(s.secret.salt) + ",i=" + strconv.Itoa(scramIterations)
	return s.serverFirst, nil
}

// final takes the client's final message and returns the server's. The client is who it says if there is no error.
func (s *scram) final(msg string) (string, error) {
	i := strings.LastIndex(msg, ",p=")
	if i < 0 {
		return "", errMalformed
	}
	without, proof64 := msg[:i], msg[i+3:]
	fields := strings.Split(without, ",")
	if len(fields) < 2 || !strings.HasPrefix(fields[0], "c=") || !strings.HasPrefix(fields[1], "r=") {
		return "", errMalformed
	}
	proof, err := base64.StdEncoding.DecodeString(proof64)
	if err != nil {
		return "", errMalformed
	}
	want := s.gs2
	if s.plus {
		want += string(s.cbData)
	}
	if fields[0][2:] != base64.StdEncoding.EncodeToString([]byte(want)) || fields[1][2:] != s.nonce {
		return "", errNotAuthorized
	}
	auth := s.bare + "," + s.serverFirst + "," + without
	key := mac(s.hash, s.secret.storedKey, auth)
	if len(proof) != len(key) {
		return "", errMalformed
	}
	subtle.XORBytes(key, key, proof)
	stored := s.hash()
	stored.Write(key)
	if !hmac.Equal(stored.Sum(nil), s.secret.storedKey) || !s.known {
		return "", errNotAuthorized
	}
	return "v=" + base64.StdEncoding.EncodeToString(mac(s.hash, s.secret.serverKey, auth)), nil
}

// unescapeName decodes a saslname (RFC 5802 section 5.1).
func unescapeName(s string) (string, error) {
	if s == "" || len(s) > 1023 {
		return "", errMalformed
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "=")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		switch {
		case strings.HasPrefix(after, "2C"):
			b.WriteByte(',')
		case strings.HasPrefix(after, "3D"):
			b.WriteByte('=')
		default:
			return "", errMalformed
		}
		s = after[2:]
	}
}

// decodeSASL decodes what stands in a SASL element (RFC 6120 section 6.4.2): "=" is the empty string.
func decodeSASL(text string) (string, error) {
	if text == "=" {
		return "", nil
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", errEncoding
	}
	return string(b), nil
}
