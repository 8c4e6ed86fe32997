package rtp

import (
	"strconv"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// NSHeaderExtensions is the namespace of <rtp-hdrext/> and <extmap-allow-mixed/> (XEP-0294).
const NSHeaderExtensions = "urn:xmpp:jingle:apps:rtp:rtp-hdrext:0"

// HeaderExtension is an <rtp-hdrext/>, an RTP header extension (XEP-0294 section 3, RFC 8285).
type HeaderExtension struct {
	// ID is 1 to 14 for the one-byte form and up to 255 for the two-byte form. An offer may use 4096 to 4351 for an
	// extension that has no id yet; several of the same such id are alternatives.
	ID  uint16
	URI string
	// Senders is empty where the attribute is absent, which means both.
	Senders    jingle.Senders
	Parameters Parameters
	// Extra holds children that are not understood.
	Extra []*xmltree.Element
}

func (h HeaderExtension) element() *xmltree.Element {
	e := xmltree.New(NSHeaderExtensions, "rtp-hdrext").
		Set("id", strconv.Itoa(int(h.ID))).Set("uri", h.URI).SetOpt("senders", string(h.Senders))
	h.Parameters.addTo(e)
	for _, x := range h.Extra {
		e.Add(x.Clone())
	}
	return e
}

func parseHeaderExtension(e *xmltree.Element) (h HeaderExtension, err error) {
	r := xmltree.Attrs(e)
	h.ID = uint16(r.RequiredUint("id", 1<<16-1)) // an example of the XEP has an id outside its own range
	h.URI = required(r, "uri", maxName)
	h.Senders = jingle.Senders(r.OneOf("senders", "both", "initiator", "none", "responder"))
	if err := r.Err(); err != nil {
		return h, err
	}
	h.Parameters, h.Extra, err = parseParameters(e)
	return h, err
}

// narrowed returns who may send if both sides have their say (XEP-0294 section 4: only "both" may be narrowed), and
// false if nobody is left.
func narrowed(offered, local jingle.Senders) (jingle.Senders, bool) {
	switch {
	case local == "" || local == jingle.SendersBoth || local == offered:
		return offered, offered != jingle.SendersNone
	case offered == "" || offered == jingle.SendersBoth:
		return local, local != jingle.SendersNone
	}
	return "", false
}
