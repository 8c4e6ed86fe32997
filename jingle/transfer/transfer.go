// Package transfer is XEP-0251 (version 0.2): sending the other party of a call on to somebody else.
//
//	unattended: attendant --<transfer to=boss/>--> caller --session-initiate with <transfer from=attendant/>--> boss
//	attended:   the attendant has a session with the boss already, whose sid goes along
//
// Either ends by a session-terminate with success and <transferred/> beside it. Who asks for an unattended transfer
// cannot be verified by its target (section 5), and a caller who follows one shows its address to a stranger.
package transfer

import (
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// NS is the namespace of XEP-0251.
const NS = "urn:xmpp:jingle:transfer:0"

// Transfer is a <transfer/>: the payload of a session-info that asks for a transfer, and beside the contents of the
// session-initiate that does it.
type Transfer struct {
	// From is the attendant; empty in the request for an unattended transfer.
	From jid.JID
	// To is the target; empty in the session-initiate of an unattended transfer.
	To jid.JID
	// SID is the attendant's session with the target, in an attended transfer.
	SID string
}

// Attended reports whether the attendant has spoken with the target.
func (t Transfer) Attended() bool { return t.SID != "" }

// Element implements [jingle.Payload].
func (t Transfer) Element() *xmltree.Element {
	return xmltree.New(NS, "transfer").SetOpt("from", t.From.String()).SetOpt("sid", t.SID).SetOpt("to", t.To.String())
}

// ParseTransfer reads a <transfer/>.
func ParseTransfer(e *xmltree.Element) (Transfer, error) {
	if !e.Is(NS, "transfer") {
		return Transfer{}, &xmltree.Error{Element: e.Name.Local, Problem: "is not a <transfer/> of " + NS}
	}
	r := xmltree.Attrs(e)
	address := func(attr string) jid.JID {
		s := r.String(attr)
		if s == "" {
			return ""
		}
		j, err := jid.Parse(s)
		if err != nil {
			r.Fail(attr, "is not an XMPP address")
		}
		return j
	}
	t := Transfer{From: address("from"), To: address("to"), SID: r.String("sid")}
	if r.Err() == nil && t.From == "" && t.To == "" {
		r.Fail("", "has neither 'from' nor 'to'")
	}
	return t, r.Err()
}

// Transferred is the <transferred/> that stands as application condition in the reason of a session that ends because
// it was transferred.
func Transferred() *xmltree.Element { return xmltree.New(NS, "transferred") }

// IsTransferred reports whether a session ended because it was transferred.
func IsTransferred(r *jingle.Reason) bool { return r != nil && r.App.Is(NS, "transferred") }

// Register adds the codec of this package to r.
func Register(r *jingle.Registry) {
	r.Register(NS, "transfer", func(e *xmltree.Element) (jingle.Payload, error) {
		t, err := ParseTransfer(e)
		if err != nil {
			return nil, err
		}
		return t, nil
	})
}
