package xmpp

import (
	"context"
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"

	mellium "mellium.im/xmpp"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/carbons"
	"github.com/jingled/jingled/xmpp/sm"
)

const (
	nsSASL2 = "urn:xmpp:sasl:2"
	nsBind2 = "urn:xmpp:bind:0"
)

// sasl2 is what a server offers for a login in one go (XEP-0388).
type sasl2 struct {
	mechanisms []string
	fast       []string // mechanisms for tokens (XEP-0484); nil: none
	resume     bool     // a stream can be resumed with the login (XEP-0198 section 9)
	bind       bool     // a resource can be bound with it (XEP-0386)
	features   []string // that can be enabled with the binding
}

func parseSASL2(e *xmltree.Element) *sasl2 {
	o := new(sasl2)
	for c := range e.Elements() {
		if c.Is(nsSASL2, "mechanism") {
			o.mechanisms = append(o.mechanisms, c.Text())
		}
	}
	inline := e.Child(nsSASL2, "inline")
	if inline == nil {
		return o
	}
	o.resume = inline.Child(sm.NS, "sm") != nil
	if f := inline.Child(nsFAST, "fast"); f != nil {
		for c := range f.Elements() {
			if c.Is(nsFAST, "mechanism") {
				o.fast = append(o.fast, c.Text())
			}
		}
	}
	if b := inline.Child(nsBind2, "bind"); b != nil {
		o.bind = true
		if list := b.Child(nsBind2, "inline"); list != nil {
			for c := range list.Elements() {
				o.features = append(o.features, c.Attr("var"))
			}
		}
	}
	return o
}

// sasl2Feature takes note of the offer, and logs in where there is no other.
func (l *login) sasl2Feature() mellium.StreamFeature {
	return mellium.StreamFeature{
		Name:       xml.Name{Space: nsSASL2, Local: "authentication"},
		Necessary:  mellium.Secure,
		Prohibited: mellium.Authn,
		Parse: func(_ context.Context, d *xml.Decoder, start *xml.StartElement) (bool, any, error) {
			e, err := xmltree.Read(*start, d, xmltree.Limits{})
			if err != nil {
				return false, nil, err
			}
			// Section 3: only after TLS.
			if o := parseSASL2(e); len(o.mechanisms) > 0 && (l.private || l.cfg.TLS == TLSPlainLoopback) {
				l.sasl2 = o
			}
			return true, []string(nil), nil
		},
		Negotiate: l.saslFeature().Negotiate,
	}
}

// profile is how the words of a mechanism are wrapped: RFC 6120 section 6 or XEP-0388.
type profile interface {
	begin(mechanism string, first []byte) error
	respond(data []byte) error
	namespace() string
	// data takes the mechanism's data out of a <challenge/> or <success/>, as text in base64.
	data(e *xmltree.Element) string
}

type sasl1 struct{ l *login }

func (p sasl1) begin(mechanism string, first []byte) error {
	return p.l.conn.send(xmltree.New(nsSASL, "auth").Set("mechanism", mechanism).AddText(encodeSASL(first)))
}

func (p sasl1) respond(data []byte) error {
	return p.l.conn.send(xmltree.New(nsSASL, "response").AddText(encodeSASL(data)))
}

func (sasl1) namespace() string { return nsSASL }

func (sasl1) data(e *xmltree.Element) string {
	if text := e.Text(); text != "=" {
		return text
	}
	return ""
}

// inline is the profile of XEP-0388, with all that is asked for along with the login.
type inline struct {
	l         *login
	installID string
	success   *xmltree.Element // the server's last word
	extra     []*xmltree.Element
}

func (p *inline) begin(mechanism string, first []byte) error {
	e := xmltree.New(nsSASL2, "authenticate").Set("mechanism", mechanism)
	if len(first) > 0 { // section 2.2: no element where there is no data
		e.Add(xmltree.New(nsSASL2, "initial-response").AddText(encodeSASL(first)))
	}
	e.Add(xmltree.New(nsSASL2, "user-agent").Set("id", p.installID).
		Add(xmltree.New(nsSASL2, "software").AddText(p.l.cfg.Identity.Name)))
	return p.l.conn.send(e.Add(p.extra...))
}

func (p *inline) respond(data []byte) error {
	return p.l.conn.send(xmltree.New(nsSASL2, "response").AddText(encodeSASL(data)))
}

func (*inline) namespace() string { return nsSASL2 }

func (p *inline) data(e *xmltree.Element) string {
	if e.Name.Local == "success" {
		p.success = e
		return strings.TrimSpace(e.ChildText(nsSASL2, "additional-data"))
	}
	return strings.TrimSpace(e.Text())
}

