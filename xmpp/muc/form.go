package muc

import (
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/disco"
)

// Creation says what a room is to be that comes to be by our entering. The zero value is what the service makes of
// itself ("instant room", section 10.1.2).
type Creation struct {
	Name string
	// MembersOnly lets in only whom somebody has invited, and hides the room from lists.
	MembersOnly bool
	// NonAnonymous shows everybody the address of everybody, which a group call by XEP-0272 is made with.
	NonAnonymous bool
	// Persistent keeps the room when nobody is in it.
	Persistent bool
}

// fill answers the form of a new room (section 10.1.3) with what is wanted, as far as it asks for it. nil stands for
// what the service makes of itself.
func (c *Creation) fill(form *xmltree.Element) *xmltree.Element {
	out := xmltree.New(disco.NSData, "x").Set("type", "submit")
	q := xmltree.New(NSOwner, "query").Add(out)
	if c == nil || *c == (Creation{}) {
		return q
	}
	add := func(name, value string) {
		out.Add(xmltree.New(disco.NSData, "field").Set("var", name).Add(xmltree.New(disco.NSData, "value").AddText(value)))
	}
	add("FORM_TYPE", NS+"#roomconfig")
	flag := map[bool]string{true: "1", false: "0"}
	want := map[string]string{
		"muc#roomconfig_membersonly": flag[c.MembersOnly], "muc#roomconfig_publicroom": flag[!c.MembersOnly],
		"muc#roomconfig_persistentroom": flag[c.Persistent], "muc#roomconfig_moderatedroom": "0",
		"muc#roomconfig_whois": map[bool]string{true: "anyone", false: "moderators"}[c.NonAnonymous],
	}
	if c.Name != "" {
		want["muc#roomconfig_roomname"] = c.Name
	}
	if form != nil {
		for f := range form.Elements() {
			if value, ok := want[f.Attr("var")]; ok && f.Is(disco.NSData, "field") {
				add(f.Attr("var"), value)
				delete(want, f.Attr("var"))
			}
		}
	}
	return q
}
