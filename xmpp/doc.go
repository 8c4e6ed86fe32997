// Package xmpp is an account's connection to its server: login, stanzas in and out, the IQ router, presence, the
// roster, service discovery and entity capabilities.
//
// A [Client] is made by [New], given its handlers, and then driven by one blocking [Client.Run], which connects, logs
// in, serves, and connects again after a fault:
//
//	c, err := xmpp.New(xmpp.Config{JID: "alice@example.org", Password: pw, Features: features})
//	c.HandleIQ("urn:xmpp:jingle:1", "jingle", func(iq *xmpp.IQ) { post(iq) })
//	c.HandleMessage(func(m *xmpp.Message) { ... })
//	c.OnState(func(s xmpp.StateChange) { ... })
//	err = c.Run(ctx)
//
// # What runs where
//
// For each connection a reader and a writer goroutine; for the whole of Run one dispatcher, which calls every handler
// and every callback of [Client.Request], one at a time, in the order in which the stanzas came in. A handler must not
// block: it posts to whoever owns the state and returns. Everything that is sent goes through a bounded queue; sending
// never waits for the network.
//
//	socket -> TLS -> framer -> reader -> [IQ router] -> inbox -> dispatcher -> handlers
//	socket <- TLS <- writer <- outbox <- Send, Request, IQ.Reply
//
// The reader never blocks and never ends because of what a peer sent. A stanza over its limits, one that our parser
// does not like or one without a usable sender is dropped, and answered if it is a request. If the inbox is full,
// or one peer has its share of it, requests are answered with resource-constraint and everything else is dropped and
// counted ([Stats]).
//
// # Where more fits in
//
// A transport other than TCP is a net.Conn that gives and takes a TCP-like stream: made by a target beside those of
// dial.go and handed to the login, which does not care. Stream management is a stream feature beside bindFeature, a
// count of the elements that the reader takes, and a queue of unacknowledged ones in the outbox; [StateChange].Resumed
// is there for it, and without a resume everything that hung on the stream is told so as now.
//
// # Resumption
//
// With stream management (XEP-0198, package sm) a lost connection is not a lost stream: what is sent meanwhile is kept,
// open requests stay open, and after the next login everything goes on, nothing lost and nothing doubled. [StateChange]
// says so with Resumed.
//
// # Mellium
//
// mellium.im/xmpp negotiates the stream (headers, features, their order) and mellium.im/sasl does SCRAM. From the
// moment the stream is ready, its session is not used: its Serve answers an IQ before a handler on another goroutine
// can, ends when a handler returns an error, and has no bound on the size of a stanza. Only this package imports it,
// and none of its types is visible outside.
package xmpp
