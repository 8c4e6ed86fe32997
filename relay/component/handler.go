package component

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"mellium.im/xmpp/jid"

	"github.com/jingled/jingled/relay/limits"
	"github.com/jingled/jingled/relay/socks5"
)

// Namespaces.
const (
	nsComponent = "jabber:component:accept"
	nsStream    = "http://etherx.jabber.org/streams"
	nsStanzas   = "urn:ietf:params:xml:ns:xmpp-stanzas"
	nsStreamErr = "urn:ietf:params:xml:ns:xmpp-streams"
	nsInfo      = "http://jabber.org/protocol/disco#info"
	nsItems     = "http://jabber.org/protocol/disco#items"
	nsPing      = "urn:xmpp:ping"
	nsBytes     = "http://jabber.org/protocol/bytestreams"
	nsExtDisco  = "urn:xmpp:extdisco:2"
	nsExtDisco1 = "urn:xmpp:extdisco:1" // what older clients ask; the same elements
	nsNodes     = "http://jabber.org/protocol/jinglenodes"
	nsNodesTURN = "http://jabber.org/protocol/jinglenodes#turncredentials"
)

// Handler answers stanzas. It is a value without state.
type Handler struct {
	domain string
	offer  Offer
}

// NewHandler returns a Handler for a component's domain.
func NewHandler(own string, o Offer) (*Handler, error) {
	d, err := domain(own)
	if err != nil {
		return nil, err
	}
	o, err = o.withOfferDefaults()
	if err != nil {
		return nil, err
	}
	return &Handler{domain: d, offer: o}, nil
}

// caller is who sent a request, as the server vouches for it.
type caller struct {
	full, bare string
	served     bool
}

// answer returns the reply to a stanza as XML text, or "" if there is none to give.
func (h *Handler) answer(now time.Time, st *element, over bool) string {
	if st.local != "iq" || st.space != nsComponent {
		return "" // nothing else is for us
	}
	kind := st.attr("type")
	if kind != "get" && kind != "set" || st.attr("id") == "" {
		return "" // answers, and what cannot be answered
	}
	if over {
		return failure(st, "modify", "policy-violation")
	}
	from, err := jid.Parse(st.attr("from"))
	if err != nil {
		return "" // an answer could not be sent there
	}
	c := caller{full: from.String(), bare: from.Bare().String()}
	c.served = slices.Contains(h.offer.Domains, from.Domainpart()) && (h.offer.Banned == nil || !h.offer.Banned(c.bare))
	if st.attr("to") != h.domain {
		return failure(st, "cancel", "service-unavailable") // RFC 6120 section 8.3.3.19: no users live here
	}
	if len(st.children) != 1 {
		return failure(st, "modify", "bad-request") // RFC 6120 section 8.2.3 rule 4
	}
	body, cond := h.dispatch(now, c, kind, st.children[0])
	if cond.name != "" {
		return failure(st, cond.kind, cond.name)
	}
	return result(st, body)
}

// condition is a stanza error (RFC 6120 section 8.3). The zero value is none.
type condition struct{ kind, name string }

var (
	none        = condition{}
	badRequest  = condition{"modify", "bad-request"}
	forbidden   = condition{"auth", "forbidden"}
	notFound    = condition{"cancel", "item-not-found"}
	unavailable = condition{"cancel", "service-unavailable"}
)

func (h *Handler) dispatch(now time.Time, c caller, kind string, q *element) (string, condition) {
	key := kind + " " + q.space + " " + q.local
	switch key {
	case "get " + nsInfo + " query":
		return h.info(q)
	case "get " + nsItems + " query":
		return "<query xmlns='" + nsItems + "'/>", none
	case "get " + nsPing + " ping":
		return "", none
	}
	known := map[string]func(time.Time, caller, *element) (string, condition){
		"get " + nsExtDisco + " services":     h.services,
		"get " + nsExtDisco1 + " services":    h.services,
		"get " + nsExtDisco + " credentials":  h.credentials,
		"get " + nsExtDisco1 + " credentials": h.credentials,
		"get " + nsBytes + " query":           h.streamhost,
		"set " + nsBytes + " query":           h.activate,
		"get " + nsNodes + " services":        h.nodes,
		"get " + nsNodesTURN + " turn":        h.nodeCredentials,
	}
	f := known[key]
	switch {
	case f == nil:
		return "", unavailable
	case !c.served: // XEP-0065 section 4, XEP-0215 section 2: forbidden
		return "", forbidden
	}
	return f(now, c, q)
}

