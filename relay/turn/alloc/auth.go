package alloc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/pion/stun/v4"
)

// identity is who sent an authenticated request.
type identity struct {
	username string // as sent
	alg      Algorithm
	cred     Credential
}

// challenge answers 401 or 438 with realm and a new nonce (RFC 8489 section 9.2.4).
func (t *Table) challenge(now time.Time, c *context, code int) {
	t.Stats.ErrorCodes[code]++
	r := t.reply(c, stun.ClassErrorResponse)
	r.errorCode(code)
	r.Add(stun.AttrRealm, []byte(t.cfg.Realm))
	r.Add(stun.AttrNonce, t.nonce(now, c.tuple.Client.Addr()))
	if !t.cfg.NoSHA256 {
		r.Add(stun.AttrPasswordAlgorithms, []byte(passwordAlgoList))
	}
	if t.cfg.ThirdParty != "" && code == codeUnauthorized {
		r.Add(attrThirdPartyAuth, []byte(t.cfg.ThirdParty))
	}
	t.send(r)
}

// authenticate follows RFC 8489 section 9.2.4 step by step. When it returns false, the answer is queued or the
// request is dropped.
func (t *Table) authenticate(now time.Time, c *context, m *message) (identity, bool) {
	var id identity
	if !m.protected() {
		t.challenge(now, c, codeUnauthorized)
		return id, false
	}
	username, hasUser := m.get(stun.AttrUsername)
	realm, hasRealm := m.get(stun.AttrRealm)
	nonce, hasNonce := m.get(stun.AttrNonce)
	if !hasUser || !hasRealm || !hasNonce || len(username) == 0 || len(username) > maxUsername ||
		len(realm) > maxRealm || len(nonce) > maxNonce || !utf8.Valid(username) {
		t.refuse(c, codeBadRequest)
		return id, false
	}
	fresh, features := t.fresh(now, c.tuple.Client.Addr(), nonce)
	id.alg = MD5
	if features {
		list, hasList := m.get(stun.AttrPasswordAlgorithms)
		algo, hasAlgo := m.get(stun.AttrPasswordAlgorithm)
		switch {
		case !hasList && !hasAlgo:
			// An older client: MD5.
		case hasList != hasAlgo || !bytes.Equal(list, []byte(passwordAlgoList)):
			// Somebody on the path took algorithms away: a bid-down.
			t.refuse(c, codeBadRequest)
			return id, false
		default:
			if len(algo) < 4 || algo[2] != 0 || algo[3] != 0 {
				t.refuse(c, codeBadRequest)
				return id, false
			}
			id.alg = Algorithm(binary.BigEndian.Uint16(algo))
			if id.alg != MD5 && id.alg != SHA256 {
				t.refuse(c, codeBadRequest)
				return id, false
			}
		}
	}
	if !fresh {
		t.challenge(now, c, codeStaleNonce)
		return id, false
	}
	if string(realm) != t.cfg.Realm {
		// A reload may have renamed the realm: the challenge tells the new one.
		t.challenge(now, c, codeUnauthorized)
		return id, false
	}
	token, _ := m.get(attrAccessToken)
	req := AuthRequest{Now: now, Username: string(username), Realm: t.cfg.Realm, Algorithm: id.alg, AccessToken: token, Source: c.tuple.Client}
	id.username = req.Username
	// RFC 8656 section 5: an allocation's later requests use its credentials, so its key is at hand. Short-lived
	// credentials may expire meanwhile without ending a call.
	a := t.byTuple[c.tuple]
	if a != nil && a.username == id.username && a.alg == id.alg && token == nil {
		id.cred = a.cred
	} else {
		if t.cfg.Auth == nil {
			t.challenge(now, c, codeUnauthorized)
			return id, false
		}
		cred, err := t.cfg.Auth.Authenticate(req)
		if errors.Is(err, ErrBlocked) {
			t.Stats.AuthFailures++
			return id, false
		}
		if err != nil || len(cred.Key) == 0 {
			t.Stats.AuthFailures++
			t.challenge(now, c, codeUnauthorized)
			return id, false
		}
		id.cred = cred
	}
	if !verifyAny(m, &id.cred) {
		t.Stats.AuthFailures++
		if t.cfg.Auth != nil {
			t.cfg.Auth.Failed(req)
		}
		t.challenge(now, c, codeUnauthorized)
		return id, false
	}
	c.key = id.cred.Key
	c.sha256 = m.mi256 != nil
	// RFC 8656 section 7.2: a 5-tuple's allocation belongs to whoever made it.
	if a != nil && a.username != id.username && m.Type.Method != stun.MethodAllocate {
		t.refuse(c, codeWrongCredentials)
		return id, false
	}
	return id, true
}

// verifyAny finds the key that the message was signed with and leaves only that one in cred.
func verifyAny(m *message, cred *Credential) bool {
	for i := -1; i < min(len(cred.OtherKeys), maxOtherKeys); i++ {
		key := cred.Key
		if i >= 0 {
			key = cred.OtherKeys[i]
		}
		if m.verify(key) {
			cred.Key, cred.OtherKeys = key, nil
			return true
		}
	}
	return false
}

// maxOtherKeys bounds what one wrong password costs.
const maxOtherKeys = 7
