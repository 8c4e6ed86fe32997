package pinned

import (
	"crypto/ecdh"
	"crypto/hpke"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// The life of a key. An envelope that was sealed just before its key was replaced opens for a while.
const (
	keyLife  = 24 * time.Hour
	keyGrace = time.Hour
	maxUses  = 1 << 16
)

// Key is a peer's key to seal envelopes with, checked to be of the identity that it names. Whose that is has to be
// checked by its fingerprint.
type Key struct {
	identity Fingerprint
	until    time.Time
	public   hpke.PublicKey
}

// Identity returns the fingerprint of who has signed the key.
func (k *Key) Identity() Fingerprint { return k.identity }

// ParseKey reads a <key/> that owner has sent.
func ParseKey(e *xmltree.Element, owner jid.JID, now time.Time) (*Key, error) {
	if !e.Is(NS, "key") {
		return nil, &xmltree.Error{Element: "key", Problem: "is missing"}
	}
	der, public, signature, err := three(e, "hpke")
	if err != nil {
		return nil, err
	}
	signer, sum, err := readCertificate(der)
	if err != nil {
		return nil, err
	}
	until := e.Attr("until")
	if err := verify(signer, signature, "jingled jet key 1", owner.Bare().String(), string(sum[:]), until, string(public)); err != nil {
		return nil, err
	}
	seconds, err := strconv.ParseInt(until, 10, 64)
	k := &Key{identity: sum, until: time.Unix(seconds, 0)}
	// A clock may be wrong by the hour that the key is kept longer.
	if err != nil || now.After(k.until.Add(keyGrace)) {
		return nil, fmt.Errorf("the key was good until %s (is a clock wrong?)", until)
	}
	if k.public, err = hpke.DHKEM(ecdh.P256()).NewPublicKey(public); err != nil {
		return nil, fmt.Errorf("the key cannot be read: %w", err)
	}
	return k, nil
}

// three reads the parts that a key and an envelope have.
func three(e *xmltree.Element, middle string) (der, public, signature []byte, err error) {
	var out [3][]byte
	for i, local := range []string{"identity", middle, "signature"} {
		c := e.Child(NS, local)
		if c == nil {
			return nil, nil, nil, &xmltree.Error{Element: e.Name.Local, Problem: "has no <" + local + "/>"}
		}
		r := xmltree.Attrs(c)
		out[i] = r.Base64()
		if err := r.Err(); err != nil {
			return nil, nil, nil, err
		}
	}
	return out[0], out[1], out[2], nil
}

// Keys are our own keys: the one that is given out and the one before it. Its methods may be called from any goroutine.
type Keys struct {
	identity *Identity
	owner    jid.JID

	mu      sync.Mutex
	current *ownKey
	before  *ownKey // nil if it is too old
}

type ownKey struct {
	private hpke.PrivateKey
	until   time.Time
	used    map[use]struct{} // envelopes that were opened
	told    *xmltree.Element
}

// use stands for an envelope: half of the first coordinate of its encapsulated key, which is a random point. A day's envelopes
// are kept, so that it should be small.
type use [16]byte

// NewKeys returns the keys of an account. The first is made when somebody asks for it.
func NewKeys(identity *Identity, owner jid.JID) *Keys {
	return &Keys{identity: identity, owner: owner.Bare()}
}

// Element returns the <key/> for whoever asks.
func (k *Keys) Element(now time.Time) (*xmltree.Element, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.renew(now); err != nil {
		return nil, err
	}
	return k.current.told.Clone(), nil
}

// renew replaces a key whose time has come; k.mu is held.
func (k *Keys) renew(now time.Time) error {
	if k.before != nil && now.After(k.before.until.Add(keyGrace)) {
		k.before = nil
	}
	if k.current != nil && now.Before(k.current.until) && len(k.current.used) < maxUses {
		return nil
	}
	private, err := hpke.DHKEM(ecdh.P256()).GenerateKey()
	if err != nil {
		return err
	}
	until := now.Add(keyLife)
	text, public := strconv.FormatInt(until.Unix(), 10), private.PublicKey().Bytes()
	signature, err := k.identity.sign("jingled jet key 1", k.owner.String(), string(k.identity.sum[:]), text, string(public))
	if err != nil {
		return err
	}
	told := xmltree.New(NS, "key").Set("until", text).Add(
		base64Element("identity", k.identity.der), base64Element("hpke", public), base64Element("signature", signature))
	if k.current != nil && now.Before(k.current.until.Add(keyGrace)) && len(k.current.used) < maxUses {
		k.current.until = now
		k.before = k.current
	}
	k.current = &ownKey{private: private, until: until, used: make(map[use]struct{}), told: told}
	return nil
}
