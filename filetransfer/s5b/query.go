package s5b

import (
	"math"
	"strconv"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// Query is the <query/> of XEP-0065 section 9.1: asking a proxy for its address (empty), its answer or an offer
// (streamhosts), the streamhost that was used, or the activation of a stream at a proxy. It implements
// [jingle.Payload].
type Query struct {
	SID, Mode, DstAddr string // "" where absent
	StreamHosts        []StreamHost
	// Used is the JID of <streamhost-used/>, Activate that of <activate/>; "" where absent.
	Used, Activate string
	// Extra holds children that are none of these.
	Extra []*xmltree.Element
}

// StreamHost is a <streamhost/> element (XEP-0065 section 9.2).
type StreamHost struct {
	JID, Host string
	// Port is 0 where absent, which means [DefaultPort].
	Port uint16
}

// Element implements [jingle.Payload].
func (q Query) Element() *xmltree.Element {
	e := xmltree.New(NSBytestreams, "query").SetOpt("dstaddr", q.DstAddr).SetOpt("mode", q.Mode).SetOpt("sid", q.SID)
	for _, h := range q.StreamHosts {
		s := xmltree.New(NSBytestreams, "streamhost").Set("host", h.Host).Set("jid", h.JID)
		if h.Port != 0 {
			s.Set("port", strconv.Itoa(int(h.Port)))
		}
		e.Add(s)
	}
	if q.Used != "" {
		e.Add(xmltree.New(NSBytestreams, "streamhost-used").Set("jid", q.Used))
	}
	if q.Activate != "" {
		e.Add(xmltree.New(NSBytestreams, "activate").AddText(q.Activate))
	}
	for _, x := range q.Extra {
		e.Add(x.Clone())
	}
	return e
}

// ParseQuery reads a <query/> of XEP-0065.
func ParseQuery(e *xmltree.Element) (jingle.Payload, error) {
	r := xmltree.Attrs(e)
	if !e.Is(NSBytestreams, "query") {
		r.Fail("", "is not a <query/> of "+NSBytestreams)
	}
	q := Query{SID: r.String("sid"), DstAddr: r.String("dstaddr"), Mode: r.OneOf("mode", ModeTCP, ModeUDP)}
	if len(q.SID) > maxID {
		r.Fail("sid", "is too long")
	}
	if len(q.DstAddr) > 255 {
		r.Fail("dstaddr", "is longer than 255 bytes")
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	for c := range e.Elements() {
		cr := xmltree.Attrs(c)
		switch {
		case c.Is(NSBytestreams, "streamhost"):
			h := StreamHost{
				JID: cr.Required("jid"), Host: cr.Required("host"),
				Port: uint16(cr.Uint("port", 0, math.MaxUint16)),
			}
			if len(h.Host) > maxHost {
				cr.Fail("host", "is too long")
			}
			q.StreamHosts = append(q.StreamHosts, h)
		case c.Is(NSBytestreams, "streamhost-used"):
			q.Used = cr.Required("jid")
		case c.Is(NSBytestreams, "activate"):
			if q.Activate = c.Text(); q.Activate == "" {
				cr.Fail("", "names no address")
			}
		default:
			q.Extra = append(q.Extra, c)
		}
		if err := cr.Err(); err != nil {
			return nil, err
		}
	}
	if len(q.StreamHosts) > maxCandidates {
		r.Fail("", "has more than "+strconv.Itoa(maxCandidates)+" streamhosts")
		return nil, r.Err()
	}
	return q, nil
}
