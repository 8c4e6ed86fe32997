// Package carbons takes forwarded messages out of their wrapping: carbon copies of what the account's other resources
// send and receive (XEP-0280 v1.0.1), and results from the archive (XEP-0313), both by way of XEP-0297.
package carbons

import (
	"errors"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// The namespaces of this package.
const (
	NS        = "urn:xmpp:carbons:2"
	NSForward = "urn:xmpp:forward:0"
	NSArchive = "urn:xmpp:mam:2"
	NSDelay   = "urn:xmpp:delay"
)

const nsClient = "jabber:client"

// Kind says how a message came to be here.
type Kind int

// The kinds. Archived covers results of archive queries.
const (
	Direct   Kind = iota
	Sent          // copy of what another resource of ours sent
	Received      // copy of what another resource of ours received
	Archived      // out of the account's archive
)

func (k Kind) String() string {
	return [...]string{"direct", "sent", "received", "archived"}[k]
}

// ErrForged is returned for a wrapping that its sender had no right to make (CVE-2017-5589).
var ErrForged = errors.New("forwarded message that is not from the own account")

// ErrMalformed is returned for a wrapping without a message in it.
var ErrMalformed = errors.New("forwarded message without a message")

// Unwrap returns the message inside a carbon copy or an archive result, its kind, and the delay element that stands
// beside it, or nil. A message that is neither is returned as it is, as [Direct].
//
// account is the own bare address and from the sender of the outer message, "" if it named none. XEP-0280 section 11:
// a copy MUST be from the own bare address and is ignored otherwise.
func Unwrap(m *xmltree.Element, account, from jid.JID) (inner *xmltree.Element, kind Kind, delay *xmltree.Element, err error) {
	wrap, kind := wrapping(m)
	if wrap == nil {
		return m, Direct, nil, nil
	}
	// RFC 6120 section 8.1.2.1: no 'from' means the own account.
	if from != "" && from != account {
		return nil, kind, nil, ErrForged
	}
	f := wrap.Child(NSForward, "forwarded")
	if f == nil {
		return nil, kind, nil, ErrMalformed
	}
	if inner = f.Child(nsClient, "message"); inner == nil {
		return nil, kind, nil, ErrMalformed
	}
	return inner, kind, f.Child(NSDelay, "delay"), nil
}

func wrapping(m *xmltree.Element) (*xmltree.Element, Kind) {
	for c := range m.Elements() {
		switch {
		case c.Is(NS, "sent"):
			return c, Sent
		case c.Is(NS, "received"):
			return c, Received
		case c.Is(NSArchive, "result"):
			return c, Archived
		}
	}
	return nil, Direct
}

// Enable returns the payload that asks the server for copies (section 4).
func Enable() *xmltree.Element { return xmltree.New(NS, "enable") }

// Private returns the child that keeps a message from being copied (section 9).
func Private() *xmltree.Element { return xmltree.New(NS, "private") }
