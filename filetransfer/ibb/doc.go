// Package ibb is Jingle's in-band bytestreams transport: XEP-0261 (version 1.0) over XEP-0047 (version 2.0.1). It is
// the road of last resort, and the one that always works (XEP-0234 section 10.1).
//
// A [Stream] is an io.ReadWriteCloser over a connection that sends IQs ([Stanzas]); a [Router] hands what arrives to
// the stream that it belongs to.
package ibb

// NS is the namespace of the transport (XEP-0261 section 7.1).
const NS = "urn:xmpp:jingle:transports:ibb:1"

// NSIBB is the namespace of XEP-0047.
const NSIBB = "http://jabber.org/protocol/ibb"
