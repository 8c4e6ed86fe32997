package telepathy

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// The namespaces of XEP-0183.
const (
	NS = "http://jabber.org/protocol/jingle/transport/telepathy"
	// NSInfo is the namespace of <message/> by its schema (section 8.2) and registrar considerations.
	NSInfo = "http://jabber.org/protocol/jingle/info/telepathy"
	// NSInfoText is the one that its text has (section 3.3). It is read as well.
	NSInfoText = "http://jabber.org/protocol/info/telepathy"
)

const maxChannels = 64

// Absent is [Candidate.Generation] where the attribute is not there, as in an answer.
const Absent = -1

// Payload is the <transport/>: one candidate for each channel (section 3.1).
type Payload struct {
	Candidates []Candidate
	// Extra holds child elements that are no candidates.
	Extra []*xmltree.Element
}

// Candidate is a <candidate/>. Where the XEP does not require an attribute, zero means absent.
type Candidate struct {
	Name       string // of the channel, unique
	Generation int    // from 0 to 255, or [Absent]
	Plane      uint32 // astral plane, from 1
	Pulse      uint32 // heart beats a minute, from 1
	PsiSig     string // words with spaces between them
	Sign       string // of the zodiac, in English, e.g. "Pisces"
	Time       string // "past", "present" or "future"
}

// Signs lists the values of [Candidate.Sign].
var Signs = strings.Fields("Aquarius Aries Cancer Capricorn Gemini Leo Libra Pisces Sagittarius Scorpio Taurus Virgo")

// Element implements [jingle.Payload].
func (p Payload) Element() *xmltree.Element {
	e := xmltree.New(NS, "transport")
	for _, c := range p.Candidates {
		x := xmltree.New(NS, "candidate").Set("name", c.Name)
		if c.Generation != Absent {
			x.Set("generation", strconv.Itoa(c.Generation))
		}
		for _, n := range []struct {
			attr  string
			value uint32
		}{{"plane", c.Plane}, {"pulse", c.Pulse}} {
			if n.value != 0 {
				x.Set(n.attr, strconv.FormatUint(uint64(n.value), 10))
			}
		}
		e.Add(x.SetOpt("psi-sig", c.PsiSig).SetOpt("sign", c.Sign).SetOpt("time", c.Time))
	}
	for _, x := range p.Extra {
		e.Add(x.Clone())
	}
	return e
}

// Parse reads a <transport/> of [NS].
func Parse(e *xmltree.Element) (Payload, error) {
	var p Payload
	if !e.Is(NS, "transport") {
		return p, &xmltree.Error{Element: e.Name.Local, Problem: "is not a telepathy transport"}
	}
	seen := make(map[string]bool)
	for x := range e.Elements() {
		if !x.Is(NS, "candidate") {
			p.Extra = append(p.Extra, x)
			continue
		}
		c, err := parseCandidate(x)
		switch {
		case err != nil:
			return p, err
		case seen[c.Name]:
			// Section 3.1: one and only one candidate per channel.
			return p, &xmltree.Error{Element: "candidate", Attr: "name", Problem: "is there twice"}
		case len(seen) == maxChannels:
			return p, &xmltree.Error{Element: "transport", Problem: fmt.Sprintf("has more than %d channels", maxChannels)}
		}
		seen[c.Name] = true
		p.Candidates = append(p.Candidates, c)
	}
	return p, nil
}

func parseCandidate(e *xmltree.Element) (Candidate, error) {
	r := xmltree.Attrs(e)
	positive := func(attr string) uint32 {
		if r.String(attr) == "" {
			return 0
		}
		n := uint32(r.Uint(attr, 0, 1<<32-1))
		if n == 0 {
			r.Fail(attr, "is not a positive number")
		}
		return n
	}
	c := Candidate{
		Name: r.Required("name"), Generation: Absent, Plane: positive("plane"), Pulse: positive("pulse"),
		PsiSig: r.String("psi-sig"), Sign: r.OneOf("sign", Signs...), Time: r.OneOf("time", "past", "present", "future"),
	}
	if r.String("generation") != "" {
		c.Generation = int(r.Uint("generation", 0, 255))
	}
	if len(c.Name) > 256 || len(c.PsiSig) > 1024 {
		r.Fail("", "has an attribute that is too long")
	}
	return c, r.Err()
}

// Message is the <message/> of a session-info: any text that a party feels like communicating (section 3.3).
type Message struct{ Text string }

// Element implements [jingle.Payload].
func (m Message) Element() *xmltree.Element { return xmltree.New(NSInfo, "message").AddText(m.Text) }

// Register adds the codecs of this package to r.
func Register(r *jingle.Registry) {
	r.Register(NS, "transport", func(e *xmltree.Element) (jingle.Payload, error) {
		p, err := Parse(e)
		if err != nil {
			return nil, err
		}
		return p, nil
	})
	for _, ns := range []string{NSInfo, NSInfoText} {
		r.Register(ns, "message", func(e *xmltree.Element) (jingle.Payload, error) { return Message{e.Text()}, nil })
	}
}
