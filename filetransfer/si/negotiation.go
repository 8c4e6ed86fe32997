package si

import (
	"slices"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/filetransfer/resume"
	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/jingle"
)

// Effect is what [Requesting] or [Answering] wants done after an input.
type Effect interface{ effect() }

// Reply answers the offer with a result.
type Reply struct{ Answer SI }

// Refuse answers the offer with an error.
type Refuse struct{ Err *jingle.StanzaError }

// Wanted tells the transfer that the peer takes the file. Range is what it wants of it, nil for all.
type Wanted struct{ Range *filetransfer.Range }

// Open begins a stream of this method, by the requester.
type Open struct{ Method string }

// Join connects to the streamhosts that the requester has offered, and answers it.
type Join struct{ Query s5b.Query }

// AwaitInBand lets the requester open an in-band bytestream from now on.
type AwaitInBand struct{}

// Fail ends the transfer.
type Fail struct {
	Reason *jingle.Reason
	ByPeer bool
}

func (Reply) effect()       {}
func (Refuse) effect()      {}
func (Wanted) effect()      {}
func (Open) effect()        {}
func (Join) effect()        {}
func (AwaitInBand) effect() {}
func (Fail) effect()        {}

// methods are the streams that we know, in the order of XEP-0096 section 3.1.
func methods() []string { return []string{s5b.NSBytestreams, ibb.NSIBB} }

// Requesting is the side that offers a file, as a function of its inputs.
//
//	offered --Answered--> opening --Failed--> opening in-band --Opened--> over
type Requesting struct {
	offered []string
	tried   []string
	over    bool
	waiting bool // for the answer
	again   bool
}

// NewRequesting returns the state after an offer with these methods, best first. again says that it goes on with an
// earlier one: a peer that is not there will be.
func NewRequesting(offered []string, again bool) *Requesting {
	return &Requesting{offered: offered, again: again, waiting: true}
}

// Answered tells that the peer has accepted.
func (r *Requesting) Answered(answer SI) []Effect {
	if r.over || !r.waiting {
		return nil
	}
	r.waiting = false
	method := answer.Method
	if method == "" && len(answer.Methods) > 0 {
		method = answer.Methods[0] // a form that does not say that it is the answer to one
	}
	if !slices.Contains(r.offered, method) {
		return r.fail(&jingle.Reason{Condition: jingle.UnsupportedTransports, Text: "The other side chose a stream that was not offered."}, true)
	}
	r.tried = append(r.tried, method)
	return []Effect{Wanted{rangeOf(answer.File)}, Open{method}}
}

// rangeOf returns the range that an answer asks for (XEP-0096 section 3), nil if it is everything.
func rangeOf(f *File) *filetransfer.Range {
	if f == nil || f.Range == nil || f.Range.Offset == nil && f.Range.Length == nil {
		return nil
	}
	return &filetransfer.Range{Offset: f.Range.Offset, Length: f.Range.Length}
}

// Refused tells that the peer has answered the offer with an error, or not at all.
func (r *Requesting) Refused(err error) []Effect {
	if r.over || !r.waiting {
		return nil
	}
	reason, byPeer := reasonOf(err, r.again)
	return r.fail(reason, byPeer)
}

// Opened tells that the stream is there.
func (r *Requesting) Opened() []Effect {
	r.over = true
	return nil
}

// StreamFailed tells that the stream could not be opened. libpurple and its kin, which accept both methods at once, then
// wait for an in-band bytestream of the same id; for others it is an error more.
func (r *Requesting) StreamFailed(err error) []Effect {
	if r.over || r.waiting {
		return nil
	}
	if slices.Contains(r.offered, ibb.NSIBB) && !slices.Contains(r.tried, ibb.NSIBB) {
		r.tried = append(r.tried, ibb.NSIBB)
		return []Effect{Open{ibb.NSIBB}}
	}
	return r.fail(&jingle.Reason{Condition: jingle.ConnectivityError, Text: "No stream to the other side could be opened: " + err.Error()}, false)
}

func (r *Requesting) fail(reason *jingle.Reason, byPeer bool) []Effect {
	r.over = true
	return []Effect{Fail{reason, byPeer}}
}

