// Package ice is the XML of the transports that find their path by ICE, and of the plain UDP one:
//
//   - XEP-0176 ice-udp:1 and XEP-0371 ice:0: [Transport] and [Candidate]
//   - XEP-0320 DTLS fingerprints, which stand inside them: [Fingerprint]
//   - XEP-0343 data channels: [SCTPMap] and [Channel] inside them, and [DataChannel], the transport
//     webrtc-datachannel:1 that Conversations wraps around them
//   - XEP-0177 raw-udp:1: [RawUDP]
//
// The values are read and written here and judged by [Candidate.Validate] and its likes, which is not the same: one
// candidate that makes no sense must not spoil the transport that it came with. Sockets are package agent's.
package ice
