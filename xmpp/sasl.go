package xmpp

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
	"mellium.im/sasl"

	"github.com/jingled/jingled/xmltree"
)

const (
	nsSASL   = "urn:ietf:params:xml:ns:xmpp-sasl"
	nsSASLCB = "urn:xmpp:sasl-cb:0"
)

// The iterations that a server may ask for. Fewer would help somebody who collects proofs to guess the password
// (RFC 7677 section 4); more would let a server keep our processor busy.
const (
	minIterations = 4096
	maxIterations = 10_000_000
)

var errWeakServer = errors.New("the server's SCRAM challenge is not acceptable")

// mechanism pairs a mechanism with what it needs.
type mechanism struct {
	sasl.Mechanism
	binding bool // to the TLS channel
	secret  bool // sends the password itself
}

// mechanisms, the best first (RFC 6120 section 13.8, RFC 7677).
func mechanisms() []mechanism {
	return []mechanism{
		{sasl.ScramSha256Plus, true, false},
		{sasl.ScramSha1Plus, true, false},
		{sasl.ScramSha256, false, false},
		{sasl.ScramSha1, false, false},
		{sasl.Plain, false, true},
	}
}

// channelBinding names the kind of binding that this connection has, or "". tls-unique is not defined for TLS 1.3
// (RFC 9266 section 3).
func channelBinding(s *tls.ConnectionState) string {
	switch {
	case s == nil:
		return ""
	case s.Version >= tls.VersionTLS13:
		return "tls-exporter"
	case len(s.TLSUnique) > 0:
		return "tls-unique"
	}
	return ""
}

// choose picks the mechanism. bindings are the kinds that the server says it takes (XEP-0440), nil if it does not say.
func (l *login) choose(offered, bindings []string) (mechanism, error) {
	have := channelBinding(l.tls)
	bind := have != "" && !l.noBinding && (bindings == nil || slices.Contains(bindings, have))
	for _, m := range mechanisms() {
		switch {
		case !slices.Contains(offered, m.Name):
		case m.binding && !bind:
		// PLAIN shows the password to the other side: only inside TLS, and never where SCRAM has worked before.
		case m.secret && (!l.private || l.scramOnly):
		default:
			return m, nil
		}
	}
	e := &Error{Kind: ErrNoMechanism, Addr: l.addr,
		Message: fmt.Sprintf("%s offers no login that is safe to use; it has %s", l.cfg.JID.Domain(), clip(strings.Join(offered, ", ")))}
	switch {
	case len(offered) == 0:
		e.Message = l.cfg.JID.Domain() + " offers no login at all"
	case slices.Contains(offered, sasl.Plain.Name):
		e.Advice = "PLAIN is used inside TLS only, and not where SCRAM has worked before"
	default:
		e.Advice = "Ask the server's operator for SCRAM-SHA-256"
	}
	return mechanism{}, e
}

// authenticate logs in with the password (RFC 6120 section 6).
func (l *login) authenticate(p profile, offered, bindings []string) error {
	m, err := l.choose(offered, bindings)
	if err != nil {
		return err
	}
	l.mechanism, l.bindingGuessed = m.Name, m.binding && bindings == nil
	l.owes = stepNone
	password, err := l.cfg.Password()
	if err != nil {
		return &Error{Kind: ErrPassword, Message: fmt.Sprintf("no password for %s: %v", l.cfg.JID, err), Err: err}
	}
	opts := []sasl.Option{
		sasl.Credentials(func() (user, pass, identity []byte) {
			return []byte(l.cfg.JID.Local()), []byte(saslPrep(password)), nil
		}),
		sasl.RemoteMechanisms(offered...),
	}
	// Without the TLS state mellium says "n" in the GS2 header, which is true where no binding is in common; "y" would
	// claim that the server offers none (RFC 5802 section 6).
	if m.binding {
		opts = append(opts, sasl.TLSState(*l.tls))
	}
	client := sasl.NewClient(m.Mechanism, opts...)
	more, first, err := client.Step(nil)
	if err != nil {
		return l.saslError(err)
	}
	if err := p.begin(m.Name, first); err != nil {
		return err // perhaps because the password took too long
	}
	l.owes = stepAuth
	for step := 0; ; step++ {
		data, success, err := l.challenge(p)
		if err != nil {
			return err
		}
		if !more {
			if !success {
				return l.saslError(errors.New("the server goes on where it should have ended"))
			}
			return nil
		}
		if !m.secret && step == 0 {
			if err := checkScramFirst(data); err != nil {
				return l.saslError(err)
			}
		}
		var resp []byte
		// The last step checks that the server knows the password too.
		if more, resp, err = client.Step(data); err != nil {
			return l.saslError(fmt.Errorf("the server did not prove that it knows the password: %w", err))
		}
		if success {
			if more {
				return l.saslError(errors.New("the server let us in without proving that it knows the password"))
			}
			return nil
		}
		if step > 4 {
			return l.saslError(errors.New("too many steps"))
		}
		if err := p.respond(resp); err != nil {
			return err
		}
	}
}

