// Package datachannel is the transport of files by WebRTC data channels: ICE, DTLS, SCTP (RFC 8831) and the Data Channel
// Establishment Protocol (RFC 8832).
//
// It is signalled in two forms. Conversations has a transport of its own, [ice.NSDataChannel], with an ICE transport
// inside. XEP-0343 (version 0.3.1) has an ICE transport with an <sctpmap/> in it. The channels are the same: each side
// opens one, writes into its own and reads from the other's, so that a file has one direction. A file ends by its size;
// nobody closes a channel to say so.
//
//	session-initiate  transport of ours, candidates follow by transport-info
//	session-accept    transport of the peer; ICE checks, DTLS handshake, SCTP, a channel each
package datachannel
