package rtp

import (
	"strconv"

	"github.com/jingled/jingled/xmltree"
)

// PayloadType is one encoding, a <payload-type/> (XEP-0167 section 4). Zero stands for an absent attribute.
type PayloadType struct {
	// ID is the payload type of RTP, 0 to 127. Larger ones are read but never used.
	ID uint8
	// Name is the MIME subtype. It may be absent for static ids (below 96); see [PayloadType.Normal].
	Name string
	// Clockrate is in Hz.
	Clockrate uint32
	// Channels is 1 where it is absent.
	Channels uint8
	// PTime and MaxPTime are the preferred and the longest packet time in milliseconds.
	PTime, MaxPTime uint32
	// Parameters are those of the SDP attribute "fmtp".
	Parameters Parameters
	// Feedback applies to this payload type only (XEP-0293).
	Feedback Feedback
	// Extra holds children that are not understood.
	Extra []*xmltree.Element

	layout layout
}

// The kinds of children of a <payload-type/>.
const (
	kindPTParameter kind = iota
	kindPTFeedback
	kindPTTRRInt
	kindPTExtra
)

func (p PayloadType) element() *xmltree.Element {
	e := xmltree.New(NS, "payload-type").Set("id", strconv.Itoa(int(p.ID))).SetOpt("name", p.Name)
	for _, a := range []struct {
		name  string
		value uint64
	}{
		{"clockrate", uint64(p.Clockrate)}, {"channels", uint64(p.Channels)},
		{"ptime", uint64(p.PTime)}, {"maxptime", uint64(p.MaxPTime)},
	} {
		if a.value != 0 {
			e.Set(a.name, strconv.FormatUint(a.value, 10))
		}
	}
	kids := p.Parameters.kids(nil, kindPTParameter, NS)
	kids = p.Feedback.kids(kids, kindPTFeedback, kindPTTRRInt)
	kids = kidsOf(kids, kindPTExtra, p.Extra, cloneElement)
	return p.layout.add(e, kids)
}

func parsePayloadType(e *xmltree.Element) (p PayloadType, err error) {
	r := xmltree.Attrs(e)
	p = PayloadType{
		ID:        uint8(r.RequiredUint("id", 255)),
		Name:      bounded(r, "name", maxName),
		Clockrate: uint32(r.Uint("clockrate", 0, 1<<32-1)),
		Channels:  uint8(r.Uint("channels", 0, 255)), // Pidgin and Dino write 0
		PTime:     uint32(r.Uint("ptime", 0, 1<<32-1)),
		MaxPTime:  uint32(r.Uint("maxptime", 0, 1<<32-1)),
	}
	if err := r.Err(); err != nil {
		return p, err
	}
	var kinds []kind
	for c := range e.Elements() {
		k := kindPTExtra
		switch {
		case c.Is(NS, "parameter"):
			k = kindPTParameter
			err = p.Parameters.parse(c)
		case c.Is(NSFeedback, "rtcp-fb"):
			k = kindPTFeedback
			err = parseInto(&p.Feedback.Messages, c, parseFeedbackMessage)
		case c.Is(NSFeedback, "rtcp-fb-trr-int") && p.Feedback.TRRInt == nil:
			k = kindPTTRRInt
			p.Feedback.TRRInt, err = parseTRRInt(c)
		default:
			p.Extra = append(p.Extra, c)
		}
		if err != nil {
			return p, err
		}
		kinds = append(kinds, k)
	}
	p.layout = layoutOf(kinds)
	return p, nil
}

// Parameter is a name with a value (XEP-0167 section 4; the same in XEP-0293, 0294 and 0339).
type Parameter struct {
	// Name is case-sensitive. It is empty for a value that has no name, as "0-15" of telephone-event can be.
	Name, Value string
	// NoValue says that the attribute 'value' is absent; Value is empty then.
	NoValue bool
}

// Parameters is a list of parameters, whose order has no meaning.
type Parameters []Parameter

// Get returns the value of the first parameter of this name.
func (ps Parameters) Get(name string) (value string, ok bool) {
	for _, p := range ps {
		if p.Name == name {
			return p.Value, true
		}
	}
	return "", false
}

// With returns a copy in which the parameter of this name has the value.
func (ps Parameters) With(name, value string) Parameters {
	out := append(make(Parameters, 0, len(ps)+1), ps...)
	for i := range out {
		if out[i].Name == name {
			out[i] = Parameter{Name: name, Value: value}
			return out
		}
	}
	return append(out, Parameter{Name: name, Value: value})
}

// kids returns the <parameter/> elements, which stand in the namespace of what they belong to.
func (ps Parameters) kids(kids []kid, k kind, ns string) []kid {
	return kidsOf(kids, k, ps, func(p Parameter) *xmltree.Element { return p.element(ns) })
}

func (ps Parameters) addTo(e *xmltree.Element) *xmltree.Element {
	for _, p := range ps {
		e.Add(p.element(e.Name.Space))
	}
	return e
}

func (p Parameter) element(ns string) *xmltree.Element {
	e := xmltree.New(ns, "parameter").Set("name", p.Name)
	if !p.NoValue {
		e.Set("value", p.Value)
	}
	return e
}

// parse adds a <parameter/>. A name must be there, but for those who write a nameless value.
func (ps *Parameters) parse(e *xmltree.Element) error {
	r := xmltree.Attrs(e)
	p := Parameter{Name: bounded(r, "name", maxName), Value: bounded(r, "value", maxValue)}
	if _, ok := e.LookupAttr("value"); !ok {
		p.NoValue = true
	}
	if p.Name == "" && p.Value == "" {
		r.Fail("name", "is missing")
	}
	if err := r.Err(); err != nil {
		return err
	}
	*ps = append(*ps, p)
	return nil
}

// parseParameters splits the children of e into parameters, of whatever namespace, and the rest.
func parseParameters(e *xmltree.Element) (ps Parameters, rest []*xmltree.Element, err error) {
	for c := range e.Elements() {
		if c.Name.Local != "parameter" {
			rest = append(rest, c)
		} else if err := ps.parse(c); err != nil {
			return nil, nil, err
		}
	}
	return ps, rest, nil
}
