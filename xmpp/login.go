package xmpp

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	mellium "mellium.im/xmpp"
	melliumjid "mellium.im/xmpp/jid"
	"mellium.im/xmpp/stream"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/sm"
)

const (
	nsTLS  = "urn:ietf:params:xml:ns:xmpp-tls"
	nsBind = "urn:ietf:params:xml:ns:xmpp-bind"
)

// login is one attempt at one target. mellium reads and writes the stream headers, reads the features and calls ours
// in the right order; the features themselves talk to the server element by element.
type login struct {
	cfg       *Config
	addr      string
	resource  string // to ask for
	noBinding bool   // no channel binding: it failed on a server that does not say which it knows
	scramOnly bool   // SCRAM has worked before

	conn           *conn
	owes           step                 // what the server has to do next
	spoke          bool                 // XMPP, before TLS
	tls            *tls.ConnectionState // nil without TLS, and where another layer lies between
	private        bool                 // nobody else can read along
	bindings       []string             // XEP-0440
	mechanism      string
	bindingGuessed bool
	authenticated  bool
	jid            jid.JID // bound

	// previous is a stream that may be resumed, nil if there is none; resumed says that it was.
	previous  *link
	resumed   bool
	smOffered bool
	noSM      bool
	csi       bool
	limits    streamLimits
	carbons   bool   // are on already
	sasl2     *sasl2 // nil: not offered
	usedToken bool
	noToken   bool       // it was refused
	sm        *sm.Stream // of a new stream; nil without stream management
}

// step is a part of a login, as the end of "the server did not".
type step string

// The steps in their order. With STARTTLS the first two come again inside.
const (
	stepOpen     step = "open the stream"
	stepOffer    step = "say what it offers"
	stepStartTLS step = "start TLS"
	stepTLS      step = "finish the TLS handshake"
	stepNone     step = "" // it waits for us
	stepAuth     step = "answer the login"
	stepBind     step = "bind a resource after the login"
)

// run takes the connection from its first byte to a bound resource. raw is closed if that fails.
func (l *login) run(ctx context.Context, raw net.Conn, t target) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeouts.Login)
	defer cancel()
	// mellium's own way of heeding a context sets a deadline and lifts it again, which a blocked read can miss.
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	err := l.negotiate(ctx, raw, t)
	if err == nil && !stop() {
		err = ctx.Err()
	}
	if err != nil {
		raw.Close()
		return l.explain(ctx, err)
	}
	return nil
}

func (l *login) negotiate(ctx context.Context, raw net.Conn, t target) error {
	var state mellium.SessionState
	l.conn, l.owes = newConn(raw, raw, l.cfg.Limits), stepOpen
	switch {
	case t.method != overTCP:
		// TLS, if any, is below. There is no channel binding: a proxy of the server's may be where it ends.
		state, l.private = mellium.Secure, t.direct
	case t.direct:
		if err := l.secure(ctx, true); err != nil {
			return err
		}
		state = mellium.Secure
	case t.plain:
		state = mellium.Secure // so that SASL begins; login.tls stays nil
	}
	if t.method == overBOSH {
		l.previous, l.noSM = nil, true // XEP-0198 section 2: BOSH has means of its own
	}
	server, err := melliumjid.New("", l.cfg.JID.Domain(), "")
	if err != nil {
		return fmt.Errorf("domain: %w", err)
	}
	features := []mellium.StreamFeature{l.startTLSFeature(), l.saslFeature(), l.sasl2Feature(), l.bindingsFeature(), l.smFeature(), l.csiFeature(), l.limitsFeature(), l.bindFeature()}
	if state != 0 {
		features = features[1:] // mellium would ask for STARTTLS even where it is not offered
	}
	wantsTLS := false
	if t.plain {
		features = append(features, noted(nsTLS, "starttls", func() { wantsTLS = true }))
	}
	negotiator := mellium.NewNegotiator(func(*mellium.Session, *mellium.StreamConfig) mellium.StreamConfig {
		return mellium.StreamConfig{Features: features}
	})
	// Before TLS the origin is empty: there anybody can read it. After it some servers want to know it, to tell whether the
	// account has tokens (XEP-0484 section 4.1).
	var origin melliumjid.JID
	if l.private {
		origin = l.bare()
	}
	_, err = mellium.NewSession(context.WithoutCancel(ctx), server, origin, l.conn, state, negotiator)
	switch {
	case err != nil:
		return err
	case !l.authenticated && wantsTLS:
		return &Error{Kind: ErrTLSRequired, Addr: l.addr, Message: l.cfg.JID.Domain() + " lets nobody log in without TLS",
			Advice: "Use --tls starttls"}
	case !l.authenticated:
		return &Error{Kind: ErrNoMechanism, Addr: l.addr, Message: l.cfg.JID.Domain() + " offers no login"}
	case l.jid == "":
		return &Error{Kind: ErrProtocol, Addr: l.addr, Message: "the server offers no resource binding"}
	}
	return nil
}

