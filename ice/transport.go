package ice

import (
	"fmt"
	"slices"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// The namespaces of the ICE transports.
const (
	// NSUDP is XEP-0176, what every client speaks.
	NSUDP = "urn:xmpp:jingle:transports:ice-udp:1"
	// NSICE is XEP-0371, which adds TCP, ice2 and the end of candidates.
	NSICE = "urn:xmpp:jingle:transports:ice:0"
	// NSOption is where Conversations puts the ICE options of RFC 8839 section 5.6, an empty element each.
	NSOption = "http://gultsch.de/xmpp/drafts/jingle/transports/ice-udp/option"
	// FeatureOfferAnswer is the disco feature of a peer that wants all candidates in the offer and the answer
	// (XEP-0176 section 7.2). We do not advertise it.
	FeatureOfferAnswer = "urn:ietf:rfc:3264"
)

// MaxCandidates bounds the candidates of one transport element; one with more does not parse.
const MaxCandidates = 256

// Transport is the <transport/> of XEP-0176 or XEP-0371 (section 5.3 of both), whichever NS says. In a session-initiate
// or session-accept it is an offer, in a transport-info an addition to it.
type Transport struct {
	// NS is [NSUDP] or [NSICE]; empty means NSUDP.
	NS string
	// Ufrag and Pwd must be there wherever candidates are. Conversations reads other credentials than before as an
	// ICE restart, and Monal refuses them, so a transport-info repeats those of the offer.
	Ufrag, Pwd string
	// ICE2 says that the sender follows RFC 8445 and does not nominate aggressively (XEP-0371 section 5.3).
	ICE2 bool
	// Trickle and Renomination are ICE options of Conversations ([NSOption]).
	Trickle, Renomination bool
	// Fingerprints are of the DTLS certificate (XEP-0320); normally one.
	Fingerprints []Fingerprint
	// SCTPMap offers SCTP over the DTLS connection (XEP-0343), nil if absent.
	SCTPMap *SCTPMap
	// Channels are data channels that are set up by signalling (XEP-0343 section 4.1).
	Channels []Channel
	// Candidates are as they came, also those that do not validate. See [Transport.ValidCandidates].
	Candidates []Candidate
	// RemoteCandidates are the pair in use, told by the initiator (section 5.7; XEP-0371 section 5.8).
	RemoteCandidates []RemoteCandidate
	// GatheringComplete says that no candidate will follow (XEP-0371 section 7). XEP-0176 has no such thing, but
	// readers pass over what they do not know.
	GatheringComplete bool
	// Extra holds child elements that are none of the above.
	Extra []*xmltree.Element
}

// Element implements [jingle.Payload].
func (t Transport) Element() *xmltree.Element {
	ns := t.ns()
	e := xmltree.New(ns, "transport").SetOpt("pwd", t.Pwd).SetOpt("ufrag", t.Ufrag)
	if t.ICE2 {
		e.Set("ice2", "true")
	}
	if t.Trickle {
		e.Add(xmltree.New(NSOption, "trickle"))
	}
	if t.Renomination {
		e.Add(xmltree.New(NSOption, "renomination"))
	}
	if t.SCTPMap != nil {
		e.Add(t.SCTPMap.Element())
	}
	for _, c := range t.Channels {
		e.Add(c.Element())
	}
	for _, f := range t.Fingerprints {
		e.Add(f.Element())
	}
	for _, c := range t.Candidates {
		e.Add(c.element(ns))
	}
	for _, c := range t.RemoteCandidates {
		e.Add(c.element(ns))
	}
	if t.GatheringComplete {
		e.Add(xmltree.New(ns, "gathering-complete"))
	}
	for _, x := range t.Extra {
		e.Add(x.Clone())
	}
	return e
}

func (t Transport) ns() string {
	if t.NS == "" {
		return NSUDP
	}
	return t.NS
}

// ParseTransport reads a <transport/> of [NSUDP] or [NSICE].
func ParseTransport(e *xmltree.Element) (Transport, error) {
	if !e.Is(NSUDP, "transport") && !e.Is(NSICE, "transport") {
		return Transport{}, &xmltree.Error{Element: e.Name.Local, Problem: "is not an ICE transport"}
	}
	r := xmltree.Attrs(e)
	t := Transport{NS: e.Name.Space, Ufrag: r.String("ufrag"), Pwd: r.String("pwd"), ICE2: r.Bool("ice2", false)}
	for c := range e.Elements() {
		switch {
		case c.Is(t.NS, "candidate"):
			if len(t.Candidates) == MaxCandidates {
				r.Fail("", fmt.Sprintf("has more than %d candidates", MaxCandidates))
				return t, r.Err()
			}
			t.Candidates = append(t.Candidates, parseCandidate(c))
		case c.Is(t.NS, "remote-candidate") && len(t.RemoteCandidates) < MaxCandidates:
			rc, err := parseRemoteCandidate(c)
			if err != nil {
				return t, err
			}
			t.RemoteCandidates = append(t.RemoteCandidates, rc)
		case c.Is(t.NS, "gathering-complete"):
			t.GatheringComplete = true
		case c.Is(NSFingerprint, "fingerprint"):
			f, err := ParseFingerprint(c)
			if err != nil {
				return t, err
			}
			t.Fingerprints = append(t.Fingerprints, f)
		case c.Is(NSSCTP, "sctpmap") && t.SCTPMap == nil:
			m, err := ParseSCTPMap(c)
			if err != nil {
				return t, err
			}
			t.SCTPMap = &m
		case c.Is(NSChannel, "channel"):
			ch, err := ParseChannel(c)
			if err != nil {
				return t, err
			}
			t.Channels = append(t.Channels, ch)
		case c.Is(NSOption, "trickle"):
			t.Trickle = true
		case c.Is(NSOption, "renomination"):
			t.Renomination = true
		default:
			t.Extra = append(t.Extra, c)
		}
	}
	return t, r.Err()
}

// WithCandidates returns the transport of a transport-info that trickles these candidates: of t it keeps the namespace
// and the credentials, and nothing else.
func (t Transport) WithCandidates(cs ...Candidate) Transport {
	return Transport{NS: t.NS, Ufrag: t.Ufrag, Pwd: t.Pwd, Candidates: cs}
}

// ValidCandidates returns the candidates that [Candidate.Validate] has nothing against, and what it has against the
// others.
func (t Transport) ValidCandidates() (good []Candidate, bad []error) {
	for _, c := range t.Candidates {
		if err := c.Validate(); err != nil {
			bad = append(bad, err)
		} else {
			good = append(good, c)
		}
	}
	return good, bad
}

// ValidateCredentials reports whether the ufrag and the password can be used: both are there, of printable ASCII, and
// no longer than the 256 characters of RFC 8839 section 5.4.
func (t Transport) ValidateCredentials() error {
	for _, v := range [...]struct{ name, value string }{{"ufrag", t.Ufrag}, {"pwd", t.Pwd}} {
		switch {
		case v.value == "":
			return &xmltree.Error{Element: "transport", Attr: v.name, Problem: "is missing"}
		case len(v.value) > 256 || !visible(v.value):
			return &xmltree.Error{Element: "transport", Attr: v.name, Problem: "is not a string of at most 256 ICE characters"}
		}
	}
	return nil
}

// Restarts reports whether t, which came later, restarts the ICE session of prev. The change of the credentials is the
// signal, not the generation (XEP-0371 section 5.10). Credentials that are not given count as unchanged.
func (t Transport) Restarts(prev Transport) bool {
	changed := func(now, before string) bool { return now != "" && before != "" && now != before }
	return changed(t.Ufrag, prev.Ufrag) || changed(t.Pwd, prev.Pwd)
}

// Merge returns t with what a later transport-info adds to it: candidates, a fingerprint, the end of candidates. Where
// next restarts ICE, its credentials and candidates take the place of t's. No list grows over [MaxCandidates].
func (t Transport) Merge(next Transport) Transport {
	if next.Restarts(t) {
		t.Candidates, t.RemoteCandidates, t.GatheringComplete = nil, nil, false
	}
	if next.Ufrag != "" {
		t.Ufrag = next.Ufrag
	}
	if next.Pwd != "" {
		t.Pwd = next.Pwd
	}
	t.ICE2 = t.ICE2 || next.ICE2
	t.Trickle = t.Trickle || next.Trickle
	t.Renomination = t.Renomination || next.Renomination
	if len(next.Fingerprints) > 0 {
		t.Fingerprints = next.Fingerprints
	}
	if next.SCTPMap != nil {
		t.SCTPMap = next.SCTPMap
	}
	t.Channels = appendBounded(t.Channels, next.Channels)
	t.Candidates = appendBounded(t.Candidates, next.Candidates)
	if len(next.RemoteCandidates) > 0 {
		t.RemoteCandidates = next.RemoteCandidates
	}
	t.GatheringComplete = t.GatheringComplete || next.GatheringComplete
	t.Extra = appendBounded(t.Extra, next.Extra)
	return t
}

// appendBounded leaves dst alone and never returns more than [MaxCandidates], however often a peer adds to it.
func appendBounded[T any](dst, add []T) []T {
	room := max(0, MaxCandidates-len(dst))
	return append(slices.Clip(dst), add[:min(room, len(add))]...)
}

// Register adds the codecs of this package to r.
func Register(r *jingle.Registry) {
	r.Register(NSUDP, "transport", payload(ParseTransport))
	r.Register(NSICE, "transport", payload(ParseTransport))
	r.Register(NSDataChannel, "transport", payload(ParseDataChannel))
	r.Register(NSRawUDP, "transport", payload(ParseRawUDP))
}

func payload[T jingle.Payload](parse func(*xmltree.Element) (T, error)) jingle.Parse {
	return func(e *xmltree.Element) (jingle.Payload, error) {
		v, err := parse(e)
		if err != nil {
			return nil, err
		}
		return v, nil
	}
}
