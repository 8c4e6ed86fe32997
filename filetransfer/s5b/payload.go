package s5b

import (
	"crypto/sha1"
	"encoding/hex"
	"math"
	"strconv"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// Bounds of what is read.
const (
	maxCandidates = 64
	maxID         = 256 // bytes of a sid or a cid
	maxHost       = 256 // bytes of a host; RFC 1035 allows 253
)

// Type is how a candidate is reached (XEP-0260 section 2.2).
type Type string

// The types of XEP-0260 section 2.2. An absent attribute means Direct.
const (
	Direct   Type = "direct"
	Assisted Type = "assisted"
	Tunnel   Type = "tunnel"
	Proxy    Type = "proxy"
)

// Preference returns the type preference of XEP-0260 section 2.2; an unknown type is the worst.
func (t Type) Preference() uint32 {
	switch t {
	case Direct, "":
		return 126
	case Assisted:
		return 120
	case Tunnel:
		return 110
	case Proxy:
		return 10
	}
	return 0
}

// Priority returns 2^16 * (type preference) + (local preference), the formula of XEP-0260 section 2.2.
func (t Type) Priority(local uint16) uint32 { return t.Preference()<<16 + uint32(local) }

// Mode values of a transport; an absent one is TCP. UDP is not used by anything alive.
const (
	ModeTCP = "tcp"
	ModeUDP = "udp"
)

// DefaultPort is the port of a candidate or streamhost without one (XEP-0065 section 9.2).
const DefaultPort = 1080

// Candidate is a <candidate/> element: an address that the peer may connect to.
type Candidate struct {
	CID  string
	Host string // an IPv4 or IPv6 address, or a name; the peer's word
	JID  string // of the party that listens, or of the proxy; as it stands on the wire
	// Port is 0 where absent; see [Candidate.Addr].
	Port     uint16
	Priority uint32
	// Type is "" where absent, which means direct.
	Type Type
}

// IsProxy reports whether the candidate is a proxy and has to be activated.
func (c Candidate) IsProxy() bool { return c.Type == Proxy }

func (c Candidate) element() *xmltree.Element {
	e := xmltree.New(NS, "candidate").Set("cid", c.CID).Set("host", c.Host).SetOpt("jid", c.JID)
	if c.Port != 0 {
		e.Set("port", strconv.Itoa(int(c.Port)))
	}
	return e.Set("priority", strconv.FormatUint(uint64(c.Priority), 10)).SetOpt("type", string(c.Type))
}

// Transport is the <transport/> element. In initiate, accept and replace it carries candidates; in a transport-info
// one of the four outcomes.
type Transport struct {
	// SID is the stream id; both sides use the initiator's (section 2.2).
	SID string
	// DstAddr is the sender's own idea of the SOCKS5 address for its proxies, or "": see [DstAddr].
	DstAddr string
	// Mode is "" where absent, which means [ModeTCP]. It stands in an offer only (section 2.2).
	Mode       string
	Candidates []Candidate
	// CandidateUsed and Activated are cids, "" where the element is absent.
	CandidateUsed, Activated   string
	CandidateError, ProxyError bool
	// Extra holds children that are none of these.
	Extra []*xmltree.Element
}

// Element implements [jingle.Payload].
func (t Transport) Element() *xmltree.Element {
	e := xmltree.New(NS, "transport").SetOpt("dstaddr", t.DstAddr).SetOpt("mode", t.Mode).Set("sid", t.SID)
	for _, c := range t.Candidates {
		e.Add(c.element())
	}
	if t.CandidateUsed != "" {
		e.Add(xmltree.New(NS, "candidate-used").Set("cid", t.CandidateUsed))
	}
	if t.CandidateError {
		e.Add(xmltree.New(NS, "candidate-error"))
	}
	if t.Activated != "" {
		e.Add(xmltree.New(NS, "activated").Set("cid", t.Activated))
	}
	if t.ProxyError {
		e.Add(xmltree.New(NS, "proxy-error"))
	}
	for _, x := range t.Extra {
		e.Add(x.Clone())
	}
	return e
}

// Parse reads a <transport/>.
func Parse(e *xmltree.Element) (jingle.Payload, error) {
	r := xmltree.Attrs(e)
	if !e.Is(NS, "transport") {
		r.Fail("", "is not a <transport/> of "+NS)
	}
	t := Transport{SID: id(r, "sid"), DstAddr: r.String("dstaddr"), Mode: r.OneOf("mode", ModeTCP, ModeUDP)}
	if len(t.DstAddr) > 255 {
		// One byte holds its length in SOCKS5.
		r.Fail("dstaddr", "is longer than 255 bytes")
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	for c := range e.Elements() {
		cr := xmltree.Attrs(c)
		switch {
		case c.Is(NS, "candidate"):
			t.Candidates = append(t.Candidates, parseCandidate(cr))
		case c.Is(NS, "candidate-used"):
			t.CandidateUsed = id(cr, "cid")
		case c.Is(NS, "activated"):
			t.Activated = id(cr, "cid")
		case c.Is(NS, "candidate-error"):
			t.CandidateError = true
		case c.Is(NS, "proxy-error"):
			t.ProxyError = true
		default:
			t.Extra = append(t.Extra, c)
		}
		if err := cr.Err(); err != nil {
			return nil, err
		}
	}
	if len(t.Candidates) > maxCandidates {
		r.Fail("", "has more than "+strconv.Itoa(maxCandidates)+" candidates")
		return nil, r.Err()
	}
	return t, nil
}

func parseCandidate(r *xmltree.Reader) Candidate {
	c := Candidate{
		CID: id(r, "cid"), Host: r.Required("host"), JID: r.String("jid"),
		Port:     uint16(r.Uint("port", 0, math.MaxUint16)),
		Priority: uint32(r.Uint("priority", 0, math.MaxUint32)),
		Type:     Type(r.String("type")),
	}
	if len(c.Host) > maxHost {
		r.Fail("host", "is too long")
	}
	if len(c.JID) > 3*1024 {
		r.Fail("jid", "is too long")
	}
	if len(c.Type) > 32 {
		r.Fail("type", "is too long")
	}
	return c
}

// id reads an identifier, which must be there.
func id(r *xmltree.Reader, attr string) string {
	v := r.Required(attr)
	if len(v) > maxID {
		r.Fail(attr, "is longer than "+strconv.Itoa(maxID)+" bytes")
	}
	return v
}

// DstAddr returns the SOCKS5 address of a stream, SHA1(sid + requester + target) in lower-case hexadecimal
// (XEP-0065 section 5.3.2). The requester is the party that offers the streamhost: the Jingle initiator for its own
// candidates, the responder for its own (XEP-0260 section 2.2). Both are in normal form.
func DstAddr(sid string, requester, target jid.JID) string {
	sum := sha1.Sum([]byte(sid + string(requester) + string(target))) // no secret: XEP-0065 section 11.4
	return hex.EncodeToString(sum[:])
}

// Register adds the elements of this package to r.
func Register(r *jingle.Registry) {
	r.Register(NS, "transport", Parse)
	r.Register(NSBytestreams, "query", ParseQuery)
}
