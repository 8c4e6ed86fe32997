package jingle

// Effect is what a [Session] wants done after an input. The interpreter carries effects out in order.
type Effect interface{ effect() }

// Answer answers the IQ that carried a message: with an empty result, or with Err.
type Answer struct {
	IQ  string // as given to [Session.Receive]
	Err *StanzaError
}

// Request sends an IQ of type set to the peer. Its reply goes to [Session.Replied] with the same number.
type Request struct {
	N       uint64 // from 1, in order, per session
	Message *Message
}

// Event tells the application of something. Events that carry a question, [InfoReceived], are answered by the
// interpreter with what the application says.
type Event interface {
	Effect
	event()
}

// Initiated says that the peer asks for a session. The session-initiate is acknowledged already.
type Initiated struct{ Message *Message }

// Accepted says that the peer accepted the session. It holds only contents that we had offered; offered contents
// that it lacks are gone from the session.
type Accepted struct{ Message *Message }

// InfoReceived is a session-info, description-info, security-info or transport-info with a payload. The IQ is not
// answered yet: the interpreter answers with a result if the application understood, with the application's error
// otherwise (XEP-0166 section 6.8).
type InfoReceived struct {
	IQ      string
	Message *Message
}

// ContentAdded says that the peer wants to add contents. Answer with content-accept or content-reject
// (XEP-0166 section 7.2.2).
type ContentAdded struct{ Message *Message }

// ContentAccepted says that the peer accepted contents that we added.
type ContentAccepted struct{ Message *Message }

// ContentRejected says that the peer rejected contents that we added.
type ContentRejected struct{ Message *Message }

// ContentRemoved says that the peer removed contents, or (Local) that contents of ours were overruled or given up.
type ContentRemoved struct {
	Message *Message
	Local   bool
}

// ContentModified says that the peer changed who may send.
type ContentModified struct {
	ID       ContentID
	Old, New Senders
}

// TransportOffered says that the peer wants to replace transports. Answer with transport-accept or transport-reject
// (XEP-0166 section 7.2.15).
type TransportOffered struct{ Message *Message }

// TransportReplaced says that the peer accepted the transports that we offered as replacement.
type TransportReplaced struct{ Message *Message }

// TransportNeeded says that the transport of a content failed and that the one named by NS is the next to try: make
// one and offer it with transport-replace.
type TransportNeeded struct {
	ID ContentID
	NS string
}

// RequestFailed says that a request of ours did not succeed and the session goes on without it. Err is a
// [*StanzaError] of the peer, or [ErrNoReply].
type RequestFailed struct {
	Message *Message
	Err     error
}

// Ended says that the session is over. It is always the last event.
type Ended struct {
	Reason *Reason // never nil
	ByPeer bool
	// Err is set where an error reply or silence ended the session.
	Err error
}

func (Answer) effect()            {}
func (Request) effect()           {}
func (Initiated) effect()         {}
func (Accepted) effect()          {}
func (InfoReceived) effect()      {}
func (ContentAdded) effect()      {}
func (ContentAccepted) effect()   {}
func (ContentRejected) effect()   {}
func (ContentRemoved) effect()    {}
func (ContentModified) effect()   {}
func (TransportOffered) effect()  {}
func (TransportReplaced) effect() {}
func (TransportNeeded) effect()   {}
func (RequestFailed) effect()     {}
func (Ended) effect()             {}

func (Initiated) event()         {}
func (Accepted) event()          {}
func (InfoReceived) event()      {}
func (ContentAdded) event()      {}
func (ContentAccepted) event()   {}
func (ContentRejected) event()   {}
func (ContentRemoved) event()    {}
func (ContentModified) event()   {}
func (TransportOffered) event()  {}
func (TransportReplaced) event() {}
func (TransportNeeded) event()   {}
func (RequestFailed) event()     {}
func (Ended) event()             {}
