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
// # Ways to the server
//
// TCP with STARTTLS or direct TLS, a WebSocket (RFC 7395), BOSH (XEP-0124, XEP-0206), each directly or through a proxy.
// Everything above sees a net.Conn with a stream of bytes: framed.go cuts what is written back into elements, and
// websocket.go and bosh.go make a stream of what comes. They are tried in that order, what the user or DNS names first,
// and what the domain's host-meta names (XEP-0156) only where nothing else works; a web way that has worked is tried
// first at the next time.
//
// Stream management (XEP-0198) keeps a stream alive while its connection is away, and [StateChange].Resumed says so.
// Without a resume everything that hung on the stream is told. BOSH has means of its own.
//
// # Mellium
//
// mellium.im/xmpp negotiates the stream (headers, features, their order) and mellium.im/sasl does SCRAM. From the
// moment the stream is ready, its session is not used: its Serve answers an IQ before a handler on another goroutine
// can, ends when a handler returns an error, and has no bound on the size of a stanza. Only this package imports it,
// and none of its types is visible outside.
package xmpp
