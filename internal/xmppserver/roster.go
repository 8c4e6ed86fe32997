package xmppserver

import (
	"strconv"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

const nsRoster = "jabber:iq:roster"

// contact is a roster item, or a request that waits for an answer.
type contact struct {
	name      string
	groups    []string
	to, from  bool // the account sees the contact's presence; the contact sees the account's
	ask       bool // the account has asked for a subscription
	listed    bool // it is in the roster: false while there is only a request from outside
	pendingIn bool // the contact has asked for one
}

func (c *contact) subscription() string {
	switch {
	case c.to && c.from:
		return "both"
	case c.to:
		return "to"
	case c.from:
		return "from"
	}
	return "none"
}

func rosterItem(j jid.JID, c *contact) *xmltree.Element {
	x := xmltree.New(nsRoster, "item").Set("jid", j.String()).SetOpt("name", c.name)
	if c.ask {
		x.Set("ask", "subscribe")
	}
	x.Set("subscription", c.subscription())
	for _, g := range c.groups {
		x.Add(xmltree.New(nsRoster, "group").AddText(g))
	}
	return x
}

// push tells the interested sessions of a roster item (RFC 6121 section 2.1.6).
func (h *hub) push(a *account, item *xmltree.Element) {
	for _, s := range a.sessions {
		if s.interested {
			h.pushes++
			s.send(xmltree.New(nsClient, "iq").Set("type", "set").Set("id", "push"+strconv.Itoa(h.pushes)).
				Set("to", s.full.String()).Add(xmltree.New(nsRoster, "query").Add(item)))
		}
	}
}

func (h *hub) pushContact(a *account, j jid.JID) {
	if c := a.contacts[j]; c != nil && c.listed {
		h.push(a, rosterItem(j, c))
	}
}

// roster answers roster gets and sets (RFC 6121 section 2).
func (h *hub) roster(me *session, st, query *xmltree.Element) {
	a := h.accounts[me.full.Bare()]
	if st.Attr("type") == "get" {
		me.interested = true
		q := xmltree.New(nsRoster, "query")
		for j, c := range a.contacts {
			if c.listed {
				q.Add(rosterItem(j, c))
			}
		}
		h.result(me, st, q)
		return
	}
	item := query.Child(nsRoster, "item")
	n := 0
	for range query.Elements() {
		n++
	}
	if item == nil || n != 1 {
		h.refuse(me, st, "modify", "bad-request", "A roster set has one item.")
		return
	}
	j, err := jid.Parse(item.Attr("jid"))
	if err != nil {
		h.refuse(me, st, "modify", "bad-request", "The item has no valid address.")
		return
	}
	if item.Attr("subscription") == "remove" {
		c := a.contacts[j]
		if c == nil || !c.listed {
			h.refuse(me, st, "cancel", "item-not-found", "")
			return
		}
		h.result(me, st, nil)
		h.remove(a, j)
		return
	}
	if !h.room(a, j) {
		h.refuse(me, st, "wait", "resource-constraint", "The roster is full.")
		return
	}
	c := a.contact(j)
	c.listed, c.name, c.groups = true, item.Attr("name"), nil
	for g := range item.Elements() {
		if g.Is(nsRoster, "group") {
			c.groups = append(c.groups, g.Text())
		}
	}
	h.result(me, st, nil)
	h.pushContact(a, j)
}

// room reports whether the account may have this contact.
func (h *hub) room(a *account, j jid.JID) bool {
	return a.contacts[j] != nil || len(a.contacts) < h.cfg.MaxRoster
}

// contact returns the contact, made if it is not there.
func (a *account) contact(j jid.JID) *contact {
	c := a.contacts[j]
	if c == nil {
		c = new(contact)
		a.contacts[j] = c
	}
	return c
}

// tidy forgets a contact that says nothing.
func (a *account) tidy(j jid.JID) {
	if c := a.contacts[j]; c != nil && !c.listed && !c.pendingIn {
		delete(a.contacts, j)
	}
}

// remove takes a contact out of the roster and ends the subscriptions (RFC 6121 section 2.5).
func (h *hub) remove(a *account, j jid.JID) {
	c := a.contacts[j]
	if c.to || c.ask {
		h.change(a, j, "unsubscribe")
	}
	if c.from || c.pendingIn {
		h.change(a, j, "unsubscribed")
	}
	delete(a.contacts, j)
	h.push(a, xmltree.New(nsRoster, "item").Set("jid", j.String()).Set("subscription", "remove"))
}

// subscription handles the four kinds of presence that manage subscriptions (RFC 6121 section 3).
func (h *hub) subscription(me *session, st *xmltree.Element, to jid.JID, typ string) {
	a := h.accounts[me.full.Bare()]
	switch {
	case to == a.bare:
		return
	case to.Domain() != h.domain.Domain():
		h.refuse(me, st, "cancel", "remote-server-not-found", "This server talks to no other.")
		return
	case !h.room(a, to):
		h.refuse(me, st, "wait", "resource-constraint", "The roster is full.")
		return
	}
	h.change(a, to, typ)
}

// change applies one subscription stanza of a to the contact j on both sides, tells both, and shows or takes back
// presence.
func (h *hub) change(a *account, j jid.JID, typ string) {
	b := h.accounts[j]
	forward := func(from, to *account, typ string) {
		h.toAvailable(to, xmltree.New(nsClient, "presence").Set("type", typ).Set("from", from.bare.String()))
	}
	switch typ {
	case "subscribe": // section 3.1
		mine := a.contact(j)
		mine.listed = true
		if mine.to {
			return
		}
		mine.ask = true
		h.pushContact(a, j)
		if b == nil || !h.room(b, a.bare) {
			return // section 3.1.3: nobody is to learn which accounts exist
		}
		theirs := b.contact(a.bare)
		if theirs.from {
			h.grant(b, a) // they had agreed already
			return
		}
		theirs.pendingIn = true
		forward(a, b, typ)
	case "subscribed": // section 3.1.5
		mine := a.contacts[j]
		if b == nil || mine == nil || !mine.pendingIn {
			return
		}
		mine.pendingIn, mine.listed = false, true
		h.grant(a, b)
	case "unsubscribe": // section 3.3
		if mine := a.contacts[j]; mine != nil {
			mine.to, mine.ask = false, false
			h.pushContact(a, j)
		}
		if b == nil {
			return
		}
		if theirs := b.contacts[a.bare]; theirs != nil {
			had := theirs.from
			theirs.from, theirs.pendingIn = false, false
			b.tidy(a.bare)
			h.pushContact(b, a.bare)
			forward(a, b, typ)
			if had {
				h.hidePresence(b, a)
			}
		}
	case "unsubscribed": // section 3.2
		mine := a.contacts[j]
		if mine == nil || !mine.from && !mine.pendingIn {
			return
		}
		had := mine.from
		mine.from, mine.pendingIn = false, false
		h.pushContact(a, j)
		a.tidy(j)
		if b == nil {
			return
		}
		if had {
			h.hidePresence(a, b)
		}
		if theirs := b.contacts[a.bare]; theirs != nil {
			theirs.to, theirs.ask = false, false
			forward(a, b, typ)
			h.pushContact(b, a.bare)
		}
	}
}

// grant lets b see the presence of a, if b has asked.
func (h *hub) grant(a, b *account) {
	a.contact(b.bare).from = true
	h.pushContact(a, b.bare)
	theirs := b.contacts[a.bare]
	if theirs == nil || !theirs.ask {
		return
	}
	theirs.to, theirs.ask = true, false
	h.toAvailable(b, xmltree.New(nsClient, "presence").Set("type", "subscribed").Set("from", a.bare.String()))
	h.pushContact(b, a.bare)
	for _, s := range b.sessions {
		if s.presence != nil {
			h.tellPresence(a, s)
		}
	}
}

// hidePresence makes the sessions of a look unavailable to b.
func (h *hub) hidePresence(a, b *account) {
	for _, s := range a.sessions {
		if s.presence != nil {
			h.toAvailable(b, xmltree.New(nsClient, "presence").Set("type", "unavailable").Set("from", s.full.String()))
		}
	}
}

// befriend gives two accounts a mutual subscription.
func (h *hub) befriend(x, y *account) {
	for _, p := range [][2]*account{{x, y}, {y, x}} {
		c := p[0].contact(p[1].bare)
		c.listed, c.to, c.from, c.ask, c.pendingIn = true, true, true, false, false
		h.pushContact(p[0], p[1].bare)
	}
	for _, p := range [][2]*account{{x, y}, {y, x}} {
		for _, s := range p[0].sessions {
			if s.presence != nil {
				h.tellPresence(p[1], s)
			}
		}
	}
}
