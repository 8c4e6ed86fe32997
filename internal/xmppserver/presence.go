package xmppserver

import (
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// maxDirected is how many others one session may send directed presence to.
const maxDirected = 1000

// presence routes a presence stanza (RFC 6121 sections 3 and 4).
func (h *hub) presence(me *session, st *xmltree.Element, to jid.JID) {
	typ := st.Attr("type")
	switch typ {
	case "subscribe", "subscribed", "unsubscribe", "unsubscribed":
		if to != "" {
			h.subscription(me, st, to.Bare(), typ)
		}
		return
	case "", "unavailable":
	case "error":
		if s := h.session(to); s != nil {
			s.send(st)
		}
		return
	case "probe":
		return // the server probes by itself (RFC 6121 section 4.3)
	default:
		h.refuse(me, st, "modify", "bad-request", "")
		return
	}
	switch {
	case to != "":
		h.directed(me, st, to, typ == "")
	case typ == "":
		h.goOnline(me, st)
	default:
		h.goOffline(me, st)
	}
}

// goOnline is initial and later presence (RFC 6121 sections 4.2 and 4.4).
func (h *hub) goOnline(me *session, st *xmltree.Element) {
	a := h.accounts[me.full.Bare()]
	initial := me.presence == nil
	me.presence, me.priority = st, parsePriority(st)
	h.broadcast(a, st)
	if !initial {
		return
	}
	// RFC 6121 section 4.3: what a probe would bring, from contacts and from the account's other resources.
	for _, s := range a.sessions {
		if s != me && s.presence != nil {
			me.send(addressed(s.presence, me.full))
		}
	}
	for bare, c := range a.contacts {
		if c.to {
			h.tellPresence(h.accounts[bare], me)
		}
		if c.pendingIn {
			// RFC 6121 section 3.1.3: a request is shown at each login until it is answered.
			me.send(xmltree.New(nsClient, "presence").Set("type", "subscribe").Set("from", bare.String()).Set("to", a.bare.String()))
		}
	}
}

// tellPresence sends the presence of an account's sessions to one session.
func (h *hub) tellPresence(of *account, to *session) {
	if of == nil {
		return
	}
	for _, s := range of.sessions {
		if s.presence != nil {
			to.send(addressed(s.presence, to.full))
		}
	}
}

// broadcast sends presence to the contacts that have a subscription, and to the account's own available resources,
// the sender included while it stays (RFC 6121 sections 4.2.2 and 4.5.2).
func (h *hub) broadcast(a *account, st *xmltree.Element) {
	leaving := st.Attr("type") == "unavailable"
	for full, s := range a.sessions {
		if s.presence != nil && !(leaving && st.Attr("from") == full.String()) {
			s.send(addressed(st, s.full))
		}
	}
	for bare, c := range a.contacts {
		if c.from {
			h.toAvailable(h.accounts[bare], st)
		}
	}
}

// toAvailable sends presence to the available sessions of an account.
func (h *hub) toAvailable(a *account, st *xmltree.Element) {
	if a == nil {
		return
	}
	for _, s := range a.sessions {
		if s.presence != nil {
			s.send(addressed(st, s.full))
		}
	}
}

// goOffline is unavailable presence, sent or by the end of the stream (RFC 6121 section 4.5).
func (h *hub) goOffline(me *session, st *xmltree.Element) {
	st.Set("from", me.full.String())
	a := h.accounts[me.full.Bare()]
	if me.presence != nil {
		h.broadcast(a, st)
	}
	for to := range me.directed {
		// RFC 6121 section 4.6.3: those who got directed presence; contacts know already.
		if c := a.contacts[to.Bare()]; me.presence == nil || c == nil || !c.from {
			h.deliverPresence(st, to)
		}
	}
	clear(me.directed)
	me.presence = nil
}

// directed is presence to one other (RFC 6121 section 4.6).
func (h *hub) directed(me *session, st *xmltree.Element, to jid.JID, available bool) {
	if to.Domain() != h.domain.Domain() {
		h.refuse(me, st, "cancel", "remote-server-not-found", "This server talks to no other.")
		return
	}
	switch {
	case !available:
		delete(me.directed, to)
	case len(me.directed) < maxDirected:
		me.directed[to] = struct{}{}
	default:
		h.refuse(me, st, "wait", "resource-constraint", "Too much directed presence.")
		return
	}
	h.deliverPresence(st, to)
}

func (h *hub) deliverPresence(st *xmltree.Element, to jid.JID) {
	if to.IsBare() {
		h.toAvailable(h.accounts[to], st)
	} else if s := h.session(to); s != nil {
		s.send(addressed(st, to))
	}
}
