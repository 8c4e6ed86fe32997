package xmpp

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/caps"
)

// Presence is what we tell about ourselves (RFC 6121 section 4.7).
type Presence struct {
	Show     string // "", "away", "chat", "dnd" or "xa"
	Status   string // for people
	Priority int8   // with a negative one, messages to the bare address do not come here
	Extra    []*xmltree.Element
}

// PresenceStanza is somebody's presence, or a request about presence.
type PresenceStanza struct {
	Element *xmltree.Element // must not be changed
	From    jid.JID
	// Type is "" for available, or "unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "error".
	Type string
	// Gone are the full addresses that have gone offline with it.
	Gone []jid.JID
}

// Resource is an entity that is online, as its presence tells.
type Resource struct {
	JID      jid.JID // full
	Show     string
	Status   string
	Priority int
	Caps     caps.Caps // zero: unknown
	Since    time.Time // when this presence came
}

func (p Presence) element(to jid.JID, c caps.Caps) *xmltree.Element {
	e := xmltree.New(nsClient, "presence").SetOpt("to", to.String())
	add := func(name, text string) {
		if text != "" {
			e.Add(xmltree.New(nsClient, name).AddText(text))
		}
	}
	add("show", p.Show)
	add("status", p.Status)
	if p.Priority != 0 {
		add("priority", strconv.Itoa(int(p.Priority)))
	}
	for _, x := range p.Extra {
		e.Add(x.Clone())
	}
	if c.Ver == "" {
		return e // whoever lends us the stream has other capabilities, and adds its own
	}
	return e.Add(c.Element())
}

// SetPresence changes what we tell about ourselves, now and at later logins.
func (c *Client) SetPresence(p Presence) error {
	c.mu.Lock()
	c.presence = p
	c.mu.Unlock()
	err := c.Send(p.element("", c.ownCaps))
	if errors.Is(err, ErrOffline) {
		return nil
	}
	return err
}

// SendPresence sends our presence, capabilities included, to one entity that would not get it otherwise: directed
// presence (RFC 6121 section 4.6). Our server tells that entity when we go offline.
func (c *Client) SendPresence(to jid.JID) error {
	c.mu.Lock()
	p := c.presence
	c.mu.Unlock()
	return c.Send(p.element(to, c.ownCaps))
}

// PresenceExtra returns what goes with our presence to everybody, capabilities first, for one that somebody else makes.
func (c *Client) PresenceExtra() []*xmltree.Element {
	var out []*xmltree.Element
	if c.ownCaps.Ver != "" {
		out = append(out, c.ownCaps.Element())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range c.presence.Extra {
		out = append(out, x.Clone())
	}
	return out
}

// SendUnavailable ends what [Client.SendPresence] began.
func (c *Client) SendUnavailable(to jid.JID) error { return c.presenceOf("unavailable", to) }

// Subscribe asks to see a contact's presence (RFC 6121 section 3.1).
func (c *Client) Subscribe(to jid.JID) error { return c.presenceOf("subscribe", to.Bare()) }

// Approve lets a contact see our presence, in answer to a request or before it (sections 3.1.4 and 3.4).
func (c *Client) Approve(to jid.JID) error { return c.presenceOf("subscribed", to.Bare()) }

// Deny refuses a contact's request, or ends its subscription to our presence (section 3.2).
func (c *Client) Deny(to jid.JID) error { return c.presenceOf("unsubscribed", to.Bare()) }

// Unsubscribe ends our subscription to a contact's presence (section 3.3).
func (c *Client) Unsubscribe(to jid.JID) error { return c.presenceOf("unsubscribe", to.Bare()) }

func (c *Client) presenceOf(typ string, to jid.JID) error {
	return c.Send(xmltree.New(nsClient, "presence").Set("to", to.String()).Set("type", typ))
}

// Resources returns the resources of a bare address that are online as far as we see, those first that want messages
// most: by priority, then by how new their presence is.
func (c *Client) Resources(bare jid.JID) []Resource { return c.online.of(bare.Bare()) }

// Resource returns the presence of a full address. ok is false if it is not online as far as we see.
func (c *Client) Resource(full jid.JID) (r Resource, ok bool) {
	for _, r := range c.online.of(full.Bare()) {
		if r.JID == full {
			return r, true
		}
	}
	return Resource{}, false
}

// maxResources bounds the resources of one bare address, so that nobody pushes the others out.
const maxResources = 1024

// onlineTable is who is online.
type onlineTable struct {
	limit int

	mu    sync.Mutex
	count int
	bare  map[jid.JID][]Resource
}

func newOnlineTable(limit int) *onlineTable {
	return &onlineTable{limit: limit, bare: make(map[jid.JID][]Resource)}
}

func (t *onlineTable) of(bare jid.JID) []Resource {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.bare[bare])
}

// all returns every full address that is online.
func (t *onlineTable) all() []jid.JID {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]jid.JID, 0, t.count)
	for _, list := range t.bare {
		for _, r := range list {
			out = append(out, r.JID)
		}
	}
	return out
}

func (t *onlineTable) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count = 0
	clear(t.bare)
}

// update takes a presence stanza. gone are the full addresses that are not online any more.
func (t *onlineTable) update(p *PresenceStanza, now time.Time) (gone []jid.JID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	bare := p.From.Bare()
	list := t.bare[bare]
	i := slices.IndexFunc(list, func(r Resource) bool { return r.JID == p.From })
	switch p.Type {
	case "":
		r := readResource(p, now)
		if i >= 0 {
			list[i] = r
		} else if len(list) < maxResources && t.count < t.limit {
			list = append(list, r)
			t.count++
		}
		slices.SortStableFunc(list, func(a, b Resource) int {
			return cmp.Or(cmp.Compare(b.Priority, a.Priority), b.Since.Compare(a.Since))
		})
	case "unavailable", "error":
		switch {
		case i >= 0:
			gone = []jid.JID{p.From}
			list = slices.Delete(list, i, i+1)
		case p.From.IsBare():
			// RFC 6121 section 4.5.4 is about full addresses, but an error for the account is about all of them.
			for _, r := range list {
				gone = append(gone, r.JID)
			}
			list = nil
		}
		t.count -= len(gone)
	}
	if len(list) == 0 {
		delete(t.bare, bare)
	} else {
		t.bare[bare] = list
	}
	return gone
}

func readResource(p *PresenceStanza, now time.Time) Resource {
	r := Resource{JID: p.From, Show: p.Element.ChildText(nsClient, "show"), Status: clip(p.Element.ChildText(nsClient, "status")), Since: now}
	switch r.Show {
	case "", "away", "chat", "dnd", "xa":
	default:
		r.Show = "" // RFC 6121 section 4.7.2.1: other values are not allowed
	}
	if n, err := strconv.Atoi(strings.TrimSpace(p.Element.ChildText(nsClient, "priority"))); err == nil && n >= -128 && n <= 127 {
		r.Priority = n
	}
	if k, ok := caps.Find(p.Element); ok {
		r.Caps = k
	}
	return r
}
