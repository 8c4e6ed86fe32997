// Package invite is XEP-0482 (version 0.1.0): messages that invite to a call which can be joined in several ways, such as
// a group call in a room (XEP-0272).
//
// An invite is known by the id of the message stanza that it came in: in a room the stanza-id that the room gave it,
// else the origin-id, else the id of the stanza (section 3.1). Which of them it is, is for the caller to find out.
package invite

import (
	"fmt"
	"strconv"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// NS is the namespace of XEP-0482.
const NS = "urn:xmpp:call-invites:0"

// NSLegacy is an older namespace in which Dino says the same once more; it is not read.
const NSLegacy = "urn:xmpp:call-message:1"

// Kind is the name of the element.
type Kind string

// The elements of XEP-0482, sections 2.1 to 2.5.
const (
	Invite  Kind = "invite"
	Retract Kind = "retract"
	Accept  Kind = "accept"
	Reject  Kind = "reject"
	Left    Kind = "left"
)

// maxMethods bounds the ways to join that one invite offers.
const maxMethods = 16

// Message is an element of XEP-0482, the child of a message stanza.
type Message struct {
	Kind Kind
	// ID is the id of the invite; empty in [Invite] itself.
	ID string
	// Audio and Video tell what is intended, in [Invite] only; nil if absent, which means true for audio and false for
	// video. See [Message.WantsAudio].
	Audio, Video *bool
	// Methods are the ways to join: all of them in [Invite], the one that is used in [Accept]. They are [Jingle],
	// [External], and what the registry knows, e.g. a <muji/>.
	Methods []jingle.Payload
}

// WantsAudio reports whether participants are to send sound (section 2.1).
func (m *Message) WantsAudio() bool { return m.Audio == nil || *m.Audio }

// WantsVideo reports whether participants are to send pictures (section 2.1).
func (m *Message) WantsVideo() bool { return m.Video != nil && *m.Video }

// Jingle is the way to join by a Jingle session, which the inviting side initiates after the accept.
type Jingle struct {
	SID string
	// JID is who initiates, empty if it is the sender of the invite.
	JID jid.JID
}

// Element implements [jingle.Payload].
func (j Jingle) Element() *xmltree.Element {
	return xmltree.New(NS, "jingle").Set("sid", j.SID).SetOpt("jid", j.JID.String())
}

// External is the way to join by something else than XMPP. The URI comes from a peer: do not open it unasked.
type External struct{ URI string }

// Element implements [jingle.Payload].
func (x External) Element() *xmltree.Element { return xmltree.New(NS, "external").Set("uri", x.URI) }

// Element returns the element.
func (m *Message) Element() *xmltree.Element {
	e := xmltree.New(NS, string(m.Kind)).SetOpt("id", m.ID)
	for _, a := range []struct {
		name  string
		value *bool
	}{{"audio", m.Audio}, {"video", m.Video}} {
		if a.value != nil {
			e.Set(a.name, strconv.FormatBool(*a.value))
		}
	}
	for _, p := range m.Methods {
		e.Add(p.Element())
	}
	return e
}

// Is reports whether e is an element of XEP-0482 that stands in a message.
func Is(e *xmltree.Element) bool {
	if e == nil || e.Name.Space != NS {
		return false
	}
	switch Kind(e.Name.Local) {
	case Invite, Retract, Accept, Reject, Left:
		return true
	}
	return false
}

// Parse reads an element of XEP-0482; ways to join that other packages define are read by the codecs of reg. Its error
// is an [*xmltree.Error].
func Parse(e *xmltree.Element, reg *jingle.Registry) (*Message, error) {
	if !Is(e) {
		return nil, &xmltree.Error{Element: e.Name.Local, Problem: "is not an element of " + NS}
	}
	r := xmltree.Attrs(e)
	m := &Message{Kind: Kind(e.Name.Local)}
	if m.Kind == Invite {
		m.Audio, m.Video = optional(r, "audio", true), optional(r, "video", false)
	} else {
		m.ID = r.Required("id")
	}
	for c := range e.Elements() {
		if len(m.Methods) == maxMethods {
			r.Fail("", fmt.Sprintf("has more than %d ways to join", maxMethods))
			break
		}
		p, err := parseMethod(c, reg)
		if err != nil {
			return nil, err
		}
		m.Methods = append(m.Methods, p)
	}
	return m, r.Err()
}

func optional(r *xmltree.Reader, attr string, def bool) *bool {
	if r.String(attr) == "" {
		return nil
	}
	b := r.Bool(attr, def)
	return &b
}

func parseMethod(e *xmltree.Element, reg *jingle.Registry) (jingle.Payload, error) {
	r := xmltree.Attrs(e)
	switch {
	case e.Is(NS, "jingle"):
		j := Jingle{SID: r.Required("sid")}
		if s := r.String("jid"); s != "" {
			var err error
			if j.JID, err = jid.Parse(s); err != nil {
				r.Fail("jid", "is not an XMPP address")
			}
		}
		return j, r.Err()
	case e.Is(NS, "external"):
		x := External{URI: r.Required("uri")}
		return x, r.Err()
	}
	return reg.Parse(e)
}
