package xmpp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The kinds of [Error], for errors.Is.
var (
	// ErrAuth: the server refused the login: wrong password or user name, or a locked account.
	ErrAuth = errors.New("login refused")
	// ErrCertificate: the server's certificate is not trusted, or is for another name, or is not the pinned one.
	ErrCertificate = errors.New("certificate not trusted")
	// ErrHostNotFound: the domain or its server has no address.
	ErrHostNotFound = errors.New("host not found")
	// ErrUnreachable: no connection to the server: refused, no route, timed out.
	ErrUnreachable = errors.New("server not reachable")
	// ErrNotXMPP: something else than an XMPP server answers there.
	ErrNotXMPP = errors.New("not an XMPP server")
	// ErrNoMechanism: client and server have no login mechanism in common.
	ErrNoMechanism = errors.New("no common login mechanism")
	// ErrTLSRequired: the server offers no TLS, or wants it where we are not to use it, or the connection without TLS does not
	// lead to this machine.
	ErrTLSRequired = errors.New("TLS is required")
	// ErrTLS: the TLS handshake failed, but not because of the certificate.
	ErrTLS = errors.New("TLS handshake failed")
	// ErrConflict: another client has taken our resource.
	ErrConflict = errors.New("resource taken by another client")
	// ErrProtocol: the server broke the protocol, or ended the stream with an error.
	ErrProtocol = errors.New("XMPP stream failed")
	// ErrPassword: the password could not be had from [Config].
	ErrPassword = errors.New("no password")
)

// Errors of sending and asking.
var (
	// ErrOffline is returned while there is no connection, and to requests that were open when it was lost.
	ErrOffline = errors.New("xmpp: not connected")
	// ErrTimeout is returned to a request that got no reply in time.
	ErrTimeout = errors.New("xmpp: no reply in time")
	// ErrQueueFull is returned where more is sent, or asked at once, than the network takes.
	ErrQueueFull = errors.New("xmpp: too much is waiting to be sent")
	// ErrTooLarge is returned for a stanza that servers would end the stream for.
	ErrTooLarge = errors.New("xmpp: stanza too large to be sent")
	// ErrBadStanza is returned for what is not a stanza.
	ErrBadStanza     = errors.New("xmpp: not a stanza")
	errNoCredentials = errors.New("xmpp: the answer does not hold the credentials that were asked for")
)

// Error says why there is no connection, in a sentence for people, and what they can do about it.
type Error struct {
	Kind    error  // one of the variables above
	Addr    string // "host:port" that was tried, or ""
	Message string // a sentence without its full stop
	Advice  string // what to do, or ""
	// Fingerprint is, for ErrCertificate, the SHA-256 of the certificate that the server showed, as
	// [Config].PinnedSHA256 wants it.
	Fingerprint string
	Err         error // cause, or nil

	guessed bool // what was tried need not be the account's server
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Message)
	if e.Addr != "" && !strings.Contains(e.Message, e.Addr) {
		b.WriteString(" (" + e.Addr + ")")
	}
	if e.Advice != "" {
		b.WriteString(". " + e.Advice)
	}
	return b.String()
}

// Unwrap gives the kind and the cause to errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// Permanent reports whether trying again without a change by a person is of no use. Where DNS failed and another machine
// than the server may have been met, it is of use.
func (e *Error) Permanent() bool {
	if e.guessed && !slices.Contains([]error{ErrAuth, ErrPassword}, e.Kind) {
		return false
	}
	final := []error{ErrAuth, ErrCertificate, ErrNoMechanism, ErrTLSRequired, ErrConflict, ErrPassword}
	return slices.Contains(final, e.Kind) && !isTemporary(e.Err)
}

// Permanent reports whether err is an [*Error] that ends [Client.Run].
func Permanent(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Permanent()
}

// StreamError is a stream-level error that the server sent (RFC 6120 section 4.9). The stream has ended with it.
type StreamError struct {
	Condition string // e.g. "conflict", "policy-violation", "system-shutdown"
	Text      string
	Host      string // where to go: for see-other-host a host, for see-other-uri of WebSocket and BOSH a URL
}

func (e *StreamError) Error() string {
	s := "the server ended the stream: " + e.Condition
	if e.Text != "" {
		s += fmt.Sprintf(" (%q)", clip(e.Text))
	}
	return s
}

// SASLError is the server's refusal of a login (RFC 6120 section 6.5).
type SASLError struct {
	Mechanism string
	Condition string // e.g. "not-authorized", "account-disabled", "temporary-auth-failure"
	Text      string
}

func (e *SASLError) Error() string {
	s := e.Mechanism + ": " + e.Condition
	if e.Text != "" {
		s += fmt.Sprintf(" (%q)", clip(e.Text))
	}
	return s
}

func isTemporary(err error) bool {
	var s *SASLError
	return errors.As(err, &s) && s.Condition == "temporary-auth-failure"
}

// clip keeps what a peer says short where people read it.
func clip(s string) string {
	if r := []rune(s); len(r) > 200 {
		return string(r[:200]) + "..."
	}
	return s
}
