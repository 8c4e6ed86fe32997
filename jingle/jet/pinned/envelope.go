package pinned

import (
	"crypto/hpke"
	"encoding/base64"
	"errors"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle/jet"
	"github.com/jingled/jingled/xmltree"
)

// encapsulated is the length of the key at the beginning of a sealed secret: a point on P-256.
const encapsulated = 65

// ErrRepeated says that an envelope was opened before.
var ErrRepeated = errors.New("this envelope was used before")

// ErrKeyGone says that an envelope is for none of our keys, or not as it was sealed.
var ErrKeyGone = errors.New("it was changed on its way, or is for a key that is gone")

// Envelope implements [jet.Envelope].
type Envelope struct {
	// Keys are ours.
	Keys *Keys
	// Trust reports, by an error for people, whether an identity may not be a peer's. It must not block.
	Trust func(peer jid.JID, identity Fingerprint) error
	// Now is the clock; nil stands for [time.Now].
	Now func() time.Time
	// Peer is the key of the responder, to seal with; an envelope that is only for opening has none.
	Peer *Key
}

// Type implements [jet.Envelope].
func (e *Envelope) Type() string { return NS }

// info is what the encryption is bound to.
func info(c jet.Context, initiator, responder Fingerprint) string {
	return string(frame("jingled jet envelope 1", string(c.Cipher), c.SID, c.Content, c.Initiator.String(), c.Responder.String(),
		string(c.Subject), string(initiator[:]), string(responder[:])))
}

// Seal implements [jet.Envelope].
func (e *Envelope) Seal(c jet.Context, secret []byte) ([]*xmltree.Element, error) {
	if e.Peer == nil {
		return nil, errors.New("there is no key of the other side")
	}
	if err := e.Trust(c.Responder, e.Peer.identity); err != nil {
		return nil, err
	}
	own := e.Keys.identity
	bound := info(c, own.sum, e.Peer.identity)
	sealed, err := hpke.Seal(e.Peer.public, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(bound), secret)
	if err != nil {
		return nil, err
	}
	signature, err := own.sign("jingled jet signature 1", bound, string(e.Peer.public.Bytes()), string(sealed))
	if err != nil {
		return nil, err
	}
	return []*xmltree.Element{xmltree.New(NS, "sealed").Add(base64Element("identity", own.der),
		base64Element("secret", sealed), base64Element("signature", signature))}, nil
}

// Open implements [jet.Envelope].
func (e *Envelope) Open(c jet.Context, envelope []*xmltree.Element) (secret []byte, identity string, err error) {
	if len(envelope) != 1 || !envelope[0].Is(NS, "sealed") {
		return nil, "", &xmltree.Error{Element: "security", Problem: "has no <sealed/>"}
	}
	der, sealed, signature, err := three(envelope[0], "secret")
	if err != nil {
		return nil, "", err
	}
	signer, sum, err := readCertificate(der)
	if err != nil {
		return nil, "", err
	}
	// XEP-0391 section 7: the envelope has to be the initiator's.
	if err := e.Trust(c.Initiator, sum); err != nil {
		return nil, "", err
	}
	now := time.Now
	if e.Now != nil {
		now = e.Now
	}
	secret, err = e.Keys.open(now(), sealed, info(c, sum, e.Keys.identity.sum), func(public []byte, bound string) error {
		return verify(signer, signature, "jingled jet signature 1", bound, string(public), string(sealed))
	})
	return secret, sum.String(), err
}

// open decrypts with the key that the signature names.
func (k *Keys) open(now time.Time, sealed []byte, bound string, signed func(public []byte, bound string) error) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.renew(now); err != nil {
		return nil, err
	}
	if len(sealed) < encapsulated {
		return nil, errors.New("the secret is too short")
	}
	for _, own := range []*ownKey{k.current, k.before} {
		if own == nil || len(own.used) >= maxUses || signed(own.private.PublicKey().Bytes(), bound) != nil {
			continue
		}
		secret, err := hpke.Open(own.private, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(bound), sealed)
		if err != nil {
			return nil, err
		}
		once := use(sealed[1:])
		if _, again := own.used[once]; again {
			return nil, ErrRepeated
		}
		own.used[once] = struct{}{}
		return secret, nil
	}
	return nil, ErrKeyGone
}

func base64Element(local string, b []byte) *xmltree.Element {
	return xmltree.New(NS, local).AddText(base64.StdEncoding.EncodeToString(b))
}
