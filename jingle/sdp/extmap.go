package sdp

import (
	"strings"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
)

// writeExtensions adds header extensions (XEP-0294 section 5). As with contents, the direction is that of the party
// which the SDP describes; example 5 of the XEP fits only if that is the responder.
func writeExtensions(m *Media, d rtp.Description, from jingle.Role) {
	for _, h := range d.HeaderExtensions {
		if h.ID == 0 || !word(h.URI) {
			continue
		}
		v := decimal(h.ID)
		if h.Senders != "" && h.Senders != jingle.SendersBoth {
			v += "/" + directionOf(h.Senders, from)
		}
		m.Attributes.add(attrExtmap, v+" "+h.URI+assignments(h.Parameters))
	}
	if d.ExtmapAllowMixed {
		m.Attributes.add(attrExtmapMixed, "")
	}
}

// readExtensions is the inverse of writeExtensions; extmap-allow-mixed may stand in the session.
func readExtensions(m *Media, s *Session, d *rtp.Description, from jingle.Role) {
	for _, v := range m.Attributes.All(attrExtmap) {
		f := strings.Fields(v)
		if len(f) < 2 {
			continue
		}
		id, dir := splitDirection(f[0])
		n, ok := number(id, 16)
		if !ok {
			continue
		}
		h := rtp.HeaderExtension{ID: uint16(n), URI: f[1], Parameters: readAssignments(f[2:])}
		if senders := sendersOf(dir, from); senders != jingle.SendersBoth {
			h.Senders = senders
		}
		d.HeaderExtensions = append(d.HeaderExtensions, h)
	}
	d.ExtmapAllowMixed = m.Attributes.Has(attrExtmapMixed) || s.Attributes.Has(attrExtmapMixed)
}