// bare is the account's address for stream headers; the zero value if mellium does not like it.
func (l *login) bare() melliumjid.JID {
	me, err := melliumjid.New(l.cfg.JID.Local(), l.cfg.JID.Domain(), "")
	if err != nil {
		return melliumjid.JID{}
	}
	return me
}

// secure puts TLS on the connection.
func (l *login) secure(ctx context.Context, direct bool) error {
	l.owes = stepTLS
	t, err := l.cfg.handshake(ctx, l.conn.raw, l.addr, direct)
	if err != nil {
		return err
	}
	state := t.ConnectionState()
	l.tls, l.private = &state, true
	l.conn, l.owes = newConn(t, l.conn.raw, l.cfg.Limits), stepOpen
	return nil
}

func (l *login) startTLSFeature() mellium.StreamFeature {
	return mellium.StreamFeature{
		Name:       xml.Name{Space: nsTLS, Local: "starttls"},
		Prohibited: mellium.Secure,
		// Always required, whatever the server says: mellium takes a stream without required features as ready.
		Parse: func(_ context.Context, d *xml.Decoder, _ *xml.StartElement) (bool, any, error) {
			return true, nil, d.Skip()
		},
		Negotiate: func(ctx context.Context, s *mellium.Session, _ any) (mellium.SessionState, io.ReadWriter, error) {
			if _, offered := s.Feature(nsTLS); !offered {
				return 0, nil, &Error{Kind: ErrTLSRequired, Addr: l.addr, Message: l.cfg.JID.Domain() + " does not offer TLS",
					Advice: "Somebody may be tampering with the connection. If the server has direct TLS, use --tls direct"}
			}
			l.owes, l.spoke = stepStartTLS, true
			if err := l.conn.send(xmltree.New(nsTLS, "starttls")); err != nil {
				return 0, nil, err
			}
			answer, err := l.conn.element()
			if err != nil {
				return 0, nil, err
			}
			if !answer.Is(nsTLS, "proceed") {
				return 0, nil, &Error{Kind: ErrTLSRequired, Addr: l.addr, Message: l.cfg.JID.Domain() + " refused to start TLS"}
			}
			// What came before TLS must not be taken as if it came inside (CVE-2011-0411).
			if l.conn.f.buffered() {
				return 0, nil, &Error{Kind: ErrTLS, Addr: l.addr, Message: "data was injected before TLS began",
					Advice: "Somebody may be tampering with the connection"}
			}
			if err := l.secure(ctx, false); err != nil {
				return 0, nil, err
			}
			s.UpdateAddr(l.bare()) // nobody else reads the next header
			return mellium.Secure, l.conn, nil
		},
	}
}

func (l *login) saslFeature() mellium.StreamFeature {
	return mellium.StreamFeature{
		Name:       xml.Name{Space: nsSASL, Local: "mechanisms"},
		Necessary:  mellium.Secure,
		Prohibited: mellium.Authn,
		Parse: func(_ context.Context, d *xml.Decoder, start *xml.StartElement) (bool, any, error) {
			names, err := parseTexts(d, start)
			return true, names, err
		},
		Negotiate: func(_ context.Context, s *mellium.Session, data any) (mellium.SessionState, io.ReadWriter, error) {
			if l.sasl2 != nil {
				err := l.login2()
				return mellium.Authn | mellium.Ready, nil, err
			}
			offered, _ := data.([]string)
			if err := l.authenticate(sasl1{l}, offered, l.bindings); err != nil {
				return 0, nil, err
			}
			l.authenticated, l.owes, l.limits = true, stepBind, streamLimits{}
			l.conn.f.restart()
			// From here on the header may say who we are (RFC 6120 section 4.7.1), and some servers say it back.
			s.UpdateAddr(l.bare())
			return mellium.Authn, l.conn, nil
		},
	}
}