// challenge reads the server's next word.
func (l *login) challenge(p profile) (data []byte, success bool, err error) {
	e, err := l.conn.element()
	if err != nil {
		return nil, false, err
	}
	ns := p.namespace()
	switch {
	case e.Is(ns, "challenge"), e.Is(ns, "success"):
		data, err = base64.StdEncoding.DecodeString(p.data(e))
		if err != nil {
			return nil, false, l.saslError(errors.New("the server's answer is not base64"))
		}
		return data, e.Name.Local == "success", nil
	case e.Is(nsSASL2, "continue"):
		return nil, false, l.saslError(parseContinue(e))
	case e.Is(ns, "failure"):
		f := &SASLError{Mechanism: l.mechanism, Condition: "not-authorized", Text: e.ChildText(ns, "text")}
		for c := range e.Elements() {
			if c.Name.Space == nsSASL && c.Name.Local != "text" {
				f.Condition = c.Name.Local
				break
			}
		}
		return nil, false, l.saslError(f)
	}
	return nil, false, &Error{Kind: ErrProtocol, Addr: l.addr, Message: "the server answered the login with something else"}
}

func (l *login) saslError(cause error) *Error {
	e := &Error{Kind: ErrAuth, Addr: l.addr, Err: cause}
	if more, ok := errors.AsType[*continueError](cause); ok {
		e.Message = fmt.Sprintf("login as %s is not complete: %v", l.cfg.JID, more)
		e.Advice = "A second factor cannot be given here: make a password for this program alone at your provider, if it has such, " +
			"or take the second factor off the account; a password that has to be changed is changed with another client"
		return e
	}
	var f *SASLError
	if !errors.As(cause, &f) {
		e.Message = fmt.Sprintf("login as %s failed (%s): %v", l.cfg.JID, l.mechanism, cause)
		e.Advice = "The server may not be the one it says it is"
		return e
	}
	said := ""
	if f.Text != "" {
		said = fmt.Sprintf("; the server says %q", clip(f.Text))
	}
	switch f.Condition {
	case "not-authorized":
		e.Message = fmt.Sprintf("wrong password or user name for %s%s", l.cfg.JID, said)
		e.Advice = "Check both; case matters in the password"
	case "account-disabled":
		e.Message = fmt.Sprintf("the account %s is disabled%s", l.cfg.JID, said)
		e.Advice = "Ask the server's operator"
	case "credentials-expired":
		e.Message = fmt.Sprintf("the password of %s has expired%s", l.cfg.JID, said)
		e.Advice = "Set a new one"
	case "temporary-auth-failure":
		e.Message = fmt.Sprintf("the server cannot check logins at the moment%s", said)
	default:
		e.Message = fmt.Sprintf("the server refused the login of %s: %s%s", l.cfg.JID, clip(f.Condition), said)
	}
	return e
}

// checkScramFirst checks a server-first-message (RFC 5802 section 7) before mellium sees it: its parser never returns
// from an attribute that is too short, and takes any number of iterations.
func checkScramFirst(b []byte) error {
	parts := bytes.Split(b, []byte(","))
	if len(parts) < 3 {
		return errWeakServer
	}
	for i, p := range parts {
		if len(p) < 3 || p[1] != '=' || i < 3 && p[0] != "rsi"[i] {
			return errWeakServer
		}
	}
	n, err := strconv.Atoi(string(parts[2][2:]))
	if err != nil || n < minIterations || n > maxIterations {
		return fmt.Errorf("%w: it asks for %s iterations, %d to %d are taken", errWeakServer, clip(string(parts[2][2:])), minIterations, maxIterations)
	}
	return nil
}

// encodeSASL writes a response. RFC 6120 section 6.4.2: "=" stands for one that is there but empty.
func encodeSASL(b []byte) string {
	if len(b) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(b)
}

// saslPrep normalises a password (RFC 4013 section 2): spaces of all kinds become spaces, what is mapped to nothing
// goes, and the rest is NFKC. What RFC 4013 forbids is left alone: it may still be somebody's password.
func saslPrep(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r > unicode.MaxASCII && unicode.Is(unicode.Zs, r):
			return ' '
		case r == 0xad, r == 0x34f, r == 0x1806, r >= 0x180b && r <= 0x180d, r >= 0x200b && r <= 0x200d, r == 0x2060,
			r >= 0xfe00 && r <= 0xfe0f, r == 0xfeff:
			return -1
		}
		return r
	}, s)
	return norm.NFKC.String(s)
}

// parseTexts reads the texts of the children of a feature, e.g. the mechanisms.
func parseTexts(d *xml.Decoder, start *xml.StartElement) ([]string, error) {
	e, err := xmltree.Read(*start, d, xmltree.Limits{})
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	out := []string{}
	for c := range e.Elements() {
		if v := c.Attr("type"); v != "" {
			out = append(out, v)
		} else {
			out = append(out, c.Text())
		}
	}
	return out, nil
}
