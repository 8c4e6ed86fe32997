package rtp

import (
	"strconv"

	"github.com/jingled/jingled/xmltree"
)

// NSSources is the namespace of <source/> and <ssrc-group/> (XEP-0339).
const NSSources = "urn:xmpp:jingle:apps:rtp:ssma:0"

// FeatureSources is the feature of service discovery for them (XEP-0339 section 4).
const FeatureSources = "urn:ietf:rfc:5576"

// Source is a <source/>: a synchronisation source with its attributes (XEP-0339 section 2.1).
type Source struct {
	SSRC uint32
	// Parameters are e.g. "cname" and "msid".
	Parameters Parameters
	// Extra holds children that are not understood.
	Extra []*xmltree.Element
}

// SSRCGroup is an <ssrc-group/>: sources that belong together (XEP-0339 section 2.2), e.g. a stream and its
// retransmissions with the semantics "FID".
type SSRCGroup struct {
	Semantics string
	SSRCs     []uint32
	// Extra holds children that are not understood.
	Extra []*xmltree.Element
}

func (s Source) element() *xmltree.Element {
	e := s.Parameters.addTo(sourceElement(s.SSRC))
	for _, x := range s.Extra {
		e.Add(x.Clone())
	}
	return e
}

func (g SSRCGroup) element() *xmltree.Element {
	e := xmltree.New(NSSources, "ssrc-group").Set("semantics", g.Semantics)
	for _, ssrc := range g.SSRCs {
		e.Add(sourceElement(ssrc))
	}
	for _, x := range g.Extra {
		e.Add(x.Clone())
	}
	return e
}

func sourceElement(ssrc uint32) *xmltree.Element {
	return xmltree.New(NSSources, "source").Set("ssrc", strconv.FormatUint(uint64(ssrc), 10))
}

func parseSource(e *xmltree.Element) (s Source, err error) {
	r := xmltree.Attrs(e)
	s.SSRC = uint32(r.RequiredUint("ssrc", 1<<32-1))
	if err := r.Err(); err != nil {
		return s, err
	}
	s.Parameters, s.Extra, err = parseParameters(e)
	return s, err
}

func parseSSRCGroup(e *xmltree.Element) (g SSRCGroup, err error) {
	r := xmltree.Attrs(e)
	g.Semantics = required(r, "semantics", maxName)
	if err := r.Err(); err != nil {
		return g, err
	}
	for c := range e.Elements() {
		if !c.Is(NSSources, "source") {
			g.Extra = append(g.Extra, c)
			continue
		}
		s := xmltree.Attrs(c)
		g.SSRCs = append(g.SSRCs, uint32(s.RequiredUint("ssrc", 1<<32-1)))
		if err := s.Err(); err != nil {
			return g, err
		}
	}
	return g, nil
}