// bindingsFeature only takes note (XEP-0440).
func (l *login) bindingsFeature() mellium.StreamFeature {
	return mellium.StreamFeature{
		Name: xml.Name{Space: nsSASLCB, Local: "sasl-channel-binding"},
		Parse: func(_ context.Context, d *xml.Decoder, start *xml.StartElement) (_ bool, _ any, err error) {
			l.bindings, err = parseTexts(d, start)
			return false, nil, err
		},
	}
}

func (l *login) bindFeature() mellium.StreamFeature {
	return mellium.StreamFeature{
		Name:       xml.Name{Space: nsBind, Local: "bind"},
		Necessary:  mellium.Authn,
		Prohibited: mellium.Ready,
		Parse: func(_ context.Context, d *xml.Decoder, _ *xml.StartElement) (bool, any, error) {
			return true, nil, d.Skip()
		},
		Negotiate: func(context.Context, *mellium.Session, any) (mellium.SessionState, io.ReadWriter, error) {
			return mellium.Ready, nil, l.takeResource()
		},
	}
}

// takeResource resumes a stream or binds a resource.
func (l *login) takeResource() error {
	if l.previous != nil && l.smOffered {
		// XEP-0198 section 5: in place of binding.
		if err := l.resume(); err != nil || l.resumed {
			return err
		}
	}
	err := l.bind(l.resource)
	var refused *jingle.StanzaError
	if errors.As(err, &refused) && l.resource != "" {
		// RFC 6120 section 7.7.2.2: taken or not allowed: let the server choose.
		err = l.bind("")
	}
	if err == nil && l.smOffered && !l.cfg.NoStreamManagement {
		err = l.enable()
	}
	return err
}

// noted is a feature of which only is taken note.
func noted(space, local string, note func()) mellium.StreamFeature {
	return mellium.StreamFeature{
		Name: xml.Name{Space: space, Local: local},
		Parse: func(_ context.Context, d *xml.Decoder, _ *xml.StartElement) (bool, any, error) {
			note()
			return false, nil, d.Skip()
		},
	}
}

// smFeature is of XEP-0198 section 2.
func (l *login) smFeature() mellium.StreamFeature {
	return noted(sm.NS, "sm", func() { l.smOffered = !l.noSM })
}

// csiFeature is of XEP-0352 section 4.1.
func (l *login) csiFeature() mellium.StreamFeature {
	return noted(nsCSI, "csi", func() { l.csi = true })
}

// resume asks for the stream from before.
func (l *login) resume() error {
	answer, err := l.manage(l.previous.out.sm.Resume())
	if err != nil {
		return err
	}
	return l.takeResumed(answer)
}

// takeResumed reads the answer.
func (l *login) takeResumed(answer *xmltree.Element) (err error) {
	if l.resumed, err = l.previous.out.resumed(answer); err != nil {
		return &Error{Kind: ErrProtocol, Addr: l.addr, Message: err.Error(), Err: err}
	}
	if l.resumed {
		l.jid = l.previous.jid
	}
	return nil
}

// enable asks for stream management of a new stream (section 3).
func (l *login) enable() error {
	answer, err := l.manage(sm.Enable())
	if err != nil {
		return err
	}
	l.sm = sm.Enabled(answer)
	return nil
}

// manage sends a request of stream management and waits for its answer.
func (l *login) manage(request *xmltree.Element) (*xmltree.Element, error) {
	if err := l.conn.send(request); err != nil {
		return nil, err
	}
	for {
		answer, err := l.conn.element()
		if err != nil || answer.Name.Space == sm.NS {
			return answer, err
		}
	}
}

// bind asks for a resource (RFC 6120 section 7). mellium's own feature sends an empty one.
func (l *login) bind(resource string) error {
	id := newID()
	x := xmltree.New(nsBind, "bind")
	if resource != "" {
		x.Add(xmltree.New(nsBind, "resource").AddText(resource))
	}
	if err := l.conn.send(xmltree.New(nsClient, "iq").Set("type", "set").Set("id", id).Add(x)); err != nil {
		return err
	}
	for {
		reply, err := l.conn.element()
		if err != nil {
			return err
		}
		if !reply.Is(nsClient, "iq") || reply.Attr("id") != id {
			continue // nothing else should come yet
		}
		if reply.Attr("type") != "result" {
			if x := reply.Child(nsClient, "error"); x != nil {
				return jingle.ParseStanzaError(x)
			}
			return errors.New("the server refused to bind a resource")
		}
		bound := ""
		if x := reply.Child(nsBind, "bind"); x != nil {
			bound = x.ChildText(nsBind, "jid")
		}
		j, err := jid.Parse(bound)
		if err != nil || j.IsBare() {
			return &Error{Kind: ErrProtocol, Addr: l.addr, Message: "the server bound no usable address"}
		}
		l.jid = j
		return nil
	}
}

