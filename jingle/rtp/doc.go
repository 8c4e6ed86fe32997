// Package rtp is the description of a media stream in a Jingle content: XEP-0167 (version 1.2.3) with what other
// specifications put inside it, RTCP feedback (XEP-0293), header extensions (XEP-0294), sources (XEP-0339), the hash of
// ZRTP (XEP-0262) and the category of a content (XEP-0507).
//
// It holds the codec of these elements and offer/answer as pure functions: [Capabilities.Offer], [Answer] for the
// responder, [Complete] for the initiator, [Merge] for a description-info.
//
// What a peer sends is read liberally: what is not understood is kept and written back, in the order it came.
package rtp

import "github.com/jingled/jingled/jingle"

// The namespaces of XEP-0167 section 15.1.
const (
	// NS qualifies <description/>.
	NS = "urn:xmpp:jingle:apps:rtp:1"
	// NSErrors qualifies <crypto-required/> and <invalid-crypto/>.
	NSErrors = "urn:xmpp:jingle:apps:rtp:errors:1"
	// NSInfo qualifies the payloads of session-info, see [Info].
	NSInfo = "urn:xmpp:jingle:apps:rtp:info:1"
)

// Features of service discovery for each kind of media (XEP-0167 section 10).
const (
	FeatureAudio = "urn:xmpp:jingle:apps:rtp:audio"
	FeatureVideo = "urn:xmpp:jingle:apps:rtp:video"
)

// Register adds the codecs of this package: <description/>, the six session-info payloads and the retracted video
// description of XEP-0180.
func Register(r *jingle.Registry) {
	r.Register(NS, "description", parsePayload)
	for _, k := range infoKinds {
		r.Register(NSInfo, string(k), parseInfo)
	}
	r.Register(NSRetractedVideo, "description", parseRetractedVideo)
}