// login2 logs in by XEP-0388 and does what is left of the negotiation: there is no stream restart.
func (l *login) login2() error {
	p := &inline{l: l, installID: l.cfg.InstallID}
	if l.previous != nil && l.sasl2.resume {
		p.extra = append(p.extra, l.previous.out.sm.Resume())
	}
	// A stream is resumed before anything is bound, and where the login cannot do that, it is done after it.
	if l.cfg.Bind2 && l.sasl2.bind && (l.previous == nil || l.sasl2.resume) {
		p.extra = append(p.extra, l.bind2())
	}
	var err error
	if t, mechanism := l.token(); mechanism != "" {
		err = l.authenticateByToken(p, mechanism, t)
	} else {
		if m := l.tokenMechanism(); m != "" {
			p.extra = append(p.extra, xmltree.New(nsFAST, "request-token").Set("mechanism", m))
		}
		err = l.authenticate(p, l.sasl2.mechanisms, l.bindings)
	}
	if err != nil {
		return err
	}
	l.authenticated, l.owes, l.limits = true, stepBind, streamLimits{}
	l.takeToken(p)
	return l.finish2(p.success)
}

// bind2 asks for a resource and what is otherwise asked for one after the other (XEP-0386 section 3.2).
func (l *login) bind2() *xmltree.Element {
	e := xmltree.New(nsBind2, "bind")
	if tag, _, _ := strings.Cut(l.resource, "."); tag != "" {
		e.Add(xmltree.New(nsBind2, "tag").AddText(tag))
	}
	if !l.cfg.NoCarbons && slices.Contains(l.sasl2.features, carbons.NS) {
		l.carbons = true
		e.Add(carbons.Enable())
	}
	if !l.noSM && !l.cfg.NoStreamManagement && slices.Contains(l.sasl2.features, sm.NS) {
		e.Add(sm.Enable())
	}
	l.csi = slices.Contains(l.sasl2.features, nsCSI)
	return e
}

// finish2 takes what came with the success, and asks for what did not.
func (l *login) finish2(success *xmltree.Element) error {
	if r := success.Child(sm.NS, "resumed"); r != nil && l.previous != nil {
		if err := l.takeResumed(r); err != nil {
			return err
		}
		l.csi, l.limits = l.previous.csi, l.previous.theirs.get() // the features come among the stanzas
		return nil
	}
	if l.sasl2.resume {
		l.previous = nil // there was an answer, and it was no
	}
	if bound := success.Child(nsBind2, "bound"); bound != nil {
		j, err := jid.Parse(success.ChildText(nsSASL2, "authorization-identifier"))
		if err != nil || j.IsBare() {
			return &Error{Kind: ErrProtocol, Addr: l.addr, Message: "the server bound no usable address"}
		}
		l.jid = j
		if slices.Contains(l.sasl2.features, sm.NS) {
			if e := bound.Child(sm.NS, "enabled"); e != nil {
				l.sm = sm.Enabled(e)
			}
			return nil
		}
		if _, err := l.readFeatures(); err != nil || !l.smOffered || l.cfg.NoStreamManagement {
			return err
		}
		return l.enable()
	}
	l.carbons, l.csi = false, false
	features, err := l.readFeatures()
	if err != nil || features.Child(nsBind, "bind") == nil {
		return err // what is missing is told by negotiate
	}
	return l.takeResource()
}

// readFeatures reads what comes at once after a login, on the same stream (section 2.6.1).
func (l *login) readFeatures() (*xmltree.Element, error) {
	features, err := l.conn.element()
	if err != nil {
		return nil, err
	}
	if !features.Is(nsStream, "features") {
		return nil, &Error{Kind: ErrProtocol, Addr: l.addr, Message: "after the login the server offers nothing"}
	}
	l.smOffered = !l.noSM && features.Child(sm.NS, "sm") != nil
	l.csi = l.csi || features.Child(nsCSI, "csi") != nil
	l.limits = parseLimits(features.Child(nsLimits, "limits"))
	return features, nil
}

// continueError is the answer of a server that wants more, such as a second factor or a new password (section 2.6.3).
type continueError struct {
	tasks []string
	text  string // the server's words
}

func parseContinue(e *xmltree.Element) *continueError {
	c := &continueError{text: e.ChildText(nsSASL2, "text")}
	if tasks := e.Child(nsSASL2, "tasks"); tasks != nil {
		for t := range tasks.Elements() {
			if t.Is(nsSASL2, "task") && len(c.tasks) < 8 {
				c.tasks = append(c.tasks, clip(t.Text()))
			}
		}
	}
	return c
}

func (e *continueError) Error() string {
	what := "a further step"
	if len(e.tasks) > 0 {
		what = fmt.Sprintf("a further step (%q)", e.tasks)
	}
	if e.text != "" {
		what += fmt.Sprintf(" and says %q", clip(e.text))
	}
	return "the server takes the credentials, but asks for " + what
}

// newUUID makes a random UUID (RFC 9562 version 4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
