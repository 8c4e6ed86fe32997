package rtp

import (
	"strconv"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// Description is the <description/> of one RTP stream (XEP-0167 section 4). It implements [jingle.Payload].
type Description struct {
	// Media is the media type, "audio" or "video" as a rule. It is never empty.
	Media string
	// SSRC is the synchronisation source of the stream, and 0 where it is not given.
	SSRC uint32
	// PayloadTypes are the encodings, the preferred one first. A peer may repeat an id; the first one counts.
	PayloadTypes []PayloadType
	// RTCPMux says that RTP and RTCP can share one port (RFC 5761).
	RTCPMux bool
	// Encryption is nil where neither SDES nor ZRTP is offered. DTLS-SRTP stands in the transport instead.
	Encryption *Encryption
	// Bandwidths has one entry as a rule.
	Bandwidths []Bandwidth
	// Feedback applies to every payload type (XEP-0293).
	Feedback Feedback
	// HeaderExtensions and ExtmapAllowMixed are XEP-0294.
	HeaderExtensions []HeaderExtension
	ExtmapAllowMixed bool
	// Sources and SSRCGroups are XEP-0339.
	Sources    []Source
	SSRCGroups []SSRCGroup
	// Categories says what a stream shows (XEP-0507).
	Categories []Category
	// Extra holds children that are not understood.
	Extra []*xmltree.Element

	layout layout
}

// Bandwidth is the allowed or preferred bandwidth, an SDP b= line (XEP-0167 section 6).
type Bandwidth struct {
	// Type is the SDP bwtype, e.g. "AS" (kbit/s) or "TIAS" (bit/s).
	Type string
	// Value is in the unit of the type.
	Value uint64
}

// The kinds of children of a <description/>.
const (
	kindCategory kind = iota
	kindPayloadType
	kindMux
	kindEncryption
	kindBandwidth
	kindFeedback
	kindTRRInt
	kindHeaderExtension
	kindAllowMixed
	kindSource
	kindSSRCGroup
	kindExtra
)

// Element implements [jingle.Payload].
func (d Description) Element() *xmltree.Element {
	e := xmltree.New(NS, "description").Set("media", d.Media)
	if d.SSRC != 0 {
		e.Set("ssrc", strconv.FormatUint(uint64(d.SSRC), 10))
	}
	kids := kidsOf(nil, kindCategory, d.Categories, Category.element)
	kids = kidsOf(kids, kindPayloadType, d.PayloadTypes, PayloadType.element)
	if d.RTCPMux {
		kids = append(kids, kid{kindMux, xmltree.New(NS, "rtcp-mux")})
	}
	if d.Encryption != nil {
		kids = append(kids, kid{kindEncryption, d.Encryption.element()})
	}
	kids = kidsOf(kids, kindBandwidth, d.Bandwidths, Bandwidth.element)
	kids = d.Feedback.kids(kids, kindFeedback, kindTRRInt)
	kids = kidsOf(kids, kindHeaderExtension, d.HeaderExtensions, HeaderExtension.element)
	if d.ExtmapAllowMixed {
		kids = append(kids, kid{kindAllowMixed, xmltree.New(NSHeaderExtensions, "extmap-allow-mixed")})
	}
	kids = kidsOf(kids, kindSource, d.Sources, Source.element)
	kids = kidsOf(kids, kindSSRCGroup, d.SSRCGroups, SSRCGroup.element)
	kids = kidsOf(kids, kindExtra, d.Extra, cloneElement)
	return d.layout.add(e, kids)
}

// ParseDescription reads a <description/> of [NS]. Its error is an [*xmltree.Error].
func ParseDescription(e *xmltree.Element) (Description, error) {
	var d Description
	if !e.Is(NS, "description") {
		return d, &xmltree.Error{Element: e.Name.Local, Problem: "is not a <description/> of " + NS}
	}
	r := xmltree.Attrs(e)
	d.Media = required(r, "media", maxName)
	d.SSRC = uint32(r.Uint("ssrc", 0, 1<<32-1))
	if err := r.Err(); err != nil {
		return d, err
	}
	var kinds []kind
	for c := range e.Elements() {
		k, err := d.parseChild(c)
		if err != nil {
			return d, err
		}
		kinds = append(kinds, k)
	}
	d.layout = layoutOf(kinds)
	return d, nil
}

func parsePayload(e *xmltree.Element) (jingle.Payload, error) {
	d, err := ParseDescription(e)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// parseChild reads one child into its place. A second one of those that stand once is kept but not used.
func (d *Description) parseChild(c *xmltree.Element) (k kind, err error) {
	switch {
	case c.Is(NS, "payload-type"):
		return kindPayloadType, parseInto(&d.PayloadTypes, c, parsePayloadType)
	case c.Is(NS, "rtcp-mux") && !d.RTCPMux:
		d.RTCPMux = true
		return kindMux, nil
	case c.Is(NS, "encryption") && d.Encryption == nil:
		d.Encryption, err = parseEncryption(c)
		return kindEncryption, err
	case c.Is(NS, "bandwidth"):
		if b, ok := parseBandwidth(c); ok {
			d.Bandwidths = append(d.Bandwidths, b)
			return kindBandwidth, nil
		}
	case c.Is(NSFeedback, "rtcp-fb"):
		return kindFeedback, parseInto(&d.Feedback.Messages, c, parseFeedbackMessage)
	case c.Is(NSFeedback, "rtcp-fb-trr-int") && d.Feedback.TRRInt == nil:
		d.Feedback.TRRInt, err = parseTRRInt(c)
		return kindTRRInt, err
	case c.Is(NSHeaderExtensions, "rtp-hdrext"):
		return kindHeaderExtension, parseInto(&d.HeaderExtensions, c, parseHeaderExtension)
	case c.Is(NSHeaderExtensions, "extmap-allow-mixed") && !d.ExtmapAllowMixed:
		d.ExtmapAllowMixed = true
		return kindAllowMixed, nil
	case c.Is(NSSources, "source"):
		return kindSource, parseInto(&d.Sources, c, parseSource)
	case c.Is(NSSources, "ssrc-group"):
		return kindSSRCGroup, parseInto(&d.SSRCGroups, c, parseSSRCGroup)
	case c.Is(NSCategory, "category"):
		return kindCategory, parseInto(&d.Categories, c, parseCategory)
	}
	d.Extra = append(d.Extra, c)
	return kindExtra, nil
}

func parseInto[T any](list *[]T, e *xmltree.Element, parse func(*xmltree.Element) (T, error)) error {
	v, err := parse(e)
	if err == nil {
		*list = append(*list, v)
	}
	return err
}

func (b Bandwidth) element() *xmltree.Element {
	return xmltree.New(NS, "bandwidth").Set("type", b.Type).AddText(strconv.FormatUint(b.Value, 10))
}

// parseBandwidth takes whole numbers only, as an SDP b= line does. Bandwidth is advice, so another form is no error.
func parseBandwidth(e *xmltree.Element) (Bandwidth, bool) {
	v, err := strconv.ParseUint(e.Text(), 10, 64)
	t := e.Attr("type")
	return Bandwidth{Type: t, Value: v}, err == nil && t != "" && len(t) <= maxName
}
