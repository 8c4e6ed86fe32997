package rtp

import (
	"strconv"

	"github.com/jingled/jingled/xmltree"
)

// NSFeedback is the namespace of <rtcp-fb/> and <rtcp-fb-trr-int/> (XEP-0293).
const NSFeedback = "urn:xmpp:jingle:apps:rtp:rtcp-fb:0"

// Feedback is the RTCP feedback of a payload type or of a whole description (XEP-0293 section 3). If there is any, the
// profile of the content is RTP/AVPF.
type Feedback struct {
	Messages []FeedbackMessage
	// TRRInt is the shortest interval between two regular RTCP packets in milliseconds, or nil where it is not given.
	TRRInt *uint32
}

// Empty reports whether there is no feedback at all.
func (f Feedback) Empty() bool { return len(f.Messages) == 0 && f.TRRInt == nil }

// FeedbackMessage is an <rtcp-fb/>, one kind of feedback that may be sent.
type FeedbackMessage struct {
	// Type is e.g. "nack", "ccm", "goog-remb" or "transport-cc"; Subtype, e.g. "pli" or "fir", may be empty.
	Type, Subtype string
	Parameters    Parameters
	// Extra holds children that are not understood.
	Extra []*xmltree.Element
}

// Same reports whether both are the same kind of feedback, whatever their parameters.
func (m FeedbackMessage) Same(o FeedbackMessage) bool {
	return m.Type == o.Type && m.Subtype == o.Subtype
}

func (m FeedbackMessage) element() *xmltree.Element {
	e := xmltree.New(NSFeedback, "rtcp-fb").Set("type", m.Type).SetOpt("subtype", m.Subtype)
	m.Parameters.addTo(e)
	for _, x := range m.Extra {
		e.Add(x.Clone())
	}
	return e
}

func (f Feedback) kids(kids []kid, message, trrInt kind) []kid {
	kids = kidsOf(kids, message, f.Messages, FeedbackMessage.element)
	if f.TRRInt != nil {
		e := xmltree.New(NSFeedback, "rtcp-fb-trr-int").Set("value", strconv.FormatUint(uint64(*f.TRRInt), 10))
		kids = append(kids, kid{trrInt, e})
	}
	return kids
}

func parseFeedbackMessage(e *xmltree.Element) (m FeedbackMessage, err error) {
	r := xmltree.Attrs(e)
	m.Type = required(r, "type", maxName)
	m.Subtype = bounded(r, "subtype", maxName)
	if err := r.Err(); err != nil {
		return m, err
	}
	m.Parameters, m.Extra, err = parseParameters(e)
	return m, err
}

// parseTRRInt reads an <rtcp-fb-trr-int/>, whose value is 0 by default (XEP-0293 section 3).
func parseTRRInt(e *xmltree.Element) (*uint32, error) {
	r := xmltree.Attrs(e)
	v := uint32(r.Uint("value", 0, 1<<32-1))
	if err := r.Err(); err != nil {
		return nil, err
	}
	return &v, nil
}