// Answering is the side that is offered a file, as a function of its inputs.
//
//	offered --Accept--> waiting --Bytestream--> joining --StreamFailed--> waiting (in-band) --Opened--> over
type Answering struct {
	methods []string // of the peer's that we know, in our order
	ranged  bool
	state   answerState
}

type answerState uint8

const (
	answerOffered answerState = iota
	answerWaiting
	answerJoining
	answerOver
)

// NewAnswering returns the state after an offer, or the error to answer it with.
func NewAnswering(offer SI) (*Answering, *jingle.StanzaError) {
	a := &Answering{}
	switch {
	case offer.Profile != NSFile || offer.File == nil:
		// XEP-0095 section 4.2.
		return nil, &jingle.StanzaError{Type: "cancel", Condition: "bad-request", App: BadProfile()}
	case offer.ID == "", offer.File.Size == nil:
		return nil, jingle.ErrBadRequest("A file is offered with an id and a size.")
	}
	for _, m := range methods() {
		if slices.Contains(offer.Methods, m) {
			a.methods = append(a.methods, m)
		}
	}
	if len(a.methods) == 0 {
		return nil, &jingle.StanzaError{Type: "cancel", Condition: "bad-request", App: NoValidStreams()}
	}
	a.ranged = offer.File.Range != nil
	return a, nil
}

// Accept tells that the file is wanted, from have on.
func (a *Answering) Accept(want *filetransfer.Range) []Effect {
	if a.state != answerOffered {
		return nil
	}
	a.state = answerWaiting
	answer := SI{Method: a.methods[0], File: &File{}}
	if !want.Whole() {
		if !a.ranged {
			a.state = answerOver
			return []Effect{Refuse{declined()}, Fail{&jingle.Reason{Condition: jingle.FailedApplication,
				Text: "The other side cannot send a part of a file."}, false}}
		}
		answer.File.Range = &Range{Offset: want.Offset, Length: want.Length}
	}
	var out []Effect
	if slices.Contains(a.methods, ibb.NSIBB) {
		// Before the answer, and also where a SOCKS5 bytestream is chosen: libpurple opens one in-band if that fails.
		out = append(out, AwaitInBand{})
	}
	return append(out, Reply{answer})
}

// Decline tells that the file is not wanted, and why. Only our own kind is told that the transfer rests, or that nothing is
// missing any more: an offer that asks for it names an earlier one.
func (a *Answering) Decline(why *jingle.Reason) []Effect {
	if a.state != answerOffered {
		return nil
	}
	a.state = answerOver
	no := declined()
	switch {
	case why == nil:
	case resume.IsPaused(why.App):
		no.App = why.App
	case why.Condition == jingle.Success:
		no.App = resume.CompleteElement()
	}
	return []Effect{Refuse{no}}
}

// declined is the answer of XEP-0095 section 3.2 to an offer that is not wanted.
func declined() *jingle.StanzaError {
	return &jingle.StanzaError{Type: "cancel", Condition: "forbidden", Text: "Offer Declined"}
}

// Bytestream tells that the requester has offered streamhosts. The error answers it.
func (a *Answering) Bytestream(q s5b.Query) ([]Effect, *jingle.StanzaError) {
	if a.state != answerWaiting || !slices.Contains(a.methods, s5b.NSBytestreams) {
		return nil, &jingle.StanzaError{Type: "modify", Condition: "not-acceptable", Text: "This bytestream was not agreed on."}
	}
	a.state = answerJoining
	return []Effect{Join{q}}, nil
}

// StreamFailed tells that no streamhost could be reached. The requester may try another stream.
func (a *Answering) StreamFailed(err error) []Effect {
	if a.state != answerJoining {
		return nil
	}
	if slices.Contains(a.methods, ibb.NSIBB) {
		a.state = answerWaiting
		return nil
	}
	a.state = answerOver
	return []Effect{Fail{&jingle.Reason{Condition: jingle.ConnectivityError, Text: err.Error()}, false}}
}

// NoOther tells that the requester has tried no other stream after the one that failed with err.
func (a *Answering) NoOther(err error) []Effect {
	if a.state != answerWaiting {
		return nil
	}
	a.state = answerOver
	return []Effect{Fail{&jingle.Reason{Condition: jingle.ConnectivityError, Text: "The proxy closed the stream: " + err.Error()}, false}}
}

// Opened tells that a stream is there.
func (a *Answering) Opened() { a.state = answerOver }
