package rtp

import (
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// InfoKind is the name of a session-info payload of [NSInfo] (XEP-0167 section 8).
type InfoKind string

// The payloads of XEP-0167 section 8.
const (
	InfoActive  InfoKind = "active"
	InfoHold    InfoKind = "hold"
	InfoUnhold  InfoKind = "unhold"
	InfoMute    InfoKind = "mute"
	InfoUnmute  InfoKind = "unmute"
	InfoRinging InfoKind = "ringing"
)

var infoKinds = []InfoKind{InfoActive, InfoHold, InfoUnhold, InfoMute, InfoUnmute, InfoRinging}

// Info is a session-info payload that tells the state of a call. It implements [jingle.Payload].
type Info struct {
	Kind InfoKind
	// Creator and Name say which content is muted or unmuted. If Name is empty all are (XEP-0167 section 8.3).
	// Creator is 0 where the attribute is absent, as Movim writes it.
	Creator jingle.Role
	Name    string
	// Extra holds children that are not understood.
	Extra []*xmltree.Element
}

// Element implements [jingle.Payload].
func (i Info) Element() *xmltree.Element {
	e := xmltree.New(NSInfo, string(i.Kind)).SetOpt("creator", i.Creator.String()).SetOpt("name", i.Name)
	for _, x := range i.Extra {
		e.Add(x.Clone())
	}
	return e
}

// Applies reports whether a mute or unmute is about the content of this name.
func (i Info) Applies(content string) bool { return i.Name == "" || i.Name == content }

func parseInfo(e *xmltree.Element) (jingle.Payload, error) {
	r := xmltree.Attrs(e)
	i := Info{Kind: InfoKind(e.Name.Local), Name: bounded(r, "name", maxName)}
	switch r.OneOf("creator", "initiator", "responder") {
	case "initiator":
		i.Creator = jingle.Initiator
	case "responder":
		i.Creator = jingle.Responder
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	for c := range e.Elements() {
		i.Extra = append(i.Extra, c)
	}
	return i, nil
}
