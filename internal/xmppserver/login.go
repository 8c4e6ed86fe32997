package xmppserver

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// login takes one connection from its first byte to a bound resource. Its goroutine is the connection's reader.
type login struct {
	srv   *Server
	conn  net.Conn
	in    *reader
	tls   *tls.ConnectionState // nil while there is no TLS
	user  string               // once the client has proved it
	tries int                  // that have failed
}

// maxTries is how often a client may try to log in on one connection (RFC 6120 section 6.4.4: 2 to 5).
const maxTries = 3

// run returns the bound session. The connection may be another one than before, with TLS.
func (l *login) run(ctx context.Context, direct bool) (*session, error) {
	if direct {
		if err := l.startTLS(ctx, "xmpp-client"); err != nil {
			return nil, err
		}
	}
	for {
		if err := l.open(); err != nil {
			return nil, err
		}
		if l.user != "" {
			return l.bind()
		}
		for restart := false; !restart; {
			e, err := l.in.next()
			if err != nil {
				return nil, err
			}
			if restart, err = l.negotiate(ctx, e); err != nil {
				return nil, err
			}
		}
	}
}

// negotiate handles what comes before the login. With restart the client opens its stream again.
func (l *login) negotiate(ctx context.Context, e *xmltree.Element) (restart bool, err error) {
	switch {
	case e.Is(nsTLS, "starttls") && l.tls == nil:
		// What was sent before the handshake must not be read as if it came after.
		if l.in.br.Buffered() > 0 {
			return false, &streamError{"policy-violation", "data sent between <starttls/> and the handshake"}
		}
		if err := l.write("<proceed xmlns='" + nsTLS + "'/>"); err != nil {
			return false, err
		}
		return true, l.startTLS(ctx)
	case e.Is(nsSASL, "auth") && l.mayLogIn():
		return l.tryLogin(e)
	case e.Name.Space == nsSASL && e.Name.Local == "abort":
		return false, l.write("<failure xmlns='" + nsSASL + "'><aborted/></failure>")
	}
	return false, &streamError{"not-authorized", "log in first"}
}

// tryLogin says whether the client has logged in. An error ends the connection.
func (l *login) tryLogin(e *xmltree.Element) (bool, error) {
	err := l.authenticate(e)
	if err == nil {
		return true, nil
	}
	refused, ok := errors.AsType[saslError](err)
	if !ok {
		return false, err
	}
	l.srv.cfg.Logger.Info("login refused", "remote", l.conn.RemoteAddr(), "reason", string(refused))
	if err := l.write("<failure xmlns='" + nsSASL + "'><" + string(refused) + "/></failure>"); err != nil {
		return false, err
	}
	if l.tries++; l.tries == maxTries {
		return false, &streamError{"policy-violation", "too many failed logins"}
	}
	return false, nil
}

func (l *login) mayLogIn() bool { return l.tls != nil || l.srv.cfg.AllowPlain }

func (l *login) write(s string) error {
	_, err := io.WriteString(l.conn, s)
	return err
}

