package daemon

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jingled/jingled/daemon/state"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle/jet/pinned"
	"github.com/jingled/jingled/media/dtlssrtp"
)

// maxPins bounds the identities that are trusted for one person, and maxUntrusted those that are remembered because they
// were refused.
const (
	maxPins      = 32
	maxUntrusted = 256
)

// trust is the certificate that an account shows and whose certificates it trusts. An identity is trusted for a person
// when it is the first that they show and a file goes to or comes from them; every other has to be trusted by hand.
type trust struct {
	account *account
	keys    *pinned.Keys // nil: there is no state folder, so that nobody could know us again
	own     pinned.Fingerprint

	writing   sync.Mutex // held while the state is written
	mu        sync.Mutex
	pins      map[jid.JID][]pinned.Fingerprint // by bare address
	untrusted map[untrusted]bool
}

type untrusted struct {
	peer     jid.JID
	identity pinned.Fingerprint
}

// untrustedError says that a person shows an identity that is not the one they had.
type untrustedError struct{ untrusted }

func (e *untrustedError) Error() string {
	return fmt.Sprintf("%s shows an identity that is not trusted: %s", e.peer, e.identity.Words())
}

// openTrust reads the certificate and what is trusted.
func (a *account) openTrust() error {
	t := &trust{account: a, pins: make(map[jid.JID][]pinned.Fingerprint), untrusted: make(map[untrusted]bool)}
	a.trust = t
	if a.d.state == nil {
		var err error
		a.certificate, err = dtlssrtp.NewCertificate()
		return err
	}
	b, err := a.d.state.Key(a.cfg.JID.String(), newCertificate)
	if err != nil {
		return fmt.Errorf("the certificate of the account: %w", err)
	}
	// The file has both, and each is found among the other.
	if a.certificate, err = dtlssrtp.LoadCertificate(b, b); err != nil {
		return fmt.Errorf("the certificate of the account: %w", err)
	}
	identity, err := readIdentity(b)
	if err != nil {
		return fmt.Errorf("the certificate of the account: %w", err)
	}
	t.keys, t.own = pinned.NewKeys(identity, a.cfg.JID), identity.Fingerprint()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	all, err := a.d.state.Identities(ctx)
	if err != nil {
		return err
	}
	for _, i := range all {
		if f, err := pinned.ParseFingerprint(i.Value); err == nil && i.Account == a.cfg.JID.String() && i.Kind == state.ClientCertificate {
			t.pins[jid.JID(i.Peer)] = append(t.pins[jid.JID(i.Peer)], f)
		}
	}
	return nil
}

// newCertificate makes a certificate and its key, as PEM.
func newCertificate() ([]byte, error) {
	c, err := dtlssrtp.NewCertificate()
	if err != nil {
		return nil, err
	}
	return c.PEM()
}

func readIdentity(b []byte) (*pinned.Identity, error) {
	var der []byte
	var key *ecdsa.PrivateKey
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "CERTIFICATE":
			der = block.Bytes
		case "PRIVATE KEY":
			k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, err
			}
			key, _ = k.(*ecdsa.PrivateKey)
		}
	}
	if key == nil {
		return nil, errors.New("there is no ECDSA key")
	}
	return pinned.NewIdentity(der, key)
}

// check reports whether an identity may not be a person's. Whoever has shown none yet may have any.
func (t *trust) check(peer jid.JID, f pinned.Fingerprint) error {
	peer = peer.Bare()
	t.mu.Lock()
	defer t.mu.Unlock()
	if pins := t.pins[peer]; len(pins) == 0 || slices.Contains(pins, f) {
		return nil
	}
	e := &untrustedError{untrusted{peer, f}}
	if !t.untrusted[e.untrusted] && len(t.untrusted) < maxUntrusted {
		t.untrusted[e.untrusted] = true
		t.account.log.Warn("an identity is not trusted", "peer", peer.String(), "fingerprint", f.Words())
		t.account.tellUntrusted(e.untrusted)
	}
	return e
}

// meet trusts an identity if it is the first of a person, and notes that it was seen.
func (t *trust) meet(peer jid.JID, f pinned.Fingerprint) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	if err := t.check(peer, f); err != nil {
		return err
	}
	return t.write(peer.Bare(), f)
}

// pin trusts an identity in any case.
func (t *trust) pin(peer jid.JID, f pinned.Fingerprint) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	return t.write(peer.Bare(), f)
}

// write writes down whom to trust before they are trusted: what is forgotten after a crash could be replaced by anybody's.
func (t *trust) write(peer jid.JID, f pinned.Fingerprint) error {
	t.mu.Lock()
	n, known := len(t.pins[peer]), slices.Contains(t.pins[peer], f)
	t.mu.Unlock()
	if !known && n >= maxPins {
		return fmt.Errorf("%d identities of %s are trusted already: let jingle trust forget some", n, peer)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := t.account.d.state.Pin(ctx, t.record(peer, f), time.Now()); err != nil {
		return fmt.Errorf("the identity of %s could not be kept: %w", peer, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !known {
		t.pins[peer] = append(t.pins[peer], f)
		delete(t.untrusted, untrusted{peer, f})
	}
	return nil
}

func (t *trust) record(peer jid.JID, f pinned.Fingerprint) state.Identity {
	return state.Identity{Account: t.account.cfg.JID.String(), Peer: peer.String(), Kind: state.ClientCertificate, Value: f.String()}
}

// forget trusts an identity no longer, or none of a person's if f is nil. It reports whether there was one.
func (t *trust) forget(peer jid.JID, f *pinned.Fingerprint) (bool, error) {
	peer = peer.Bare()
	t.writing.Lock()
	defer t.writing.Unlock()
	r := t.record(peer, pinned.Fingerprint{})
	if r.Value = ""; f != nil {
		r.Value = f.String()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	found, err := t.account.d.state.Unpin(ctx, r)
	if err != nil {
		return false, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pins[peer] = slices.DeleteFunc(t.pins[peer], func(o pinned.Fingerprint) bool { return f == nil || o == *f })
	if len(t.pins[peer]) == 0 {
		delete(t.pins, peer)
	}
	return found, nil
}

// refused returns the identities that were refused, in a fixed order.
func (t *trust) refused() []untrusted {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []untrusted
	for u := range t.untrusted {
		out = append(out, u)
	}
	slices.SortFunc(out, func(x, y untrusted) int {
		return strings.Compare(x.peer.String()+x.identity.String(), y.peer.String()+y.identity.String())
	})
	return out
}
