package muc

import (
	"context"
	"strconv"
	"strings"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/disco"
)

// Info is what a room says of itself (section 6.4).
type Info struct {
	Name, Description string
	Occupants         int // -1 if it does not say
	// NonAnonymous says that everybody sees the address of everybody.
	NonAnonymous                                       bool
	MembersOnly, PasswordProtected, Persistent, Hidden bool
}

// ParseInfo reads what service discovery has told of a room.
func ParseInfo(i *disco.Info) Info {
	out := Info{Occupants: -1, NonAnonymous: i.Has("muc_nonanonymous"), MembersOnly: i.Has("muc_membersonly"),
		PasswordProtected: i.Has("muc_passwordprotected"), Persistent: i.Has("muc_persistent"), Hidden: i.Has("muc_hidden")}
	for _, id := range i.Identities {
		if id.Category == "conference" {
			out.Name = clip(id.Name)
		}
	}
	for _, f := range i.Forms {
		if n, err := strconv.Atoi(field(f, "muc#roominfo_occupants")); err == nil && n >= 0 {
			out.Occupants = n
		}
		if d := field(f, "muc#roominfo_description"); d != "" {
			out.Description = clip(d)
		}
	}
	return out
}

// Services returns the services for rooms that a server has (section 6.1).
func Services(ctx context.Context, q disco.Querier, server jid.JID) ([]jid.JID, error) {
	items, err := disco.QueryItems(ctx, q, server, "")
	if err != nil {
		return nil, err
	}
	var out []jid.JID
	for _, item := range items.Items {
		if item.Node != "" || item.JID.Local() != "" {
			continue
		}
		info, err := disco.QueryInfo(ctx, q, item.JID, "")
		if err == nil && info.Has(NS) && isConference(info) {
			out = append(out, item.JID)
		}
	}
	return out, nil
}

// isConference tells rooms for people from gateways to other networks.
func isConference(i *disco.Info) bool {
	for _, id := range i.Identities {
		if id.Category == "conference" && id.Type == "text" {
			return true
		}
	}
	return false
}

// Rooms returns the public rooms of a service (section 6.3).
func Rooms(ctx context.Context, q disco.Querier, service jid.JID) ([]disco.Item, error) {
	items, err := disco.QueryItems(ctx, q, service, "")
	if err != nil {
		return nil, err
	}
	return items.Items, nil
}

// field returns the first value of a field of a data form (XEP-0004).
func field(form *xmltree.Element, name string) string {
	for f := range form.Elements() {
		if f.Is(disco.NSData, "field") && f.Attr("var") == name {
			return strings.TrimSpace(f.ChildText(disco.NSData, "value"))
		}
	}
	return ""
}
