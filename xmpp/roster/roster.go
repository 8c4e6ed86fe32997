// Package roster is the codec of the contact list (RFC 6121 section 2).
package roster

import (
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// NS is the namespace of roster queries.
const NS = "jabber:iq:roster"

// MaxItems is how many contacts a roster may have; the rest is left out.
const MaxItems = 20000

// Subscription says who sees whose presence (RFC 6121 section 2.1.2.5).
type Subscription string

// The subscriptions. Remove is an order to delete the contact.
const (
	None   Subscription = "none"
	To     Subscription = "to"   // we see theirs
	From   Subscription = "from" // they see ours
	Both   Subscription = "both"
	Remove Subscription = "remove"
)

// SeesUs reports whether the contact gets our presence.
func (s Subscription) SeesUs() bool { return s == From || s == Both }

// WeSee reports whether we get the contact's presence.
func (s Subscription) WeSee() bool { return s == To || s == Both }

// Item is a contact.
type Item struct {
	JID          jid.JID // bare
	Name         string
	Subscription Subscription
	Asked        bool // we have asked for a subscription that is not answered yet (ask='subscribe')
	Approved     bool // we have pre-approved theirs
	Groups       []string
}

// Element returns the <item/>. What only the server may set is left out unless server is true.
func (i Item) Element(server bool) *xmltree.Element {
	x := xmltree.New(NS, "item").Set("jid", i.JID.String()).SetOpt("name", i.Name)
	if server || i.Subscription == Remove {
		x.SetOpt("subscription", string(i.Subscription))
	}
	if server && i.Asked {
		x.Set("ask", "subscribe")
	}
	if server && i.Approved {
		x.Set("approved", "true")
	}
	for _, g := range i.Groups {
		x.Add(xmltree.New(NS, "group").AddText(g))
	}
	return x
}

// ParseItem reads an <item/>. The address is made bare (RFC 6121 section 2.1.2.4 wants it so).
func ParseItem(x *xmltree.Element) (Item, error) {
	r := xmltree.Attrs(x)
	i := Item{
		Name:         r.String("name"),
		Subscription: Subscription(r.OneOf("subscription", "none", "to", "from", "both", "remove")),
		Asked:        r.String("ask") == "subscribe",
		Approved:     r.Bool("approved", false),
	}
	j, err := jid.Parse(r.Required("jid"))
	if err != nil {
		r.Fail("jid", "is not an address")
	}
	i.JID = j.Bare()
	if i.Subscription == "" {
		i.Subscription = None
	}
	for c := range x.Elements() {
		if c.Is(NS, "group") {
			i.Groups = append(i.Groups, c.Text())
		}
	}
	return i, r.Err()
}

// Parse reads the items of a roster <query/>. Items that are not valid are left out.
func Parse(q *xmltree.Element) []Item {
	var items []Item
	for c := range q.Elements() {
		if !c.Is(NS, "item") || len(items) == MaxItems {
			continue
		}
		if i, err := ParseItem(c); err == nil {
			items = append(items, i)
		}
	}
	return items
}

// Query returns the <query/> that asks for the roster, or, with items, sets them.
func Query(items ...Item) *xmltree.Element {
	q := xmltree.New(NS, "query")
	for _, i := range items {
		q.Add(i.Element(false))
	}
	return q
}
