// Package xmppserver is a small XMPP server inside the process, for `jingle demo` and for tests.
//
// It is no production server. It forgets everything when it ends, talks to no other server, keeps no message for those
// who are away, and refuses to listen on anything but loopback. For people to use, run Prosody or ejabberd.
//
// What it does, it does by the book, so that a client that works with it works elsewhere: TLS by STARTTLS or from the
// first byte, SCRAM with and without channel binding, resource binding, roster and subscriptions, presence with
// directed presence, the routing rules of RFC 6121 section 8, service discovery, ping, carbons.
//
// # Who owns what
//
// A connection has two goroutines: one reads and acts, one writes from a bounded queue. What the sessions share is in
// the hub, under one lock. Nothing blocks under that lock: what is for a client goes to its queue, and a client that
// does not empty its queue is cut off.
package xmppserver
