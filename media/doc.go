// Package media is the sound of a call between two peers, below the signalling: what Jingle contents agree on, and the
// packets that follow from it.
//
//	Call    negotiates contents (jingle/rtp, ice), and owns
//	Group   one ICE and DTLS-SRTP transport (ice/agent, media/dtlssrtp), on which runs
//	Stream  one medium: source -> encoder -> RTP, and RTP -> playout -> sink, with DTMF and statistics
//
// A group is what shares one transport: a BUNDLE group or a single content. It is put together from pion's ICE, DTLS and
// SRTP rather than from a PeerConnection, which speaks SDP, has one transport, and rewrites payload types; so Jingle's
// contents map to it directly, a peer without SSRCs or BUNDLE is no special case, and a call takes fewer goroutines.
//
// A Call's negotiation belongs to one goroutine, the session's; [Call.Run] does the rest and tells what happens by events
// that must only be posted.
package media
