package jmi

import (
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// Namespaces of what travels with a proposal.
const (
	NSHints    = "urn:xmpp:hints"    // XEP-0334
	NSReceipts = "urn:xmpp:receipts" // XEP-0184
)

// Inbound is a message stanza as far as it matters here. Copies of messages that other devices of the account sent or
// got (XEP-0280) are unwrapped, and come in like any other.
type Inbound struct {
	From, To jid.JID
	// StanzaID is the stanza's id.
	StanzaID string
	// Message is nil in a receipt or an error.
	Message *Message
	// WantsReceipt says that the sender asks for a receipt (XEP-0184).
	WantsReceipt bool
	// Receipt is the id of a stanza of ours that has arrived, or "".
	Receipt string
	// Error is set where a stanza of ours came back, with StanzaID its id.
	Error *jingle.StanzaError
	// Sent is when the stanza was sent, by its delay (XEP-0203); zero means just now.
	Sent time.Time
	// Archived says that the stanza comes from an archive (XEP-0313).
	Archived bool
}

// ParseStanza reads a message stanza, and reports false if it is none of the business of this package. From, To, Sent
// and Archived are the caller's to fill in, who knows about carbons and archives. The error is an [*xmltree.Error]; it
// is not answered.
func ParseStanza(msg *xmltree.Element, reg *jingle.Registry) (Inbound, bool, error) {
	in := Inbound{StanzaID: msg.Attr("id")}
	switch msg.Attr("type") {
	case "groupchat":
		// Section 3: of type chat only; calls of a room are XEP-0482's.
		return in, false, nil
	case "error":
		x := msg.Child(msg.Name.Space, "error")
		if x == nil || in.StanzaID == "" {
			return in, false, nil
		}
		in.Error = jingle.ParseStanzaError(x)
		return in, true, nil
	}
	if x := msg.Child(NSReceipts, "received"); x != nil {
		in.Receipt = x.Attr("id")
	}
	in.WantsReceipt = msg.Child(NSReceipts, "request") != nil
	for c := range msg.Elements() {
		if Is(c) {
			m, err := ParseMessage(c, reg)
			in.Message = m
			return in, err == nil, err
		}
	}
	return in, in.Receipt != "", nil
}

// Stanza returns the message stanza for an effect, in the namespace ns, e.g. "jabber:client". It has no 'from'.
func (s Send) Stanza(ns string) *xmltree.Element {
	// Section 3: every message is of type chat and has the hint to store it.
	msg := xmltree.New(ns, "message").Set("to", s.To.String()).Set("type", "chat").Set("id", s.StanzaID).
		Add(s.Message.Element())
	if s.WantsReceipt {
		msg.Add(xmltree.New(NSReceipts, "request"))
	}
	return msg.Add(xmltree.New(NSHints, "store"))
}

// Stanza returns the message stanza of a receipt, in the namespace ns. It has no 'from' and no 'id'.
func (r SendReceipt) Stanza(ns string) *xmltree.Element {
	return xmltree.New(ns, "message").Set("to", r.To.String()).Set("type", "chat").
		Add(xmltree.New(NSReceipts, "received").Set("id", r.StanzaID)).
		Add(xmltree.New(NSHints, "store"))
}
