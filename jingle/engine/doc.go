// Package engine runs Jingle sessions: it is the interpreter of [jingle.Session] in production.
//
// An [Engine] belongs to one account. It routes what the peer sends to its sessions, each of which is owned by one
// goroutine; everything else posts to that goroutine's mailbox and never waits. The engine knows nothing of calls or
// files: an [Application] gives a session its meaning, and a [Transport] moves its bytes. The XMPP stream is behind
// [Signaler].
//
//	XMPP stream                 Engine                        session goroutine
//	----------                  ------                        -----------------
//	IQ set  -----> Receive ---> Table.Route ---> mailbox ---> jingle.Session ---> effects
//	IQ reply <---- Signaler.Send <------------------------------- Request             |
//	                                                          Application.Handle <----+
//	pion, sockets, users ---> Session.Post -----> mailbox
package engine
