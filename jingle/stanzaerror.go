package jingle

import (
	"fmt"

	"github.com/jingled/jingled/xmltree"
)

// NSStanzas is the namespace of the defined stanza error conditions (RFC 6120 section 8.3.3).
const NSStanzas = "urn:ietf:params:xml:ns:xmpp-stanzas"

// StanzaError is an IQ error, ours to send or theirs to us (RFC 6120 section 8.3).
type StanzaError struct {
	Type      string // "auth", "cancel", "continue", "modify" or "wait"
	Condition string // e.g. "item-not-found"
	Text      string // a sentence for people, or ""
	// URI is the new address in <gone/> or <redirect/>, or "" (RFC 6120 sections 8.3.3.5 and 8.3.3.14).
	URI string
	// App is the application condition, e.g. <unknown-session xmlns='urn:xmpp:jingle:errors:1'/>, or nil.
	App *xmltree.Element
}

func (e *StanzaError) Error() string {
	s := e.Condition
	if e.App != nil {
		s += " (" + e.App.Name.Local + ")"
	}
	if e.Text != "" {
		s += ": " + e.Text
	}
	if e.URI != "" {
		s += ": " + e.URI
	}
	return s
}

// HasApp reports whether the error carries Jingle's application condition of this name.
func (e *StanzaError) HasApp(local string) bool { return e != nil && e.App.Is(NSErrors, local) }

// Element returns the <error/> for a stanza in the namespace ns, e.g. "jabber:client".
func (e *StanzaError) Element(ns string) *xmltree.Element {
	x := xmltree.New(ns, "error").Set("type", e.Type).Add(xmltree.New(NSStanzas, e.Condition).AddText(e.URI))
	if e.Text != "" {
		x.Add(xmltree.New(NSStanzas, "text").AddText(e.Text))
	}
	return x.Add(e.App.Clone())
}

// ParseStanzaError reads an <error/>. It never fails; what is not understood becomes undefined-condition.
func ParseStanzaError(x *xmltree.Element) *StanzaError {
	e := &StanzaError{Type: x.Attr("type")}
	for c := range x.Elements() {
		switch {
		case c.Is(NSStanzas, "text"):
			e.Text = c.Text()
		case c.Name.Space == NSStanzas && e.Condition == "":
			e.Condition = c.Name.Local
			if e.Condition == "gone" || e.Condition == "redirect" {
				e.URI = c.Text()
			}
		case c.Name.Space != NSStanzas && e.App == nil:
			e.App = c
		}
	}
	if e.Condition == "" {
		e.Condition = "undefined-condition"
	}
	return e
}

func jingleError(typ, condition, app, text string) *StanzaError {
	e := &StanzaError{Type: typ, Condition: condition, Text: text}
	if app != "" {
		e.App = xmltree.New(NSErrors, app)
	}
	return e
}

// ErrUnknownSession is the answer to a session id that is unknown or has ended (XEP-0166 sections 6.7 and 10).
func ErrUnknownSession() *StanzaError {
	return jingleError("cancel", "item-not-found", "unknown-session", "There is no such session, or it has ended.")
}

// ErrOutOfOrder is the answer to an action that the session's state does not allow (XEP-0166 section 10). The XEP
// gives no type; RFC 6120 section 8.3.3.22 has "wait" or "modify".
func ErrOutOfOrder(format string, args ...any) *StanzaError {
	return jingleError("wait", "unexpected-request", "out-of-order", fmt.Sprintf(format, args...))
}

// ErrTieBreak is the answer to a crossing action that lost (XEP-0166 section 7.2.16).
func ErrTieBreak(format string, args ...any) *StanzaError {
	return jingleError("cancel", "conflict", "tie-break", fmt.Sprintf(format, args...))
}

// ErrUnsupportedInfo is the answer to an informational payload that is not understood (XEP-0166 section 6.8).
func ErrUnsupportedInfo(format string, args ...any) *StanzaError {
	return jingleError("modify", "feature-not-implemented", "unsupported-info", fmt.Sprintf(format, args...))
}

// ErrSecurityRequired is the answer to what was sent in clear but belongs in the secured channel (XEP-0166 section 9).
func ErrSecurityRequired(format string, args ...any) *StanzaError {
	return jingleError("cancel", "not-acceptable", "security-required", fmt.Sprintf(format, args...))
}

// ErrBadRequest is the answer to a malformed message or an unknown action (XEP-0166 sections 6.3.2 and 7.2).
func ErrBadRequest(format string, args ...any) *StanzaError {
	return jingleError("cancel", "bad-request", "", fmt.Sprintf(format, args...))
}

// ErrServiceUnavailable is the answer to callers whom policy does not know, and says the same as having no Jingle at
// all (XEP-0166 section 6.3.2).
func ErrServiceUnavailable() *StanzaError {
	return jingleError("cancel", "service-unavailable", "", "")
}

// ErrResourceConstraint is the answer when there is no room for one more (XEP-0166 section 6.3.2).
func ErrResourceConstraint(format string, args ...any) *StanzaError {
	return jingleError("wait", "resource-constraint", "", fmt.Sprintf(format, args...))
}

// ErrRedirect is the answer that sends a caller elsewhere; uri is an xmpp: URI (XEP-0166 section 6.3.2).
func ErrRedirect(uri string) *StanzaError {
	return &StanzaError{Type: "modify", Condition: "redirect", URI: uri}
}
