package jingle

import (
	"slices"

	"github.com/jingled/jingled/jid"
)

// purpose is what a content is for, as far as two contents can be "functionally equivalent" (XEP-0166 section
// 7.2.16): the application, and its medium where it has one.
func purpose(c *Content) string {
	if c.Description == nil {
		return ""
	}
	e := c.Description.Element()
	return e.Name.Space + " " + e.Attr("media")
}

// equivalentContents reports whether two messages hold contents for the same purposes, in any order.
func equivalentContents(a, b *Message) bool {
	purposes := func(m *Message) []string {
		var p []string
		for i := range m.Contents {
			p = append(p, purpose(&m.Contents[i]))
		}
		slices.Sort(p)
		return p
	}
	return slices.Equal(purposes(a), purposes(b))
}

// crossing reports whether two session-initiates, ours and the peer's, are equivalent: they hold contents for the same
// purposes, in which the same side sends. Two files that are offered in opposite directions are two sessions.
func crossing(ours, theirs *Message) bool {
	flows := func(m *Message, initiator, responder string) []string {
		var f []string
		for i := range m.Contents {
			c := &m.Contents[i]
			flow := purpose(c)
			switch c.Senders {
			case SendersInitiator:
				flow += " from " + initiator
			case SendersResponder:
				flow += " from " + responder
			}
			f = append(f, flow)
		}
		slices.Sort(f)
		return f
	}
	return slices.Equal(flows(ours, "us", "them"), flows(theirs, "them", "us"))
}

// sharesContent reports whether two messages are about the same content.
func sharesContent(a, b *Message) bool {
	return slices.ContainsFunc(a.Contents, func(c Content) bool { return b.Content(c.Name) != nil })
}

// overrules reports whether a session-initiate of our sid goes before the peer's: the lower sid by i;octet does, and
// with equal sids the lower JID (XEP-0166 section 7.2.16).
func overrules(ourSID string, local jid.JID, theirSID string, peer jid.JID) bool {
	if ourSID != theirSID {
		return ourSID < theirSID
	}
	return local < peer
}
