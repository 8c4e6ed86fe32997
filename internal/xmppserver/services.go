package xmppserver

import (
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// The namespaces of what the server itself does.
const (
	nsDiscoInfo  = "http://jabber.org/protocol/disco#info"
	nsDiscoItems = "http://jabber.org/protocol/disco#items"
	nsPing       = "urn:xmpp:ping"
	nsCarbons    = "urn:xmpp:carbons:2"
	nsForward    = "urn:xmpp:forward:0"
)

// result answers an IQ; payload may be nil.
func (h *hub) result(me *session, st, payload *xmltree.Element) {
	me.send(xmltree.New(nsClient, "iq").Set("type", "result").Set("id", st.Attr("id")).
		SetOpt("from", st.Attr("to")).Set("to", me.full.String()).Add(payload))
}

// server answers what is asked of the server (XEP-0030, XEP-0199).
func (h *hub) server(me *session, st *xmltree.Element) {
	p := st.First()
	get := st.Attr("type") == "get"
	switch {
	case get && p.Is(nsDiscoInfo, "query") && p.Attr("node") == "":
		h.result(me, st, discoInfo("server", "im", nsDiscoInfo, nsDiscoItems, nsPing, nsCarbons, nsRoster))
	case get && p.Is(nsDiscoItems, "query") && p.Attr("node") == "":
		q := xmltree.New(nsDiscoItems, "query")
		for _, it := range h.cfg.Items {
			q.Add(xmltree.New(nsDiscoItems, "item").Set("jid", it.JID.String()).SetOpt("name", it.Name))
		}
		for domain := range h.components {
			q.Add(xmltree.New(nsDiscoItems, "item").Set("jid", domain.String()))
		}
		h.result(me, st, q)
	case p.Name.Space == nsDiscoInfo || p.Name.Space == nsDiscoItems:
		h.refuse(me, st, "cancel", "item-not-found", "")
	case get && p.Is(nsPing, "ping"):
		h.result(me, st, nil)
	default:
		h.refuse(me, st, "cancel", "service-unavailable", "")
	}
}

// ownAccount answers what a client asks of its own account.
func (h *hub) ownAccount(me *session, st *xmltree.Element) {
	p := st.First()
	get := st.Attr("type") == "get"
	switch {
	case p.Is(nsRoster, "query"):
		h.roster(me, st, p)
	case !get && p.Is(nsCarbons, "enable"):
		me.carbons = true
		h.result(me, st, nil)
	case !get && p.Is(nsCarbons, "disable"):
		me.carbons = false
		h.result(me, st, nil)
	case !get && p.Is(nsSession, "session"):
		h.result(me, st, nil) // RFC 6120 dropped it; old clients ask still
	case get && p.Is(nsPing, "ping"):
		h.result(me, st, nil)
	default:
		h.otherAccount(me, st, h.accounts[me.full.Bare()])
	}
}

// otherAccount answers on behalf of an account, which may be nil for one that does not exist.
func (h *hub) otherAccount(me *session, st *xmltree.Element, a *account) {
	p := st.First()
	// XEP-0030 section 8: only those who may see the presence learn that there is an account.
	known := a != nil && (a.bare == me.full.Bare() || a.contacts[me.full.Bare()] != nil && a.contacts[me.full.Bare()].from)
	switch {
	case known && st.Attr("type") == "get" && p.Is(nsDiscoInfo, "query") && p.Attr("node") == "":
		h.result(me, st, discoInfo("account", "registered", nsDiscoInfo, nsDiscoItems))
	case known && st.Attr("type") == "get" && p.Is(nsDiscoItems, "query") && p.Attr("node") == "":
		q := xmltree.New(nsDiscoItems, "query")
		for full, s := range a.sessions {
			if s.presence != nil {
				q.Add(xmltree.New(nsDiscoItems, "item").Set("jid", full.String()))
			}
		}
		h.result(me, st, q)
	default:
		// RFC 6121 section 8.5.1 and 8.5.2.1.3
		h.refuse(me, st, "cancel", "service-unavailable", "")
	}
}

func discoInfo(category, typ string, features ...string) *xmltree.Element {
	q := xmltree.New(nsDiscoInfo, "query").Add(xmltree.New(nsDiscoInfo, "identity").Set("category", category).Set("type", typ))
	for _, f := range features {
		q.Add(xmltree.New(nsDiscoInfo, "feature").Set("var", f))
	}
	return q
}

// takePrivate removes XEP-0280's <private/> from a message and reports whether it was there (section 9), or the hint
// that asks for the same (XEP-0334 section 4.3).
func takePrivate(st *xmltree.Element) bool {
	private := false
	kept := st.Children[:0:0]
	for _, n := range st.Children {
		if e, ok := n.(*xmltree.Element); ok {
			if e.Is(nsCarbons, "private") {
				private = true
				continue
			}
			private = private || e.Is("urn:xmpp:hints", "no-copy")
		}
		kept = append(kept, n)
	}
	st.Children = kept
	return private
}

// carbonEligible says which messages are copied (XEP-0280 section 6.1). A carbon is not copied again.
func carbonEligible(st *xmltree.Element, typ string) bool {
	if st.Child(nsCarbons, "received") != nil || st.Child(nsCarbons, "sent") != nil {
		return false
	}
	switch typ {
	case "chat":
		return true
	case "normal":
		return st.Child(nsClient, "body") != nil || st.Child("urn:xmpp:receipts", "received") != nil ||
			st.Child("urn:xmpp:chat-markers:0", "displayed") != nil
	}
	return false
}

// carbons copies a message to the sessions of an account that asked for copies and have not got it (XEP-0280 sections 7
// and 8). kind is "received" or "sent".
func (h *hub) carbons(a *account, kind string, st *xmltree.Element, got map[*session]bool) {
	for full, s := range a.sessions {
		if !s.carbons || got[s] {
			continue
		}
		s.send(carbon(a.bare, full, kind, st))
		got[s] = true
	}
}

func carbon(bare, full jid.JID, kind string, st *xmltree.Element) *xmltree.Element {
	return xmltree.New(nsClient, "message").SetOpt("type", st.Attr("type")).Set("from", bare.String()).Set("to", full.String()).
		Add(xmltree.New(nsCarbons, kind).Add(xmltree.New(nsForward, "forwarded").Add(st)))
}
