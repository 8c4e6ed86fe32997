package xmpp

import (
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/carbons"
)

// Message is a message stanza, taken out of its carbon copy or archive result if it came in one.
type Message struct {
	// Element is the stanza, the inner one of a copy. It must not be changed.
	Element *xmltree.Element
	From    jid.JID // the own bare address if the stanza names no sender
	To      jid.JID // the own bare address if the stanza names no receiver
	ID      string
	Type    string // "normal" if the stanza has none (RFC 6121 section 5.2.2)

	// Kind says whether it came straight to us or is a copy of another resource's, or out of the archive. Only the
	// own account can make such copies (CVE-2017-5589).
	Kind carbons.Kind
	// Delayed is when it was sent if it was held back on its way (XEP-0203), e.g. while we were offline; otherwise
	// the zero time. Anybody can claim that of their own messages. A delayed message is not a live event.
	Delayed time.Time
}

// Live reports whether the message is news: neither delayed nor out of the archive.
func (m *Message) Live() bool { return m.Delayed.IsZero() && m.Kind != carbons.Archived }

// Outgoing reports whether the message is a copy of one that another resource of ours has sent.
func (m *Message) Outgoing() bool { return m.Kind == carbons.Sent }

// newMessage reads a message stanza. ok is false for a copy that was not made by the own account or holds nothing.
func (c *Client) newMessage(e *xmltree.Element, from, me jid.JID) (m *Message, ok bool) {
	account := me.Bare()
	inner, kind, delay, err := carbons.Unwrap(e, account, from)
	if err != nil {
		c.stats.forged.Add(1)
		c.log.Warn("forwarded message refused", "from", from, "err", err)
		return nil, false
	}
	m = &Message{Element: inner, Kind: kind, ID: inner.Attr("id"), Type: inner.Attr("type")}
	if m.Type == "" {
		m.Type = "normal"
	}
	if m.From, ok = address(inner, "from", account); !ok {
		return nil, false
	}
	if m.To, ok = address(inner, "to", account); !ok {
		return nil, false
	}
	// A copy is of a message that the account itself has sent or received.
	if kind == carbons.Sent && m.From.Bare() != account || kind == carbons.Received && m.To.Bare() != account {
		c.stats.forged.Add(1)
		return nil, false
	}
	if kind != carbons.Direct && !m.Outgoing() && c.isBlocked(m.From) {
		c.stats.blocked.Add(1)
		return nil, false
	}
	if delay == nil {
		delay = inner.Child(carbons.NSDelay, "delay")
	}
	if delay != nil {
		m.Delayed = delayStamp(delay)
	}
	return m, true
}

// delayStamp reads XEP-0203's time. One that cannot be read is taken as long ago: the message was delayed all the same.
func delayStamp(d *xmltree.Element) time.Time {
	t, err := time.Parse(time.RFC3339Nano, d.Attr("stamp"))
	if err != nil || t.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return t.UTC()
}

// address reads an address attribute of a stanza; an absent one is def.
func address(e *xmltree.Element, attr string, def jid.JID) (jid.JID, bool) {
	v, ok := e.LookupAttr(attr)
	if !ok {
		return def, true
	}
	j, err := jid.Parse(v)
	return j, err == nil
}
