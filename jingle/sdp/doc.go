// Package sdp translates between Jingle contents and SDP (RFC 8866), both ways: XEP-0167 section 6 and what XEP-0176,
// 0293, 0294, 0320, 0338, 0339, 0343, 0262 and 0507 say of their mapping. The SDP is that of JSEP (RFC 9429), as WebRTC
// stacks read and write it.
//
// [FromJingle] and [ToJingle] are pure. An SDP is one party's view, so both take the role of the party that it describes:
// who may send is a role in Jingle and a direction in SDP.
//
// What cannot be said in the other language is left out: of Jingle that is XML which nobody knows, the ids of candidates
// and the packet time of single payload types; of SDP simulcast, attributes of RTCP and old forms. What would break out
// of its line of SDP is never written.
package sdp
