package daemon

import (
	"fmt"
	"slices"

	"github.com/jingled/jingled/jid"
)

// Audience says from whom calls or files are taken at all. Everybody else gets no sign that somebody is here.
type Audience string

// The audiences.
const (
	// Contacts are those who may see our presence anyway. It is the default.
	Contacts Audience = "contacts"
	// Everyone takes strangers too, and so tells them that the account is online.
	Everyone Audience = "everyone"
	// Listed takes only those of [Policy].List.
	Listed Audience = "list"
)

// Policy says who may ask for what. The zero value admits contacts.
type Policy struct {
	From Audience
	// List are bare or full addresses, admitted in addition to From.
	List []jid.JID
}

func (p Policy) validate() error {
	switch p.From {
	case "", Contacts, Everyone, Listed:
		return nil
	}
	return fmt.Errorf("%q is none of contacts, everyone, list", p.From)
}

func (p Policy) admits(peer jid.JID, contact bool) bool {
	switch {
	case slices.Contains(p.List, peer), slices.Contains(p.List, peer.Bare()):
		return true
	case p.From == Everyone:
		return true
	case p.From == Listed:
		return false
	}
	return contact
}

// welcome is a policy that lasts as long as a subscription.
type welcome struct {
	account      jid.JID // "": all
	calls, files bool
	policy       Policy
}
