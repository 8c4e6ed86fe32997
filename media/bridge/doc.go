// Package bridge joins WebRTC clients on this machine, such as a page in a browser, OBS or GStreamer, to one call.
//
//	client ==WebRTC on the loopback== [Client] --packets-- [Line] --packets-- call ==Jingle== peer
//
// Opus and pictures pass as they are; only their numbers change. Loss is mended on each of the two paths by itself (NACK),
// while wishes go all the way: for key frames (PLI, FIR) and for a bit rate (REMB). Transport-wide congestion control is
// not spoken with clients: the loopback has no congestion, and what the far path can take comes as REMB. Keys
// (RFC 4733) are told, so that the call presses them in its own way. Sound is decoded and encoded again only if the peer has
// no Opus and the client not the codec that the peer has.
//
// A Line is made with the call and outlives its clients: they come and go, and without one there is silence. Of those that
// send, the newest one is heard and seen.
package bridge
