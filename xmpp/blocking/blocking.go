// Package blocking is the codec of the block list (XEP-0191 v1.3), and the rule of what an entry of it blocks.
package blocking

import (
	"slices"
	"strings"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

// The namespaces of this package. NSErrors is that of <blocked/> in the error that answers what we send to somebody whom
// we block ("User Blocks Contact").
const (
	NS       = "urn:xmpp:blocking"
	NSErrors = "urn:xmpp:blocking:errors"
)

// MaxEntries is how many addresses a list may have; the rest is left out.
const MaxEntries = 10000

// Query returns the payload that asks for the list ("User Retrieves Block List").
func Query() *xmltree.Element { return xmltree.New(NS, "blocklist") }

// Block returns the payload that adds to the list ("User Blocks Contact").
func Block(who ...jid.JID) *xmltree.Element { return withItems("block", who) }

// Unblock returns the payload that takes off the list, all if nobody is named ("User Unblocks All Contacts").
func Unblock(who ...jid.JID) *xmltree.Element { return withItems("unblock", who) }

func withItems(name string, who []jid.JID) *xmltree.Element {
	e := xmltree.New(NS, name)
	for _, j := range who {
		e.Add(xmltree.New(NS, "item").Set("jid", j.String()))
	}
	return e
}

// Items reads the addresses of a <blocklist/>, <block/> or <unblock/>, each once. What is no address is left out.
func Items(e *xmltree.Element) []jid.JID {
	var out []jid.JID
	seen := make(map[jid.JID]bool)
	for c := range e.Elements() {
		if !c.Is(NS, "item") || len(out) == MaxEntries {
			continue
		}
		if j, err := jid.Parse(c.Attr("jid")); err == nil && !seen[j] {
			seen[j] = true
			out = append(out, j)
		}
	}
	return out
}

// List is a block list. It is a value that is not changed: With and Without return another. The zero value blocks nobody.
type List struct {
	entries map[jid.JID]bool
}

// NewList returns a list of these entries, [MaxEntries] at most.
func NewList(entries []jid.JID) List { return List{}.With(entries...) }

// With returns the list with more entries.
func (l List) With(more ...jid.JID) List {
	out := make(map[jid.JID]bool, len(l.entries)+len(more))
	for j := range l.entries {
		out[j] = true
	}
	for _, j := range more {
		if len(out) < MaxEntries {
			out[j] = true
		}
	}
	return List{out}
}

// Without returns the list without these entries.
func (l List) Without(gone ...jid.JID) List {
	out := l.With()
	for _, j := range gone {
		delete(out.entries, j)
	}
	return out
}

// Entries returns the list, ordered by address.
func (l List) Entries() []jid.JID {
	out := make([]jid.JID, 0, len(l.entries))
	for j := range l.entries {
		out = append(out, j)
	}
	slices.Sort(out)
	return out
}

// Len returns how many entries there are.
func (l List) Len() int { return len(l.entries) }

// Blocks reports whether a sender is blocked, by the rules of "JID Matching": an entry user@domain/resource or
// domain/resource stands for itself alone, user@domain for all its devices, and a domain for all its users and devices
// and for those of its subdomains.
func (l List) Blocks(who jid.JID) bool {
	if len(l.entries) == 0 || who == "" {
		return false
	}
	if l.entries[who] || l.entries[who.Bare()] {
		return true
	}
	domain := who.Domain()
	if r := who.Resource(); r != "" && l.entries[jid.JID(domain+"/"+r)] {
		return true
	}
	for domain != "" {
		if l.entries[jid.JID(domain)] {
			return true
		}
		_, domain, _ = strings.Cut(domain, ".")
	}
	return false
}
