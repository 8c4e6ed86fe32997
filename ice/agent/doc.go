// Package agent finds a path for packets between two peers: it is ICE (RFC 8445) on real sockets, by pion/ice, behind a
// packet connection. The XML of it is package ice.
//
// An [Agent] is made, tells its candidates as it finds them, is given the peer's credentials and candidates in any
// order, and becomes a [net.Conn] whose reads and writes are packets. Its callbacks come from goroutines of its own and
// must only post.
package agent
