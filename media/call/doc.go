// Package call is a call with sound, and with video if it is wanted, as an application of the Jingle engine (XEP-0167): it joins a session, package engine,
// with its sound, package media, and tells what happens.
//
//	[Dial]    session-initiate -----> (ringing) -----> session-accept -> Accepted -> Connected -> ... -> Ended
//	[PickUp]  session-initiate -> [Call.Ring] -> [Call.Answer]: session-accept -> Connected -> ... -> Ended
//
// Candidates trickle, one content and one candidate in each transport-info with the credentials, which is the one form
// that all clients accept; those found before the first description goes out stand in it. Those of the peer may come at
// any time.
package call

import (
	"log/slog"
	"time"

	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/dtlssrtp"
)

// Config says how calls are made. Certificate and Notify must be set.
type Config struct {
	// Certificate is the account's.
	Certificate *dtlssrtp.Certificate
	ICE         agent.Config
	// Codecs are those to offer and accept, the best first; nil stands for [audio.Codecs].
	Codecs []*audio.Codec
	// Encryption is the least that is accepted of the peer. Transport is the namespace of what [Dial] offers; the default
	// is [ice.NSUDP].
	Encryption media.Encryption
	Transport  string
	// Name is the content of the audio in an offer; "" stands for [media.ContentName].
	Name string
	// Transfers lets the peer ask us to go on with somebody else (XEP-0251), see [TransferAsked]. Otherwise it is refused.
	Transfers bool
	// Info goes along with a session-initiate, as a <muji/> or a <transfer/> does.
	Info []jingle.Payload
	// InBandDTMF is as in [media.Config].
	InBandDTMF bool
	// Bundle announces BUNDLE in an offer: for peers with the feature urn:ietf:rfc:5888 or that are Conversations. Dino
	// has none of it.
	Bundle bool
	// GatherFirst waits for all candidates, two seconds at most, before the session-initiate: for peers with
	// [ice.FeatureOfferAnswer].
	GatherFirst bool
	// VideoTypes is as in [media.Config].
	VideoTypes map[string]uint8
	// Videos are offered besides, as far as Places has it, and accepted if the peer adds them later.
	Videos []Video
	Places Places
	// VideoAdded is asked for where pictures come from and go to when the peer adds video that shows these categories; nil
	// refuses it. Without it, or if it leaves that open, video is taken that was wanted already. It must not block.
	VideoAdded func(categories []rtp.Category) (v *Video, decided bool)
	// Notify is told what happens, one event after another, the last one being [Ended]. It must not block.
	Notify func(Event)
	// Go runs a function on a goroutine of its own; whoever sets it can wait for them. nil is a go statement.
	Go func(func())
	// Log may be nil.
	Log *slog.Logger
}

// Event is something that happens to a [Call].
type Event interface{ callEvent() }

// Ringing says that the peer's device rings (XEP-0167 section 8.4).
type Ringing struct{}

// Accepted says that the call was answered, by us or the peer; it is being connected.
type Accepted struct{}

// Connected says that the peer is heard: the path is secured, and the first packet of sound was decoded.
type Connected struct {
	// Setup is from our session-accept, or its receipt, to that packet. If no sound came for some seconds, as the peer
	// may be muted, it is 0 and the call counts as connected all the same.
	Setup time.Duration
	Pair  agent.Pair
	Codec string
	media.Secrecy
}

// DTMF is a key that the peer has pressed, told once for each, as soon as it is down. The duration is 0 unless it is known
// by then.
type DTMF struct {
	Digit    byte
	Duration time.Duration
}

// DTMFRefused says that the peer does not take a key that was sent in the signalling (XEP-0181 section 2).
type DTMFRefused struct {
	Digit byte
	Err   error
}

// PeerMuted and PeerHeld tell what the peer says of itself (XEP-0167 section 8).
type PeerMuted struct{ On bool }

// PeerHeld says that the peer has put us on hold; nothing is sent while it lasts.
type PeerHeld struct{ On bool }

// Meter comes once a second while the call is connected.
type Meter struct {
	Elapsed time.Duration // since it was connected
	Stats   media.Stats
}

// Media is an event of the media that needs no action: a disturbed or changed path, the end of the source.
type Media struct{ Event media.Event }

// Ended is the last event. All that belonged to the call has ended, and a recording has its name.
type Ended struct {
	Reason       *jingle.Reason // never nil
	ByPeer       bool
	WasConnected bool
	Duration     time.Duration // since it was connected
	Stats        media.Stats
	// AudioErr is what kept the source from being played or the recording from being whole, or nil.
	AudioErr error
}

func (Ringing) callEvent()     {}
func (Accepted) callEvent()    {}
func (Connected) callEvent()   {}
func (DTMF) callEvent()        {}
func (DTMFRefused) callEvent() {}
func (PeerMuted) callEvent()   {}
func (PeerHeld) callEvent()    {}
func (Meter) callEvent()       {}
func (Media) callEvent()       {}
func (Ended) callEvent()       {}

// Register adds to r the payloads that calls have.
func Register(r *jingle.Registry) { register(r) }