// info is service discovery: XEP-0065 section 4, XEP-0215 section 5, XEP-0278 section 7.
func (h *Handler) info(q *element) (string, condition) {
	if q.attr("node") != "" {
		return "", notFound
	}
	var b builder
	b.tag("query", "xmlns", nsInfo).more()
	features := []string{nsInfo, nsItems, nsPing}
	if h.offer.Proxy != nil {
		b.tag("identity", "category", "proxy", "type", "bytestreams", "name", h.offer.Name).empty()
		features = append(features, nsBytes)
	} else {
		b.tag("identity", "category", "component", "type", "generic", "name", h.offer.Name).empty()
	}
	if len(h.listed("")) > 0 {
		features = append(features, nsExtDisco, nsExtDisco1, nsNodes)
		if h.relay("") != nil {
			features = append(features, nsNodesTURN)
		}
	}
	slices.Sort(features)
	for _, f := range features {
		b.tag("feature", "var", f).empty()
	}
	return b.end("query").String(), none
}

// listed returns the services of a type, or all.
func (h *Handler) listed(kind string) []Service {
	var out []Service
	for _, s := range h.offer.Services {
		if (kind == "" || kind == s.Type) && (!s.turn() || h.offer.Issuer != nil) {
			out = append(out, s)
		}
	}
	return out
}

// relay returns the first TURN service with a transport, or nil.
func (h *Handler) relay(transport string) *Service {
	for _, s := range h.listed("") {
		if s.turn() && (transport == "" || transport == s.Transport) {
			return &s
		}
	}
	return nil
}

// services answers XEP-0215 sections 3.1 and 3.2.
func (h *Handler) services(now time.Time, c caller, q *element) (string, condition) {
	kind := q.attr("type")
	var b builder
	b.tag("services", "xmlns", q.space, "type", kind)
	list := h.listed(kind)
	if len(list) == 0 {
		return b.empty().String(), none
	}
	b.more()
	for _, s := range list {
		h.service(&b, now, c, s)
	}
	return b.end("services").String(), none
}

// credentials answers XEP-0215 section 3.3.
func (h *Handler) credentials(now time.Time, c caller, q *element) (string, condition) {
	want := q.child(q.space, "service")
	if want == nil || want.attr("host") == "" || want.attr("type") == "" {
		return "", badRequest
	}
	var b builder
	b.tag("credentials", "xmlns", q.space).more()
	found := false
	for _, s := range h.listed(want.attr("type")) {
		port := want.attr("port")
		if strings.EqualFold(s.Host, want.attr("host")) && s.turn() && (port == "" || port == strconv.Itoa(int(s.Port))) {
			h.service(&b, now, c, s)
			found = true
		}
	}
	if !found {
		return "", notFound
	}
	return b.end("credentials").String(), none
}

func (h *Handler) service(b *builder, now time.Time, c caller, s Service) {
	attrs := []string{"type", s.Type, "host", s.Host, "port", strconv.Itoa(int(s.Port)), "transport", s.Transport, "name", s.Name}
	if s.turn() {
		is := h.offer.Issuer.Issue(now, c.bare, h.offer.TTL)
		// XEP-0082: UTC with a Z.
		attrs = append(attrs, "restricted", "1", "username", is.Username, "password", is.Password, "expires", is.Expires.UTC().Format(time.RFC3339))
	}
	b.tag("service", attrs...).empty()
}

