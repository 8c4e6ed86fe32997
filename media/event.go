package media

import (
	"time"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/media/dtmf"
)

// Event is something that happens to a [Call].
type Event interface{ mediaEvent() }

// Candidate is a candidate of ours that the peer should learn, in the content of this name.
type Candidate struct {
	Content   string
	Transport ice.Transport // with credentials and the one candidate
}

// Gathered says that a content has no more candidates to tell.
type Gathered struct{ Content string }

// Connected says that the path is there and secured.
type Connected struct {
	Pair agent.Pair
	At   time.Time
	Secrecy
}

// Secrecy says who can hear a call.
type Secrecy struct {
	Encryption Encryption
	// ZRTPHash is that of the peer's audio (XEP-0262): "1.10 abcd...", and empty if it told none. Two people who compare
	// what their ZRTP says need it; it is not spoken here.
	ZRTPHash string
}

// PathChanged says that another path is used now.
type PathChanged struct{ Pair agent.Pair }

// Disturbed says that nothing has arrived for some seconds; Restored that it does again.
type Disturbed struct{}

// Restored is told after [Disturbed].
type Restored struct{}

// Restarting says that another path is looked for, because we or the peer wanted it (XEP-0176 section 5.9). The one in use
// goes on meanwhile; [PathChanged] tells the end of it.
type Restarting struct{ ByPeer bool }

// Heard says that the first packet of sound was decoded.
type Heard struct {
	Codec string
	At    time.Time
}

// KeyDown says that the peer has pressed a key. It is told once for a key.
type KeyDown struct{ Key dtmf.Key }

// KeyUp tells how long the key was down, if the peer says so.
type KeyUp struct{ Key dtmf.Key }

// SourceEnded says that the source has come to its end, or cannot be read; silence is sent from now on.
type SourceEnded struct{ Err error } // nil at its end

// VideoSeen says that the first packet of video has come; VideoSourceEnded that the source of video has come to its end, or
// cannot be read.
type VideoSeen struct {
	Content    string
	Categories []rtp.Category // XEP-0507
	Codec      string
	At         time.Time
}

// VideoSourceEnded is told at the end of the source of video.
type VideoSourceEnded struct {
	Content string
	Err     error // nil at its end
}

// VideoEnded says that a content of video is no more, while the call goes on.
type VideoEnded struct {
	Content    string
	Categories []rtp.Category
	Err        error // nil if either side wanted it so
}

// SinkFailed says that the sink does not take any more.
type SinkFailed struct{ Err error }

func (Candidate) mediaEvent()   {}
func (Gathered) mediaEvent()    {}
func (Connected) mediaEvent()   {}
func (PathChanged) mediaEvent() {}
func (Disturbed) mediaEvent()   {}
func (Restored) mediaEvent()    {}
func (Restarting) mediaEvent()  {}
func (Heard) mediaEvent()       {}
func (KeyDown) mediaEvent()     {}
func (KeyUp) mediaEvent()       {}
func (SourceEnded) mediaEvent() {}
func (SinkFailed) mediaEvent()  {}
func (VideoSeen) mediaEvent()   {}
func (VideoEnded) mediaEvent()  {}

func (VideoSourceEnded) mediaEvent() {}

// Stats are the figures of a call so far.
type Stats struct {
	// Codec is what we send, Path the path in use, both empty before there is one.
	Codec string
	Path  string
	// Relayed tells whether the path goes through a relay.
	Relayed bool
	Secrecy
	// PacketsSent and BytesSent count RTP, bytes without headers, as the received ones do.
	PacketsSent, BytesSent         uint64
	PacketsReceived, BytesReceived uint64
	// PacketsLost are of the peer's, PacketsLate came but too late to be played.
	PacketsLost, PacketsLate uint64
	// RemoteLost are those of ours that the peer reports as lost.
	RemoteLost uint64
	// Jitter is of what comes in (RFC 3550), RoundTrip is 0 while it is not known.
	Jitter, RoundTrip time.Duration
	// Delay is what the playout buffer adds, 0 if nothing is played.
	Delay time.Duration
	// MOS is an estimate of how the peer sounds here, from 1 to 4.5, and 0 while nothing is known.
	MOS float64
	// Videos are those of the contents of video, in their order.
	Videos []VideoStats
}

// VideoStats are the figures of one content of video.
type VideoStats struct {
	Content    string
	Categories []rtp.Category
	// Codec is what we send, or would, and what comes if we have sent nothing.
	Codec                          string
	PacketsSent, BytesSent         uint64
	PacketsReceived, BytesReceived uint64
	PacketsLost, RemoteLost        uint64
	// Bitrate is how much may be sent, in bit/s: the least of what the peer says that it can take and what the path was seen to
	// take; 0 if nothing is known.
	Bitrate int
}
