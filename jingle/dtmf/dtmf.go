// Package dtmf is XEP-0181 (version 0.12): a key of the telephone keypad sent in the signalling.
//
// It is for peers that have no RTP events. Between two that speak XEP-0167, RFC 4733 events in the media are to be used
// instead (XEP-0181 section 1); [ErrUseRTP] says so to a peer.
package dtmf

import (
	"strconv"
	"strings"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// NS is the namespace of <dtmf/>, and the feature of service discovery for it.
const NS = "urn:xmpp:jingle:dtmf:0"

// DefaultDuration is how long a tone lasts if the peer does not say, in milliseconds (XEP-0181 section 2).
const DefaultDuration = 100

// Digits are the codes that exist, in the order of their event codes in RFC 4733 section 3.2.
const Digits = "0123456789*#ABCD"

// Tone is a <dtmf/>, a payload of session-info. It implements [jingle.Payload].
type Tone struct {
	// Code is one of [Digits]; another one is read, as it has an answer of its own, see [Tone.Known].
	Code string
	// Duration is in milliseconds, and nil where the attribute is absent: see [Tone.Milliseconds].
	Duration *uint32
	// Volume is the power level in dBm0 without its sign, 0 (loud) to 63, or nil where it is not given.
	Volume *uint8
	// Extra holds children, which XEP-0181 does not foresee.
	Extra []*xmltree.Element
}

// New returns a tone for a digit of so many milliseconds.
func New(digit byte, milliseconds uint32) Tone {
	return Tone{Code: string(rune(digit)), Duration: &milliseconds}
}

// Known reports whether the code is one of [Digits]. If it is not, the answer is [ErrUnknownCode].
func (t Tone) Known() bool { return len(t.Code) == 1 && strings.Contains(Digits, t.Code) }

// Event returns the event code of RFC 4733 section 3.2, 0 to 15; false if the code is not [Tone.Known].
func (t Tone) Event() (uint8, bool) {
	if !t.Known() {
		return 0, false
	}
	return uint8(strings.Index(Digits, t.Code)), true
}

// Milliseconds returns the duration. A tone of 0 is to be ignored (XEP-0181 section 2).
func (t Tone) Milliseconds() uint32 {
	if t.Duration == nil {
		return DefaultDuration
	}
	return *t.Duration
}

// Element implements [jingle.Payload].
func (t Tone) Element() *xmltree.Element {
	e := xmltree.New(NS, "dtmf").Set("code", t.Code)
	if t.Duration != nil {
		e.Set("duration", strconv.FormatUint(uint64(*t.Duration), 10))
	}
	if t.Volume != nil {
		e.Set("volume", strconv.Itoa(int(*t.Volume)))
	}
	for _, x := range t.Extra {
		e.Add(x.Clone())
	}
	return e
}

// Register adds the codec of <dtmf/>.
func Register(r *jingle.Registry) { r.Register(NS, "dtmf", parsePayload) }

func parsePayload(e *xmltree.Element) (jingle.Payload, error) {
	t, err := Parse(e)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Parse reads a <dtmf/>. Its error is an [*xmltree.Error]. An unknown code is none.
func Parse(e *xmltree.Element) (Tone, error) {
	if !e.Is(NS, "dtmf") {
		return Tone{}, &xmltree.Error{Element: e.Name.Local, Problem: "is not a <dtmf/> of " + NS}
	}
	r := xmltree.Attrs(e)
	t := Tone{Code: r.Required("code")}
	if len(t.Code) > 16 {
		r.Fail("code", "is too long")
	}
	if e.Attr("duration") != "" {
		d := uint32(r.Uint("duration", 0, 1<<32-1))
		t.Duration = &d
	}
	if e.Attr("volume") != "" {
		v := uint8(r.Uint("volume", 0, 63))
		t.Volume = &v
	}
	if err := r.Err(); err != nil {
		return Tone{}, err
	}
	for c := range e.Elements() {
		t.Extra = append(t.Extra, c)
	}
	return t, nil
}

// ErrUnsupported is the answer where DTMF in the signalling is not supported (XEP-0181 section 2).
func ErrUnsupported() *jingle.StanzaError {
	return &jingle.StanzaError{Type: "cancel", Condition: "service-unavailable"}
}

// ErrUnknownCode is the answer to a code that is not one of [Digits] (XEP-0181 section 2).
func ErrUnknownCode() *jingle.StanzaError {
	return &jingle.StanzaError{
		Type: "cancel", Condition: "feature-not-implemented",
		Text: "The code is not one of 0-9, *, # and A-D.",
	}
}

// ErrUseRTP is the answer where RTP events are in use (XEP-0181 section 2).
func ErrUseRTP() *jingle.StanzaError {
	return &jingle.StanzaError{
		Type: "cancel", Condition: "not-acceptable",
		Text: "Send telephone events in the RTP stream (RFC 4733).",
	}
}
