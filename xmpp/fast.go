package xmpp

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"slices"
	"time"

	"github.com/jingled/jingled/xmltree"
)

const nsFAST = "urn:xmpp:fast:0"

// Token is a secret that a server has given us, which takes the place of the password in one round trip (XEP-0484). It is
// as secret as the password.
type Token struct {
	Mechanism string // that it is for, e.g. "HT-SHA-256-EXPR"
	Secret    string
	Expires   time.Time
	InstallID string // that it was given to, see [Config].InstallID
}

// Tokens keeps a token from one run of the program to the next.
type Tokens interface {
	// Token returns the token that was kept, the zero value if there is none.
	Token() Token
	// Keep keeps a token in place of the one before; the zero value means to forget it.
	Keep(Token)
}

// tokenMemory keeps a token as long as the client lives.
type tokenMemory struct{ t Token }

// Token implements [Tokens].
func (m *tokenMemory) Token() Token { return m.t }

// Keep implements [Tokens].
func (m *tokenMemory) Keep(t Token) { m.t = t }

// The mechanisms for tokens (draft-schmaus-kitten-sasl-ht), by the channel binding that they need, and the one without.
var htMechanisms = map[string]string{"tls-exporter": "HT-SHA-256-EXPR", "tls-unique": "HT-SHA-256-UNIQ"}

const htNone = "HT-SHA-256-NONE"

// tokenMechanism picks the mechanism to ask a token for, "" if there is none in common.
func (l *login) tokenMechanism() string {
	if !l.private {
		return ""
	}
	if m := htMechanisms[channelBinding(l.tls)]; m != "" && !l.noBinding && slices.Contains(l.sasl2.fast, m) {
		return m
	}
	if slices.Contains(l.sasl2.fast, htNone) {
		return htNone
	}
	return ""
}

// token returns the token to log in with and its mechanism, "" if there is none that can be used here. Section 3.4: a
// token is for one mechanism, so that nobody can take the channel binding away.
func (l *login) token() (Token, string) {
	t := l.cfg.Tokens.Token()
	if t.Secret == "" || l.noToken || !l.private || !slices.Contains(l.sasl2.fast, t.Mechanism) ||
		!t.Expires.IsZero() && time.Now().After(t.Expires) {
		return Token{}, ""
	}
	if t.Mechanism != htNone && t.Mechanism != htMechanisms[channelBinding(l.tls)] {
		return Token{}, ""
	}
	return t, t.Mechanism
}

// authenticateByToken logs in with a token, in one round trip.
func (l *login) authenticateByToken(p *inline, mechanism string, t Token) error {
	binding, err := bindingData(l.tls, mechanism)
	if err != nil {
		return err
	}
	l.mechanism, l.usedToken = mechanism, true
	if t.InstallID != "" {
		p.installID = t.InstallID
	}
	p.extra = append(p.extra, xmltree.New(nsFAST, "fast"))
	first := append([]byte(l.cfg.JID.Local()+"\x00"), ht(t.Secret, "Initiator", binding)...)
	l.owes = stepAuth
	if err := p.begin(mechanism, first); err != nil {
		return err
	}
	answer, success, err := l.challenge(p)
	switch {
	case err != nil:
		return err
	case !success || !hmac.Equal(answer, ht(t.Secret, "Responder", binding)):
		return l.saslError(errors.New("the server did not prove that it knows the token"))
	}
	return nil
}

func ht(secret, who string, binding []byte) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(who))
	h.Write(binding)
	return h.Sum(nil)
}

// bindingData is what ties a login to its TLS connection (RFC 9266, RFC 5929 section 3).
func bindingData(s *tls.ConnectionState, mechanism string) ([]byte, error) {
	switch mechanism {
	case htMechanisms["tls-exporter"]:
		return s.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	case htMechanisms["tls-unique"]:
		return s.TLSUnique, nil
	}
	return nil, nil
}

// maxToken bounds what is kept of a server's token.
const maxToken = 2048

// takeToken keeps the token that came with a login (sections 3.3 and 3.5).
func (l *login) takeToken(p *inline) {
	e := p.success.Child(nsFAST, "token")
	if e == nil {
		return
	}
	t := Token{Mechanism: l.tokenMechanism(), Secret: e.Attr("token"), InstallID: p.installID}
	if l.usedToken {
		t.Mechanism = l.mechanism
	}
	if at, err := time.Parse(time.RFC3339Nano, e.Attr("expiry")); err == nil {
		t.Expires = at
	}
	if t.Secret != "" && len(t.Secret) <= maxToken {
		l.cfg.Tokens.Keep(t)
	}
}
