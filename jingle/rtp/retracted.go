package rtp

import (
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// The namespaces of XEP-0180, which was retracted in favour of XEP-0167.
const (
	// NSRetractedVideo qualified its <description/>.
	NSRetractedVideo = "urn:xmpp:tmp:jingle:apps:video-rtp"
	// NSRetractedVideoErrors qualified <unsupported-codecs/>.
	NSRetractedVideoErrors = "urn:xmpp:tmp:jingle:apps:video:errors"
)

// RetractedVideo is a <description/> of XEP-0180. It is recognised so that it can be refused in its own words: an IQ
// with [ErrUnsupportedCodecs], or a session-terminate with unsupported-applications.
type RetractedVideo struct{ XML *xmltree.Element }

// Element implements [jingle.Payload].
func (v RetractedVideo) Element() *xmltree.Element { return v.XML.Clone() }

func parseRetractedVideo(e *xmltree.Element) (jingle.Payload, error) { return RetractedVideo{e}, nil }

// ErrUnsupportedCodecs is the answer to a description of XEP-0180 (its section 7).
func ErrUnsupportedCodecs() *jingle.StanzaError {
	return &jingle.StanzaError{
		Type: "cancel", Condition: "not-acceptable",
		Text: "XEP-0180 was retracted; offer video with a description of " + NS + ".",
		App:  xmltree.New(NSRetractedVideoErrors, "unsupported-codecs"),
	}
}
