// Package delegated is a call whose media is the host's: a program with a WebRTC stack of its own, such as a page in a
// browser. The host gives and takes SDP and candidates as it would with another WebRTC peer, and this package speaks Jingle
// with the real one (package jingle/sdp); it sends and receives no packet of media.
//
//	host                         Call                         peer
//	SetDescription(offer)   -->        session-initiate  -->
//	                        <--  Describe(answer)        <--  session-accept
//	AddCandidates           -->        transport-info    -->
//	SetDescription(offer)   -->        content-add, content-remove, content-modify, new credentials
//	                        <--  Describe(answer)        <--  content-accept, credentials
//	                        <--  Describe(offer)         <--  content-add, ...
//	SetDescription(answer)  -->        content-accept, content-reject, ...
//
// There is one offer at a time, as in SDP: what the peer changes while the host's offer has no answer, waits.
package delegated

import (
	"errors"
	"log/slog"

	"github.com/jingled/jingled/media/call"
)

// Config is what a [Call] needs. All functions but Go must be set, are called one after another, and must not block.
type Config struct {
	// Notify is told what [call.Config.Notify] would be told, as far as it does not concern media.
	Notify func(call.Event)
	// Describe is told what the host has to set as its remote description.
	Describe func(Description)
	// Candidates is told candidates of the peer.
	Candidates func(Candidates)
	// Go runs a function on a goroutine of its own; nil is a go statement.
	Go func(func())
	// Log may be nil.
	Log *slog.Logger
}

// Kind is the type of a description, as WebRTC names it.
type Kind string

// The kinds of descriptions.
const (
	Offer  Kind = "offer"
	Answer Kind = "answer"
	// Rollback takes the host's last offer back: the peer has refused it.
	Rollback Kind = "rollback"
)

// Description is a session description; that of a rollback is empty.
type Description struct {
	Kind Kind
	SDP  string
}

// Candidates are candidates of one media description, each as RTCIceCandidate.candidate has it.
type Candidates struct {
	MID   string
	Lines []string
}

// ErrState says that a description does not fit the state of things: an offer while another one has no answer, or an
// answer without an offer.
var ErrState = errors.New("the description does not fit: an offer has no answer yet, or an answer no offer")

// ErrOver says that the call has ended.
var ErrOver = errors.New("the call has ended")

// Bounds of what waits.
const (
	maxQueue = 32
	maxEarly = 256
)

// DescriptionError says what is wrong with a description or a candidate of the host.
type DescriptionError struct{ Err error }

func (e *DescriptionError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *DescriptionError) Unwrap() error { return e.Err }