// checkDomain is the advice to those who have met the server of others.
const checkDomain = "Check the domain of the account, and --connect if it is given"

// explain turns what went wrong into an [*Error].
func (l *login) explain(ctx context.Context, err error) error {
	var known *Error
	late := ctx.Err() == context.DeadlineExceeded
	// A handshake has another context, and tells a connection that was closed under it.
	if errors.As(err, &known) && !(late && l.owes == stepTLS && errors.Is(err, ErrTLS)) {
		return known
	}
	if ctx.Err() == context.Canceled {
		return ctx.Err()
	}
	e := &Error{Kind: ErrProtocol, Addr: l.addr, Err: err}
	domain := l.cfg.JID.Domain()
	se := streamError(err)
	if se != nil {
		e.Err = se
	}
	spoke := l.spoke || l.conn.header
	var refused *jingle.StanzaError
	switch {
	case se != nil && se.Condition == "host-unknown":
		e.Message = fmt.Sprintf("the server does not serve %s", domain)
		e.Advice = checkDomain
	case se != nil:
		e.Message = se.Error()
	case errors.As(err, &refused):
		e.Message = fmt.Sprintf("the server refused to bind a resource: %v", refused)
	case late:
		l.late(e)
	case errors.Is(err, errTLSBytes):
		e.Kind, e.Message = ErrNotXMPP, "the server expects TLS from the first byte there"
		e.Advice = "Use --tls direct"
	case !spoke && (errors.Is(err, io.EOF) || isClosed(err)):
		e.Kind, e.Message = ErrNotXMPP, "the server closed the connection at once"
		e.Advice = "Check the port; a port for direct TLS needs --tls direct"
	case !spoke:
		e.Kind, e.Message = ErrNotXMPP, "what answers there is not an XMPP server"
		e.Advice = "Check the host and the port"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isClosed(err):
		e.Kind, e.Message = ErrUnreachable, "the server closed the connection during the login"
	case l.conn.from != "" && !strings.EqualFold(l.conn.from, domain): // which mellium does not like
		e.Message = fmt.Sprintf("the server is that of %s and not of %s", clip(l.conn.from), domain)
		e.Advice = checkDomain
	default:
		e.Message = fmt.Sprintf("the login failed: %v", err)
	}
	return e
}

// late says what the server has not done in time. It may be slow, or not an XMPP server: that is not known.
func (l *login) late(e *Error) {
	owes, limit := l.owes, l.cfg.Timeouts.Login
	if owes == stepOpen && l.conn.header {
		owes = stepOffer
	}
	e.Kind, e.Message = ErrUnreachable, fmt.Sprintf("the server did not %s within %v", owes, limit)
	e.Advice = "The server or the network may be slow or out of order"
	switch {
	case owes == stepNone:
		e.Message, e.Advice = fmt.Sprintf("the password did not come within %v", limit), "Is a keyring locked?"
	case owes == stepOpen && !l.private && l.conn.f.size == 0:
		e.Message = fmt.Sprintf("the connection was accepted, but nothing came by it within %v", limit)
		e.Advice += ". Check the port, too; one for direct TLS needs --tls direct"
	case owes == stepOpen, owes == stepTLS:
		e.Advice += ". Check the port, too"
	}
}

// streamError finds the stream error in err, ours or mellium's.
func streamError(err error) *StreamError {
	var se *StreamError
	if errors.As(err, &se) {
		return se
	}
	var theirs stream.Error
	if !errors.As(err, &theirs) {
		return nil
	}
	se = &StreamError{Condition: theirs.Err, Host: theirs.Content}
	if len(theirs.Text) > 0 {
		se.Text = theirs.Text[0].Value
	}
	return se
}

func isClosed(err error) bool {
	var op *net.OpError
	return errors.Is(err, net.ErrClosed) || errors.As(err, &op)
}
