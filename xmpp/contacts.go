package xmpp

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp/roster"
)

// Roster returns the contact list as last known, ordered by address. It is kept while there is no connection.
func (c *Client) Roster() []roster.Item { return c.contacts.all() }

// Contact returns one contact by its bare address.
func (c *Client) Contact(bare jid.JID) (i roster.Item, ok bool) { return c.contacts.get(bare.Bare()) }

// SetContact adds or changes a contact's name and groups (RFC 6121 sections 2.3 and 2.4). The change comes back as a
// roster push.
func (c *Client) SetContact(ctx context.Context, i roster.Item) error {
	i.Subscription = ""
	_, err := c.Query(ctx, "", "set", roster.Query(i))
	return err
}

// RemoveContact deletes a contact and ends the subscriptions both ways (RFC 6121 section 2.5).
func (c *Client) RemoveContact(ctx context.Context, bare jid.JID) error {
	_, err := c.Query(ctx, "", "set", roster.Query(roster.Item{JID: bare.Bare(), Subscription: roster.Remove}))
	return err
}

// rosterPush takes a change that the server tells about (RFC 6121 section 2.1.6).
func (c *Client) rosterPush(iq *IQ) {
	// A push from anybody but the own account MUST be ignored: it would put a stranger on the list.
	if iq.Type != "set" || iq.From != c.JID().Bare() {
		iq.Fail(nil)
		return
	}
	for _, i := range roster.Parse(iq.Payload) {
		c.contacts.put(i)
		for _, h := range c.handlers.contact {
			h(i)
		}
	}
	iq.Reply(nil)
}

// contactTable is the roster.
type contactTable struct {
	mu    sync.Mutex
	items map[jid.JID]roster.Item
}

func (t *contactTable) get(bare jid.JID) (roster.Item, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, ok := t.items[bare]
	return i, ok
}

func (t *contactTable) all() []roster.Item {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.SortedFunc(maps.Values(t.items), func(a, b roster.Item) int { return cmp.Compare(a.JID, b.JID) })
}

func (t *contactTable) put(i roster.Item) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch _, known := t.items[i.JID]; {
	case i.Subscription == roster.Remove:
		delete(t.items, i.JID)
	case known || len(t.items) < roster.MaxItems:
		if t.items == nil {
			t.items = make(map[jid.JID]roster.Item)
		}
		t.items[i.JID] = i
	}
}

func (t *contactTable) replace(items []roster.Item) {
	m := make(map[jid.JID]roster.Item, len(items))
	for _, i := range items {
		if i.Subscription != roster.Remove {
			m[i.JID] = i
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.items = m
}
