package transfers

import (
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/jingle/jet"
	"github.com/jingled/jingled/xmltree"
)

// Encryption says who can read the bytes of a file on their way.
type Encryption uint8

// The kinds of encryption, the weakest first.
const (
	// Clear is none but that of the XMPP streams: servers and proxies on the way can read.
	Clear Encryption = iota
	// Channel is DTLS between the two devices, whose keys the XMPP servers vouch for: one that lies could read.
	Channel
	// EndToEnd is XEP-0391, with keys that only the two identities have.
	EndToEnd
)

// String returns "none", "dtls" or "end-to-end".
func (e Encryption) String() string {
	switch e {
	case Channel:
		return "dtls"
	case EndToEnd:
		return "end-to-end"
	}
	return "none"
}

// secured is what a transfer has of XEP-0391.
type secured struct {
	secret   jet.Secret
	identity string // of the peer
}

// textClear refuses what would be readable on its way.
const textClear = "Files are taken here only if they are encrypted."

// Encryption returns how the bytes are protected, as far as it is decided: before the connection is there, only whether
// they are end to end.
func (t *Transfer) Encryption() Encryption {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.secured != nil:
		return EndToEnd
	case t.channel:
		return Channel
	}
	return Clear
}

// Identity returns what the peer has shown itself as by an envelope that we have opened, or "".
func (t *Transfer) Identity() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.secured == nil {
		return ""
	}
	return t.secured.identity
}

func (t *Transfer) secure(s *secured) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.secured = s
}

// protect makes the <security/> of a content that we begin, nil without an envelope, and returns the transports that may
// carry it.
func (t *Transfer) protect(opts SendOptions, s *engine.Session, file filetransfer.File, fs []engine.TransportFactory) (jingle.Payload, []engine.TransportFactory, error) {
	switch {
	case opts.Envelope != nil:
		security, err := t.seal(opts.Envelope, s, file)
		if err != nil {
			return nil, nil, &engine.Rejection{Reason: &jingle.Reason{Condition: jingle.SecurityError, Text: err.Error()}}
		}
		return security, fs, nil
	case opts.RequireEncryption:
		return nil, onlyEncrypted(fs), nil
	}
	return nil, fs, nil
}

// seal makes the <security/> of a content that we offer.
func (t *Transfer) seal(e jet.Envelope, s *engine.Session, file filetransfer.File) (jingle.Payload, error) {
	if file.Size != nil && *file.Size > jet.MaxSize {
		return nil, errors.New("a file of more than 64 GiB cannot be encrypted as a whole")
	}
	security, secret, err := jet.Seal(e, jet.Context{
		SID: s.SID(), Content: t.content.Name, Initiator: s.Local(), Responder: s.Peer(), Subject: file.Digest(),
	})
	if err != nil {
		return nil, err
	}
	t.secure(&secured{secret: secret})
	return security, nil
}

// open opens the <security/> of a content that a peer offers, and returns nil for one without.
func (m *Manager) open(s *engine.Session, c *jingle.Content, file filetransfer.File) (*secured, *jingle.Reason) {
	if c.Security == nil {
		return nil, nil
	}
	// XEP-0391 section 7: what cannot be decrypted is never stored.
	no := func(err error) *jingle.Reason {
		m.cfg.Log.Info("an encrypted file is refused", "peer", s.Peer().String(), "sid", s.SID(), "err", err)
		return &jingle.Reason{Condition: jingle.SecurityError, Text: fmt.Sprintf("The encrypted file cannot be opened here: %.300s.", err)}
	}
	security, ok := c.Security.(jet.Security)
	if !ok {
		return nil, no(fmt.Errorf("its security is %.80q", jingle.NSOf(c.Security)))
	}
	// Dino leaves the name out.
	if security.Name != "" && security.Name != c.Name {
		return nil, no(errors.New("the key is for another content"))
	}
	secret, identity, err := security.Open(jet.Context{
		SID: s.SID(), Content: c.Name, Initiator: s.Peer(), Responder: s.Local(), Subject: file.Digest(),
	}, m.cfg.Envelopes...)
	if err != nil {
		return nil, no(err)
	}
	return &secured{secret, identity}, nil
}

// encrypted reports whether the connections of a transport are encrypted by themselves.
func encrypted(x any) bool {
	e, ok := x.(interface{ Encrypted() bool })
	return ok && e.Encrypted()
}

