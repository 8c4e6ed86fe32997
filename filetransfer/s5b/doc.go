// Package s5b is Jingle's SOCKS5 bytestreams transport: XEP-0260 (version 1.0.3) over XEP-0065 (version 1.8.2).
//
// It has the payloads of both, the negotiation as a pure machine ([Negotiation]), the little of SOCKS5 (RFC 1928)
// that both sides speak, a listener for what a peer connects to ([Listener]) and the prober that connects to a peer's
// candidates.
//
//	transport-info             each side, once                       outcome
//	candidate-used cid  +  candidate-error                           the candidate that was used
//	candidate-used cid  +  candidate-used cid'                       the higher priority; equal: the initiator's choice
//	candidate-error     +  candidate-error                           failed: the initiator replaces the transport
//	nominated a proxy:     its offerer connects, activates and sends activated cid, or anyone sends proxy-error
package s5b

// NS is the namespace of the transport (XEP-0260 section 8.1).
const NS = "urn:xmpp:jingle:transports:s5b:1"

// NSBytestreams is the namespace of XEP-0065: proxies are asked and told in it.
const NSBytestreams = "http://jabber.org/protocol/bytestreams"
