package pinned

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/jingled/jingled/internal/codectest"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/jet"
	"github.com/jingled/jingled/xmltree"
)

const (
	romeo  = jid.JID("romeo@montague.lit/orchard")
	juliet = jid.JID("juliet@capulet.lit/balcony")
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func identity(t testing.TB, curve elliptic.Curve) *Identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: start.AddDate(10, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	i, err := NewIdentity(der, key)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// pair is a sender and a receiver who trust each other and nobody else.
type pair struct {
	now              time.Time
	sender, receiver *Envelope
}

func newPair(t testing.TB) *pair {
	t.Helper()
	p := &pair{now: start}
	a, b := identity(t, elliptic.P256()), identity(t, elliptic.P256())
	only := func(who jid.JID, i *Identity) func(jid.JID, Fingerprint) error {
		return func(peer jid.JID, f Fingerprint) error {
			if peer != who || f != i.Fingerprint() {
				return errors.New("an identity that is not trusted")
			}
			return nil
		}
	}
	clock := func() time.Time { return p.now }
	p.sender = &Envelope{Keys: NewKeys(a, romeo), Trust: only(juliet, b), Now: clock}
	p.receiver = &Envelope{Keys: NewKeys(b, juliet), Trust: only(romeo, a), Now: clock}
	p.fetch(t)
	return p
}

// fetch gets the receiver's key, as by an IQ.
func (p *pair) fetch(t testing.TB) {
	t.Helper()
	e, err := p.receiver.Keys.Element(p.now)
	if err != nil {
		t.Fatal(err)
	}
	if p.sender.Peer, err = ParseKey(wire(t, e), juliet, p.now); err != nil {
		t.Fatal(err)
	}
}

// wire passes an element through its text.
func wire(t testing.TB, e *xmltree.Element) *xmltree.Element {
	t.Helper()
	out, err := xmltree.Parse([]byte(e.String()), xmltree.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func about() jet.Context {
	return jet.Context{SID: "j1", Content: "file", Initiator: romeo, Responder: juliet, Subject: []byte("digest")}
}

func (p *pair) seal(t testing.TB) (jet.Security, jet.Secret) {
	t.Helper()
	s, secret, err := jet.Seal(p.sender, about())
	if err != nil {
		t.Fatal(err)
	}
	s, err = jet.ParseSecurity(wire(t, s.Element()))
	if err != nil {
		t.Fatal(err)
	}
	return s, secret
}

func TestRoundTrip(t *testing.T) {
	p := newPair(t)
	s, secret := p.seal(t)
	got, who, err := s.Open(about(), p.receiver)
	if err != nil || string(got.Bytes()) != string(secret.Bytes()) || got.Cipher != jet.AES256GCM {
		t.Fatalf("%v, %v", got, err)
	}
	if who != p.sender.Keys.identity.Fingerprint().String() || who == p.sender.Peer.Identity().String() {
		t.Errorf("it is said to be from %s", who)
	}
	// No key is ever used for two streams.
	if _, _, err := s.Open(about(), p.receiver); !errors.Is(err, ErrRepeated) {
		t.Errorf("a second time: %v", err)
	}
	if s, _ := p.seal(t); s.Element().Equal(nil) {
		t.Error("nothing was sealed")
	}
}

// TestBound changes one thing of what the envelope is for.
func TestBound(t *testing.T) {
	p := newPair(t)
	s, _ := p.seal(t)
	for name, change := range map[string]func(*jet.Context){
		"sid":       func(c *jet.Context) { c.SID = "j2" },
		"content":   func(c *jet.Context) { c.Content = "file2" },
		"responder": func(c *jet.Context) { c.Responder = "juliet@capulet.lit/phone" },
		"initiator": func(c *jet.Context) { c.Initiator = "tybalt@capulet.lit/x" },
		"subject":   func(c *jet.Context) { c.Subject = []byte("another file") },
	} {
		c := about()
		change(&c)
		if _, _, err := s.Open(c, p.receiver); err == nil {
			t.Errorf("%s: it opens for something else", name)
		}
	}
	weaker := s
	weaker.Cipher = string(jet.AES128GCM)
	if _, _, err := weaker.Open(about(), p.receiver); err == nil {
		t.Error("it opens for another cipher")
	}
	if _, _, err := s.Open(about(), p.receiver); err != nil {
		t.Errorf("what was refused has used it up: %v", err)
	}
}

// flip changes one bit of what stands in an element.
func flip(e *xmltree.Element, local string) {
	c := e.Child(NS, local)
	b, _ := base64.StdEncoding.DecodeString(c.Text())
	b[len(b)-1] ^= 1
	c.Children = []xmltree.Node{xmltree.Text(base64.StdEncoding.EncodeToString(b))}
}

func TestChangedOnTheWay(t *testing.T) {
	p := newPair(t)
	for _, part := range []string{"identity", "secret", "signature"} {
		s, _ := p.seal(t)
		flip(s.Envelope[0], part)
		if _, _, err := s.Open(about(), p.receiver); err == nil {
			t.Errorf("%s changed: it opens", part)
		}
	}
	key, err := p.receiver.Keys.Element(p.now)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"identity", "hpke", "signature"} {
		k := key.Clone()
		flip(k, part)
		if _, err := ParseKey(k, juliet, p.now); err == nil {
			t.Errorf("a key with another %s is taken", part)
		}
	}
	if _, err := ParseKey(key, romeo, p.now); err == nil {
		t.Error("a key of somebody else is taken")
	}
	if _, err := ParseKey(key.Clone().Set("until", "9999999999"), juliet, p.now); err == nil {
		t.Error("a key that somebody has made last longer is taken")
	}
}

// TestTheServerInBetween replaces keys and envelopes by its own, which it can do in full.
func TestTheServerInBetween(t *testing.T) {
	p := newPair(t)
	mallory := identity(t, elliptic.P256())
	e, err := NewKeys(mallory, juliet).Element(p.now)
	if err != nil {
		t.Fatal(err)
	}
	own := p.sender.Peer
	if p.sender.Peer, err = ParseKey(e, juliet, p.now); err != nil {
		t.Fatal(err)
	}
	if _, _, err := jet.Seal(p.sender, about()); err == nil {
		t.Error("sealed to an identity that is not trusted")
	}
	forger := &Envelope{Keys: NewKeys(mallory, romeo), Trust: func(jid.JID, Fingerprint) error { return nil }, Peer: own}
	s, _, err := jet.Seal(forger, about())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Open(about(), p.receiver); err == nil {
		t.Error("opened what another identity has sealed")
	}
	// It signs the sender's secret as its own, to be taken for its maker by one who trusts it.
	p.sender.Peer = own
	theirs, _ := p.seal(t)
	bound := info(withCipher(about()), mallory.sum, own.identity)
	raw, _ := base64.StdEncoding.DecodeString(theirs.Envelope[0].Child(NS, "secret").Text())
	signature, err := mallory.sign("jingled jet signature 1", bound, string(own.public.Bytes()), string(raw))
	if err != nil {
		t.Fatal(err)
	}
	theirs.Envelope = []*xmltree.Element{xmltree.New(NS, "sealed").Add(base64Element("identity", mallory.der),
		base64Element("secret", raw), base64Element("signature", signature))}
	trusting := *p.receiver
	trusting.Trust = func(jid.JID, Fingerprint) error { return nil }
	if _, _, err := theirs.Open(about(), &trusting); err == nil {
		t.Error("a secret goes for that of whoever signs it")
	}
}

func withCipher(c jet.Context) jet.Context {
	c.Cipher = jet.AES256GCM
	return c
}

func TestKeysAreReplaced(t *testing.T) {
	p := newPair(t)
	old := p.sender.Peer
	s, _ := p.seal(t)
	p.now = start.Add(keyLife - time.Minute)
	if p.fetch(t); string(p.sender.Peer.public.Bytes()) != string(old.public.Bytes()) {
		t.Error("the key was replaced too early")
	}
	p.now = start.Add(keyLife + time.Minute)
	if p.fetch(t); string(p.sender.Peer.public.Bytes()) == string(old.public.Bytes()) {
		t.Error("the key was not replaced")
	}
	if _, _, err := s.Open(about(), p.receiver); err != nil {
		t.Errorf("a minute after its key was replaced: %v", err)
	}
	p.sender.Peer = old
	s, _ = p.seal(t)
	p.now = start.Add(keyLife + 3*keyGrace)
	if _, _, err := s.Open(about(), p.receiver); !errors.Is(err, ErrKeyGone) {
		t.Errorf("three hours after its key was replaced: %v", err)
	}
	stale, err := newPair(t).receiver.Keys.Element(start)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseKey(stale, juliet, p.now); err == nil || !strings.Contains(err.Error(), "clock") {
		t.Errorf("an old key is taken: %v", err)
	}
}

func TestIdentities(t *testing.T) {
	i := identity(t, elliptic.P256())
	f := i.Fingerprint()
	for _, s := range []string{f.String(), f.Words(), " " + f.Words() + "\n"} {
		if got, err := ParseFingerprint(s); err != nil || got != f {
			t.Errorf("%q: %v", s, err)
		}
	}
	if _, err := ParseFingerprint("AB:CD"); err == nil {
		t.Error("a short fingerprint")
	}
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewIdentity(i.der, key); err == nil {
		t.Error("a key that is not the certificate's")
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewIdentity(der, key); err == nil {
		t.Error("a curve that not everybody has")
	}
	if _, _, err := readCertificate(make([]byte, maxCertificate+1)); err == nil {
		t.Error("a certificate without bounds")
	}
}

var suite = codectest.Suite{
	Parse: codectest.Registered(func(r *jingle.Registry) { jet.Register(r) }),
	Same: []string{`<security xmlns='urn:xmpp:jingle:jet:0' name='f' cipher='urn:xmpp:ciphers:aes-256-gcm-nopadding:0' type='` + NS + `'>
		<sealed xmlns='` + NS + `'><identity>QQ==</identity><secret>QQ==</secret><signature>QQ==</signature></sealed></security>`},
}

func TestCodec(t *testing.T) { suite.Run(t) }

// FuzzOpen gives whatever comes to a receiver and to a reader of keys.
func FuzzOpen(f *testing.F) {
	p := newPair(f)
	s, _ := p.seal(f)
	f.Add(s.Element().String())
	key, _ := p.receiver.Keys.Element(p.now)
	f.Add(key.String())
	f.Add(`<key xmlns='` + NS + `' until='1'><identity>QQ==</identity><hpke>QQ==</hpke><signature/></key>`)
	f.Fuzz(func(t *testing.T, text string) {
		e, err := xmltree.Parse([]byte(text), xmltree.Limits{})
		if err != nil {
			return
		}
		_, _ = ParseKey(e, juliet, start) // anybody can make one that is in order
		sec, err := jet.ParseSecurity(e)
		if err != nil {
			return
		}
		if _, who, err := sec.Open(about(), p.receiver); err == nil && who != p.sender.Keys.identity.sum.String() {
			t.Error("a forged envelope")
		}
	})
}