// startTLS replaces the connection by one with TLS.
func (l *login) startTLS(ctx context.Context, alpn ...string) error {
	cfg := &tls.Config{
		Certificates: []tls.Certificate{l.srv.cfg.Chain.TLS},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   alpn,
	}
	if l.srv.cfg.TLS12 {
		cfg.MaxVersion = tls.VersionTLS12
	}
	c := tls.Server(l.conn, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	state := c.ConnectionState()
	l.conn, l.tls, l.in = c, &state, newReader(c, l.srv.cfg.MaxStanza)
	return nil
}

// open answers the client's stream header with ours and the features.
func (l *login) open() error {
	start, err := l.in.header()
	// RFC 6120 section 4.9.1.2: also where the header is wrong ours comes first, then the error.
	head := "<?xml version='1.0'?><stream:stream xmlns='" + nsClient + "' xmlns:stream='" + nsStream +
		"' version='1.0' xml:lang='en' id='" + rand.Text() + "' from='" + l.srv.cfg.Domain + "'>"
	if err != nil {
		if _, ok := errors.AsType[*streamError](err); ok {
			err = errors.Join(err, l.write(head))
		}
		return err
	}
	if err := l.write(head); err != nil {
		return err
	}
	if to := attr(start, "to"); !strings.EqualFold(to, l.srv.cfg.Domain) {
		return &streamError{"host-unknown", "this server is " + l.srv.cfg.Domain}
	}
	if !strings.HasPrefix(attr(start, "version"), "1.") {
		return &streamError{"unsupported-version", "version 1.0 is spoken here"}
	}
	return l.write("<stream:features>" + l.features() + "</stream:features>")
}

func attr(start xml.StartElement, name string) string {
	for _, a := range start.Attr {
		if a.Name.Local == name && a.Name.Space == "" {
			return a.Value
		}
	}
	return ""
}

// features returns what stands in <stream:features/> at this point (RFC 6120 section 4.3.2).
func (l *login) features() string {
	var b strings.Builder
	if l.user != "" {
		return fmt.Sprintf("<bind xmlns='%s'/><limits xmlns='%s'><max-bytes>%d</max-bytes></limits>", nsBind, nsLimits, l.srv.cfg.MaxStanza)
	}
	if l.tls == nil {
		b.WriteString("<starttls xmlns='" + nsTLS + "'>")
		if !l.srv.cfg.AllowPlain {
			b.WriteString("<required/>")
		}
		b.WriteString("</starttls>")
	}
	if l.mayLogIn() {
		b.WriteString("<mechanisms xmlns='" + nsSASL + "'>")
		for _, m := range l.mechanisms() {
			b.WriteString("<mechanism>" + m + "</mechanism>")
		}
		b.WriteString("</mechanisms>")
		if name, _ := l.binding(); name != "" {
			b.WriteString("<sasl-channel-binding xmlns='" + nsSASLCB + "'><channel-binding type='" + name + "'/></sasl-channel-binding>")
		}
	}
	return b.String()
}

func (l *login) mechanisms() []string {
	m := []string{"SCRAM-SHA-256", "SCRAM-SHA-1"}
	if name, _ := l.binding(); name != "" {
		m = append([]string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"}, m...)
	}
	return m
}

// binding returns the channel binding of this connection (RFC 9266, RFC 5929 section 3).
func (l *login) binding() (name string, data []byte) {
	if l.tls == nil || l.srv.cfg.NoChannelBinding {
		return "", nil
	}
	if l.tls.Version >= tls.VersionTLS13 {
		if data, err := l.tls.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32); err == nil {
			return "tls-exporter", data
		}
		return "", nil
	}
	if len(l.tls.TLSUnique) > 0 {
		return "tls-unique", l.tls.TLSUnique
	}
	return "", nil
}

// authenticate runs one SASL exchange (RFC 6120 section 6.4).
func (l *login) authenticate(auth *xmltree.Element) error {
	mech := auth.Attr("mechanism")
	base, plus := strings.CutSuffix(mech, "-PLUS")
	h, ok := hashes[base]
	cbName, cbData := l.binding()
	if !ok || plus && cbName == "" {
		return errMechanism
	}
	s := &scram{
		hash: h, plus: plus, cbName: cbName, cbData: cbData, offered: cbName != "",
		lookup: func(user string) (secret, bool) { return l.srv.secret(user, base) },
	}
	text := auth.Text()
	if text == "" {
		// The client did not send its first message at once.
		var err error
		if text, err = l.challenge(""); err != nil {
			return err
		}
	}
	msg, err := decodeSASL(text)
	if err != nil {
		return err
	}
	reply, err := s.first(msg)
	if err != nil {
		return err
	}
	if text, err = l.challenge(reply); err != nil {
		return err
	}
	if msg, err = decodeSASL(text); err != nil {
		return err
	}
	if reply, err = s.final(msg); err != nil {
		return err
	}
	if err := l.write("<success xmlns='" + nsSASL + "'>" + base64.StdEncoding.EncodeToString([]byte(reply)) + "</success>"); err != nil {
		return err
	}
	l.user = s.user
	return nil
}

// challenge sends a challenge and returns the text of the response.
func (l *login) challenge(data string) (string, error) {
	text := base64.StdEncoding.EncodeToString([]byte(data))
	if err := l.write("<challenge xmlns='" + nsSASL + "'>" + text + "</challenge>"); err != nil {
		return "", err
	}
	e, err := l.in.next()
	switch {
	case err != nil:
		return "", err
	case e.Is(nsSASL, "abort"):
		return "", errAborted
	case !e.Is(nsSASL, "response"):
		return "", &streamError{"not-authorized", "a response was expected"}
	}
	return e.Text(), nil
}

// bind waits for the resource binding request (RFC 6120 section 7) and enters the session.
func (l *login) bind() (*session, error) {
	for {
		iq, err := l.in.next()
		if err != nil {
			return nil, err
		}
		b := iq.Child(nsBind, "bind")
		if !iq.Is(nsClient, "iq") || iq.Attr("type") != "set" || b == nil {
			return nil, &streamError{"not-authorized", "bind a resource first"}
		}
		resource := b.ChildText(nsBind, "resource")
		if resource == "" {
			resource = rand.Text()[:12]
		}
		full, err := jid.Parse(l.user + "@" + l.srv.cfg.Domain + "/" + resource)
		if err != nil {
			if err := l.reply(errorReply(iq, "modify", "bad-request", "The resource is not allowed.")); err != nil {
				return nil, err
			}
			continue
		}
		conn := l.conn
		s := &session{full: full, out: newOutbox(l.srv.cfg.MaxQueue, func() { _ = conn.SetDeadline(past) })}
		done := xmltree.New(nsClient, "iq").Set("type", "result").SetOpt("id", iq.Attr("id")).Add(
			xmltree.New(nsBind, "bind").Add(xmltree.New(nsBind, "jid").AddText(full.String())))
		ok, err := l.srv.enter(s, conn, done)
		if err != nil {
			return nil, err
		}
		if !ok {
			if err := l.reply(errorReply(iq, "wait", "resource-constraint", "Too many resources are connected.")); err != nil {
				return nil, err
			}
			continue
		}
		return s, nil
	}
}

func (l *login) reply(e *xmltree.Element) error {
	_, err := l.conn.Write(e.AppendXML(nil, nsClient))
	return err
}

// fakeSalt is the salt of users that do not exist: always the same for one name, so that nobody learns which exist.
func fakeSalt(key []byte, user string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(user))
	return m.Sum(nil)[:16]
}