// streamhost answers XEP-0065 section 4, example 8.
func (h *Handler) streamhost(time.Time, caller, *element) (string, condition) {
	p := h.offer.Proxy
	if p == nil {
		return "", condition{"cancel", "not-allowed"} // example 10
	}
	var b builder
	b.tag("query", "xmlns", nsBytes).more()
	b.tag("streamhost", "jid", h.domain, "host", p.Host, "port", strconv.Itoa(int(p.Port))).empty()
	return b.end("query").String(), none
}

// activate answers XEP-0065 section 6.3.5.
func (h *Handler) activate(_ time.Time, c caller, q *element) (string, condition) {
	p := h.offer.Proxy
	if p == nil {
		return "", condition{"cancel", "not-allowed"}
	}
	sid, act := q.attr("sid"), q.child(nsBytes, "activate")
	if sid == "" || len(sid) > 1024 || act == nil {
		return "", badRequest
	}
	text := strings.TrimSpace(act.text)
	target, err := jid.Parse(text)
	if err != nil {
		return "", condition{"modify", "jid-malformed"}
	}
	a := socks5.Activation{SID: sid, Requester: c.full, Target: target.String(), User: c.bare}
	err = p.Activator.Activate(a)
	if errors.Is(err, socks5.ErrNotFound) && text != a.Target {
		// Section 5.3.2 rule 4 wants normalised addresses in the hash; not every client does it.
		a.Target = text
		err = p.Activator.Activate(a)
	}
	switch {
	case err == nil:
		return "", none
	case errors.Is(err, socks5.ErrNotFound):
		return "", notFound
	case errors.Is(err, socks5.ErrOneParty):
		return "", condition{"cancel", "not-allowed"}
	case errors.Is(err, limits.ErrBanned):
		return "", forbidden
	case errors.Is(err, socks5.ErrFull), errors.Is(err, limits.ErrFull), errors.Is(err, limits.ErrUserQuota), errors.Is(err, limits.ErrAddressQuota):
		return "", condition{"wait", "resource-constraint"}
	}
	return "", condition{"wait", "internal-server-error"}
}

// nodes answers XEP-0278 section 4.1. Channels are not offered: TURN does better what they do, with a password.
func (h *Handler) nodes(time.Time, caller, *element) (string, condition) {
	var stun, turn builder
	for _, s := range h.listed("") {
		b := &stun
		if s.turn() {
			b = &turn
		}
		if s.Type != "stuns" && s.Type != "turns" { // the XEP knows no TLS
			b.tag(s.Type, "policy", "public", "address", s.Host, "port", strconv.Itoa(int(s.Port)), "protocol", s.Transport).empty()
		}
	}
	return "<services xmlns='" + nsNodes + "'>" + stun.String() + turn.String() + "</services>", none
}

// nodeCredentials answers XEP-0278 section 4.5.
func (h *Handler) nodeCredentials(now time.Time, c caller, q *element) (string, condition) {
	s := h.relay(q.attr("protocol"))
	if s == nil {
		return "", notFound
	}
	is := h.offer.Issuer.Issue(now, c.bare, h.offer.TTL)
	host := s.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	var b builder
	b.tag("turn", "xmlns", nsNodesTURN, "ttl", strconv.FormatInt(int64(is.Expires.Sub(now)/time.Second), 10),
		"uri", s.Type+":"+host+":"+strconv.Itoa(int(s.Port))+"?transport="+s.Transport, // RFC 7065
		"username", is.Username, "password", is.Password).empty()
	return b.String(), none
}

func result(st *element, body string) string {
	var b builder
	b.tag("iq", "type", "result", "from", st.attr("to"), "to", st.attr("from"), "id", st.attr("id"))
	if body == "" {
		return b.empty().String()
	}
	b.more()
	b.WriteString(body)
	return b.end("iq").String()
}

func failure(st *element, kind, name string) string {
	var b builder
	b.tag("iq", "type", "error", "from", st.attr("to"), "to", st.attr("from"), "id", st.attr("id")).more()
	b.tag("error", "type", kind).more()
	b.tag(name, "xmlns", nsStanzas).empty()
	return b.end("error").end("iq").String()
}