// onlyEncrypted are the transports that need no XEP-0391.
func onlyEncrypted(fs []engine.TransportFactory) []engine.TransportFactory {
	var out []engine.TransportFactory
	for _, f := range fs {
		if encrypted(f) {
			out = append(out, f)
		}
	}
	return out
}

// protected notes how a connection is encrypted, and returns the reason to give up if that is too little.
func (t *Transfer) protected(conn io.Closer) *jingle.Reason {
	t.mu.Lock()
	t.channel = encrypted(conn)
	t.mu.Unlock()
	if t.demand && t.Encryption() == Clear {
		return &jingle.Reason{Condition: jingle.SecurityError, Text: "The connection would not be encrypted."}
	}
	return nil
}

// stream returns what the bytes are written to and read from. It belongs to the goroutine of run.
func (t *Transfer) stream(length int64) (io.ReadWriter, error) {
	t.mu.Lock()
	s := t.secured
	t.mu.Unlock()
	conn := t.slow()
	if s == nil {
		return conn, nil
	}
	return jet.NewConn(conn, s.secret, length)
}

// conclude ends what was copied over a stream.
func conclude(stream io.ReadWriter, sending bool) error {
	c, ok := stream.(*jet.Conn)
	switch {
	case !ok:
		return nil
	case sending:
		return c.Finish()
	}
	return c.Check()
}

// forged returns the reason to give up for a stream that was changed, or nil.
func forged(err error) *jingle.Reason {
	if !errors.Is(err, jet.ErrForged) {
		return nil
	}
	return &jingle.Reason{Condition: jingle.SecurityError, Text: "What arrived is not what the other side has encrypted."}
}

// GCM authenticates what one session brings, at its end. What an interrupted one has left is not authenticated: when the
// next one has brought the rest, the hash of the whole file must be the one that the sender has, and it must be the sender
// who says so. Hence the proof beside a checksum; the hashes of an offer are bound to its envelope.

const (
	nsProof    = "https://github.com/jingled/jingled/ns/jet/0"
	proofLabel = "jingled jet checksum 1"
)

// prove adds the proof to a checksum of a whole file.
func (t *Transfer) prove(p jingle.Payload) jingle.Payload {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, ok := p.(filetransfer.Checksum)
	if !ok || t.secured == nil || c.File.Range != nil {
		return p
	}
	mac := t.secured.secret.Proof(proofLabel, c.File.Digest())
	c.File.Extra = []*xmltree.Element{xmltree.New(nsProof, "proof").AddText(base64.StdEncoding.EncodeToString(mac))}
	return c
}

// proves reports whether a checksum is of the whole file and the sender's for sure, and can be compared: the offer's
// <hash-used/> may be another than the sender wrote. It belongs to the goroutine of run.
func (t *Transfer) proves(c filetransfer.Checksum) bool {
	computed := t.receiving.Algos()
	canCompare := func(h hashes.Hash) bool {
		return h.Usable() && h.Algo.Offered() && slices.Contains(computed, h.Algo.Canonical())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.secured == nil || c.File.Range != nil || !slices.ContainsFunc(c.File.Hashes, canCompare) {
		return false
	}
	for _, e := range c.File.Extra {
		if mac, err := base64.StdEncoding.DecodeString(e.Text()); e.Is(nsProof, "proof") && err == nil {
			return hmac.Equal(mac, t.secured.secret.Proof(proofLabel, c.File.Digest()))
		}
	}
	return false
}

func knownHash(hs []hashes.Hash) bool {
	return slices.ContainsFunc(hs, func(h hashes.Hash) bool { return h.Usable() && h.Algo.Offered() })
}

// unproven returns the reason to give a file up whose beginning came in an earlier session and may be anybody's. It belongs
// to the goroutine of run.
func (t *Transfer) unproven() *jingle.Reason {
	if t.Encryption() != EndToEnd || t.have == 0 || t.whole && (t.proven || knownHash(t.File().Hashes)) {
		return nil
	}
	return &jingle.Reason{Condition: jingle.SecurityError,
		Text: "What came before cannot be proved to be from the other side: send the file anew."}
}

// refuseClear is the answer to an offer by a protocol that cannot encrypt.
func (m *Manager) refuseClear(peer jid.JID) error {
	m.cfg.Log.Info("a file that is not encrypted is refused", "peer", peer.String())
	return &engine.Rejection{Reason: &jingle.Reason{Condition: jingle.SecurityError, Text: textClear}}
}
