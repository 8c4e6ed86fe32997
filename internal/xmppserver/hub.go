package xmppserver

import (
	"strconv"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// hub is what the sessions share: accounts, rosters, presence, and the rules of routing. It knows no network, clock or
// lock; a stanza goes in, and what follows from it goes to the queues of sessions.
type hub struct {
	cfg      Config
	domain   jid.JID
	accounts map[jid.JID]*account // by bare address
	// components are services with domains of their own (XEP-0114).
	components map[jid.JID]*component
	pushes     int // numbers the ids of roster pushes
}

// account is a user.
type account struct {
	bare     jid.JID
	secrets  map[string]secret // by mechanism
	contacts map[jid.JID]*contact
	sessions map[jid.JID]*session // by full address
}

func newHub(cfg Config) *hub {
	return &hub{cfg: cfg, domain: jid.JID(cfg.Domain), accounts: make(map[jid.JID]*account),
		components: make(map[jid.JID]*component)}
}

func newAccount(bare jid.JID, secrets map[string]secret) *account {
	return &account{bare: bare, secrets: secrets, contacts: make(map[jid.JID]*contact), sessions: make(map[jid.JID]*session)}
}

// account returns an account by its user name, or nil.
func (h *hub) account(user string) *account {
	bare, err := jid.Parse(user + "@" + h.cfg.Domain)
	if err != nil {
		return nil
	}
	return h.accounts[bare]
}

// session returns a session by its full address, or nil.
func (h *hub) session(full jid.JID) *session {
	if a := h.accounts[full.Bare()]; a != nil {
		return a.sessions[full]
	}
	return nil
}

func (h *hub) each(f func(*session)) {
	for _, a := range h.accounts {
		for _, s := range a.sessions {
			f(s)
		}
	}
}

// enter adds a session, if the account has room for it. One with the same address ends (RFC 6120 section 7.7.2.2).
func (h *hub) enter(me *session, first *xmltree.Element) bool {
	a := h.accounts[me.full.Bare()]
	if a == nil {
		return false
	}
	if old := a.sessions[me.full]; old != nil {
		h.leave(old)
		old.end(&streamError{"conflict", "The resource is used by a newer connection."})
	}
	if len(a.sessions) >= h.cfg.MaxResources {
		return false
	}
	me.directed = make(map[jid.JID]struct{})
	a.sessions[me.full] = me
	me.send(first)
	return true
}

// leave removes a session and tells those who knew of it.
func (h *hub) leave(me *session) {
	if me.gone {
		return
	}
	h.goOffline(me, xmltree.New(nsClient, "presence").Set("type", "unavailable"))
	me.gone = true
	delete(h.accounts[me.full.Bare()].sessions, me.full)
}

// route does what a client's stanza asks for. An error ends the client's stream.
func (h *hub) route(me *session, st *xmltree.Element) error {
	if st.Name.Space != nsClient {
		return &streamError{"unsupported-stanza-type", "{" + st.Name.Space + "}" + st.Name.Local}
	}
	// RFC 6120 section 8.1.2.1: the server says who sends.
	if from := st.Attr("from"); from != "" {
		if j, err := jid.Parse(from); err != nil || j != me.full && j != me.full.Bare() {
			return &streamError{"invalid-from", ""}
		}
	}
	var to jid.JID
	if s, ok := st.LookupAttr("to"); ok {
		var err error
		if to, err = jid.Parse(s); err != nil {
			// RFC 6120 section 8.3.3.8
			h.refuse(me, st, "modify", "jid-malformed", "")
			return nil
		}
	}
	st = st.Clone().Set("from", me.full.String())
	switch st.Name.Local {
	case "message":
		h.message(me, st, to)
	case "presence":
		h.presence(me, st, to)
	case "iq":
		h.iq(me, st, to)
	default:
		return &streamError{"unsupported-stanza-type", "<" + st.Name.Local + "/>"}
	}
	return nil
}

// refuse answers a stanza with an error, unless it is one that must not be answered so (RFC 6120 section 8.3.1).
func (h *hub) refuse(me *session, st *xmltree.Element, typ, condition, text string) {
	if t := st.Attr("type"); t == "error" || t == "result" {
		return
	}
	me.send(errorReply(st, typ, condition, text).Set("to", me.full.String()))
}

// errorReply makes the error that answers a stanza.
func errorReply(st *xmltree.Element, typ, condition, text string) *xmltree.Element {
	r := xmltree.New(nsClient, st.Name.Local).Set("type", "error").SetOpt("id", st.Attr("id")).
		SetOpt("from", st.Attr("to"))
	for c := range st.Elements() {
		// RFC 6120 section 8.3.1: the original may come along; of a large one it would be waste.
		if st.Name.Local == "iq" {
			r.Add(xmltree.New(c.Name.Space, c.Name.Local))
		}
	}
	e := xmltree.New(nsClient, "error").Set("type", typ).Add(xmltree.New(nsStanzas, condition))
	if text != "" {
		e.Add(xmltree.New(nsStanzas, "text").AddText(text))
	}
	return r.Add(e)
}

// addressed returns the stanza with another recipient. The children are shared.
func addressed(st *xmltree.Element, to jid.JID) *xmltree.Element {
	c := &xmltree.Element{Name: st.Name, Attrs: append(st.Attrs[:0:0], st.Attrs...), Children: st.Children}
	return c.Set("to", to.String())
}

// reachable returns the sessions that get what is sent to the bare address: available ones whose priority is not
// negative (RFC 6121 section 8.5.2.1).
func (a *account) reachable() []*session {
	var out []*session
	for _, s := range a.sessions {
		if s.presence != nil && s.priority >= 0 {
			out = append(out, s)
		}
	}
	return out
}

// message routes a message (RFC 6121 sections 5 and 8).
func (h *hub) message(me *session, st *xmltree.Element, to jid.JID) {
	if to == "" {
		// RFC 6120 section 10.3.1: to the sender's own account.
		to = me.full.Bare()
		st.Set("to", to.String())
	}
	typ := st.Attr("type")
	switch typ {
	case "chat", "error", "groupchat", "headline":
	default:
		typ = "normal" // RFC 6121 section 5.2.2
	}
	private := takePrivate(st)
	a := h.accounts[to.Bare()]
	if to.Domain() != h.domain.Domain() {
		if !h.toComponent(st, to) {
			h.refuse(me, st, "cancel", "remote-server-not-found", "This server talks to no other.")
		}
		return
	}
	if a == nil {
		h.refuse(me, st, "cancel", "service-unavailable", "")
		return
	}
	got := make(map[*session]bool) // who has it already
	deliver := func(s *session) { s.send(st); got[s] = true }
	if s := a.sessions[to]; s != nil {
		deliver(s)
	} else if to.IsBare() || typ == "chat" {
		// RFC 6121 sections 8.5.2 and 8.5.3.2.1
		switch typ {
		case "groupchat":
			h.refuse(me, st, "cancel", "service-unavailable", "")
			return
		case "error":
			return
		}
		for _, s := range a.reachable() {
			deliver(s)
		}
		if len(got) == 0 && typ != "headline" {
			h.refuse(me, st, "cancel", "service-unavailable", "Nobody is there, and messages are not kept.")
			return
		}
	} else {
		h.refuse(me, st, "cancel", "service-unavailable", "")
		return
	}
	if !private && carbonEligible(st, typ) {
		got[me] = true
		h.carbons(a, "received", st, got)
		h.carbons(h.accounts[me.full.Bare()], "sent", st, got)
	}
}

// iq routes an IQ (RFC 6120 section 8.2.3, RFC 6121 section 8).
func (h *hub) iq(me *session, st *xmltree.Element, to jid.JID) {
	typ := st.Attr("type")
	n := 0
	for range st.Elements() {
		n++
	}
	request := typ == "get" || typ == "set"
	if st.Attr("id") == "" || !request && typ != "result" && typ != "error" || request && n != 1 || typ == "result" && n > 1 {
		h.refuse(me, st, "modify", "bad-request", "")
		return
	}
	switch {
	case to == "" || to == me.full.Bare():
		if request {
			h.ownAccount(me, st)
		}
	case to == h.domain:
		if request {
			h.server(me, st)
		}
	case to.Domain() != h.domain.Domain():
		if !h.toComponent(st, to) {
			h.refuse(me, st, "cancel", "remote-server-not-found", "This server talks to no other.")
		}
	case !to.IsBare():
		if s := h.session(to); s != nil {
			s.send(st)
			return
		}
		h.refuse(me, st, "cancel", "service-unavailable", "")
	default:
		if request {
			h.otherAccount(me, st, h.accounts[to])
		}
	}
}

func parsePriority(st *xmltree.Element) int {
	n, err := strconv.ParseInt(st.ChildText(nsClient, "priority"), 10, 8)
	if err != nil {
		return 0
	}
	return int(n)
}
