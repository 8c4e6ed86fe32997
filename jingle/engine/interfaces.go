package engine

import (
	"io"

	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
)

// Signaler carries Jingle IQs over the XMPP stream.
type Signaler interface {
	// Send sends m in an IQ of type set and later calls done exactly once: with nil for a result, with a
	// [*jingle.StanzaError] for an error of the peer, with another error if no answer came. Send does not block;
	// done may be called from any goroutine and does not block either.
	Send(to jid.JID, m *jingle.Message, done func(error))
}

// Application gives one session its meaning. Its methods are called on the session's goroutine and must not block;
// they act through the [Session] that they are given.
type Application interface {
	// Handle is told of an event. The returned error matters for [jingle.InfoReceived] only, whose IQ it answers: nil
	// is a result, a [*jingle.StanzaError] is sent as it is, any other error becomes bad-request with its text.
	// The last event is [jingle.Ended].
	Handle(s *Session, ev jingle.Event) error
}

// Transport is one content's transport while it is negotiated and used. Its methods are called on the session's
// goroutine and must not block. What it finds out it posts to its [TransportHost].
type Transport interface {
	// NS is the namespace of the transport's payload.
	NS() string
	// Offer returns the payload to propose the transport with (session-initiate, content-add, transport-replace).
	Offer() (jingle.Payload, error)
	// Answer is given the peer's proposal and returns the payload to accept it with.
	Answer(remote jingle.Payload) (jingle.Payload, error)
	// Accepted is given the peer's answer to our [Transport.Offer].
	Accepted(remote jingle.Payload) error
	// Info is given the payload of a transport-info. Its error answers the IQ, as in [Application.Handle].
	Info(p jingle.Payload) error
	// Start begins to connect. It is called once, after the answer was sent or received.
	Start()
	// Close ends the negotiation and frees what it holds. A connection that was handed over with
	// [TransportHost.Connected] stays open: it belongs to the application. Close may be called at any time, twice too.
	Close()
}

// TransportHost is what a [Transport] posts to. The functions may be called from any goroutine and never block;
// after [Transport.Close] they do nothing.
type TransportHost interface {
	// SendInfo sends a transport-info with this payload. Whether the peer liked it does not come back: what matters
	// shows in what the peer does.
	SendInfo(p jingle.Payload)
	// Connected hands over the working connection. For streams it is an [io.ReadWriteCloser].
	Connected(conn io.ReadWriteCloser)
	// Failed says that the transport cannot work, and why.
	Failed(err error)
	// Post runs f on the session's goroutine.
	Post(f func())
}

// TransportConfig says for which content a [TransportFactory] makes a transport.
type TransportConfig struct {
	SID         string
	Local, Peer jid.JID
	// Role is our part in the session, and Offerer tells whether we propose this transport (a responder can, by
	// transport-replace).
	Role    jingle.Role
	Offerer bool
	Content jingle.ContentID
	Host    TransportHost
}

// TransportFactory makes transports of one kind.
type TransportFactory interface {
	// NS is the namespace of the transports that New makes.
	NS() string
	New(TransportConfig) (Transport, error)
}
