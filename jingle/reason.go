package jingle

import (
	"slices"
	"strings"

	"github.com/jingled/jingled/xmltree"
)

// Condition is the element that stands for why an action was taken (XEP-0166 section 7.4).
type Condition string

// The conditions of XEP-0166 section 7.4.
const (
	AlternativeSession      Condition = "alternative-session"
	Busy                    Condition = "busy"
	Cancel                  Condition = "cancel"
	ConnectivityError       Condition = "connectivity-error"
	Decline                 Condition = "decline"
	Expired                 Condition = "expired"
	FailedApplication       Condition = "failed-application"
	FailedTransport         Condition = "failed-transport"
	GeneralError            Condition = "general-error"
	Gone                    Condition = "gone"
	IncompatibleParameters  Condition = "incompatible-parameters"
	MediaError              Condition = "media-error"
	SecurityError           Condition = "security-error"
	Success                 Condition = "success"
	Timeout                 Condition = "timeout"
	UnsupportedApplications Condition = "unsupported-applications"
	UnsupportedTransports   Condition = "unsupported-transports"
)

// Conditions lists every condition, in the order of the specification.
var Conditions = []Condition{
	AlternativeSession, Busy, Cancel, ConnectivityError, Decline, Expired, FailedApplication, FailedTransport,
	GeneralError, Gone, IncompatibleParameters, MediaError, SecurityError, Success, Timeout,
	UnsupportedApplications, UnsupportedTransports,
}

// Reason is the <reason/> element. It may accompany any action.
type Reason struct {
	Condition Condition
	// SID is the session to use instead, with [AlternativeSession] only.
	SID string
	// Text is a sentence for people, or "".
	Text string
	// App is the one application condition that may stand beside the condition, e.g.
	// <file-too-large xmlns='urn:xmpp:jingle:apps:file-transfer:errors:0'/>, or nil.
	App *xmltree.Element
	// Raw is the condition as the peer spelt it, if that differs from Condition; it is never written.
	Raw string
}

// misspelt maps what clients are known to send to the condition that they mean: Dino writes underscores, Monal
// writes application-error.
func misspelt(local string) (Condition, bool) {
	c := Condition(strings.ReplaceAll(local, "_", "-"))
	if c == "application-error" {
		return FailedApplication, true
	}
	return c, c.Known()
}

// Known reports whether c is one of [Conditions].
func (c Condition) Known() bool {
	return slices.Contains(Conditions, c)
}

// ParseReason reads a <reason/>. It never fails: an unknown or missing condition is read as [GeneralError], because a
// reason usually ends a session and must not keep it alive.
func ParseReason(e *xmltree.Element) *Reason {
	r := &Reason{}
	for c := range e.Elements() {
		switch {
		case c.Is(e.Name.Space, "text"):
			r.Text = c.Text()
		case c.Name.Space == e.Name.Space && r.Condition == "":
			if cond, ok := misspelt(c.Name.Local); ok {
				r.Condition = cond
				r.SID = c.ChildText(e.Name.Space, "sid")
			}
			if string(r.Condition) != c.Name.Local {
				r.Raw = c.Name.Local
			}
		case r.App == nil && c.Name.Space != e.Name.Space:
			r.App = c
		}
	}
	if r.Condition == "" {
		r.Condition = GeneralError
	}
	return r
}

// Element returns the <reason/> in the namespace of Jingle.
func (r *Reason) Element() *xmltree.Element {
	c := r.Condition
	if !c.Known() {
		// Conversations dereferences null when the condition is not a standard one.
		c = GeneralError
	}
	cond := xmltree.New(NS, string(c))
	if r.SID != "" {
		cond.Add(xmltree.New(NS, "sid").AddText(r.SID))
	}
	e := xmltree.New(NS, "reason").Add(cond)
	if r.Text != "" {
		e.Add(xmltree.New(NS, "text").AddText(r.Text))
	}
	return e.Add(r.App.Clone())
}

// String is for logs and people: the condition and the text.
func (r *Reason) String() string {
	if r == nil {
		return "no reason"
	}
	if r.Text == "" {
		return string(r.Condition)
	}
	return string(r.Condition) + ": " + r.Text
}
