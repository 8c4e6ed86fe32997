package filetransfer

import (
	"fmt"
	"time"

	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// Effect is what [Sending] or [Receiving] wants done after an input. Effects are carried out in order.
type Effect interface{ effect() }

// Copy begins the copying of bytes between the file and the stream; its end is told with Copied.
type Copy struct {
	// Offset is where in the file, and Length how many bytes.
	Offset, Length int64
	// Algos are the hashes to compute while copying.
	Algos []hashes.Algo
}

// Info sends a session-info with this payload.
type Info struct{ Payload jingle.Payload }

// Commit makes the received file final: flush it, give it its name. The result is told with [Receiving.Committed].
type Commit struct {
	// Agreed is the hash of the whole file that is the sender's too; its Sum is nil if there was none to compare.
	Agreed hashes.Hash
}

// Mend looks for what is damaged in the received file and repairs it. The result is told with [Receiving.Mended].
type Mend struct{}

// End ends the content with this reason: by session-terminate if it is the last of its session, by content-remove
// (or, before it was accepted, content-reject) otherwise.
type End struct{ Reason *jingle.Reason }

// Finished is the last effect: the transfer is over.
type Finished struct{ Outcome Outcome }

func (Copy) effect()     {}
func (Info) effect()     {}
func (Commit) effect()   {}
func (Mend) effect()     {}
func (End) effect()      {}
func (Finished) effect() {}

// Outcome is how a transfer went.
type Outcome struct {
	// Failure is nil if every byte arrived.
	Failure *Failure
	// Bytes were copied in this transfer, without what a resumed one had already.
	Bytes int64
	// Verified is the hash function that the sender and the receiver agree on, as far as this side can know; "" if
	// there was nothing to compare. A sender knows nothing of it.
	Verified hashes.Algo
	// Hash is of the whole file, as computed here; its Sum is nil if it was not.
	Hash hashes.Hash
	// Confirmed tells, at a sender, that the receiver said it has everything.
	Confirmed bool
	// Path is where a received file is.
	Path string
}

// Failure says why a transfer did not succeed, in words for people.
type Failure struct {
	Reason *jingle.Reason
	ByPeer bool
	// Err is the local error behind it, or nil.
	Err error
}

func (f *Failure) Error() string {
	if f.Reason.Text != "" {
		return f.Reason.Text
	}
	if f.ByPeer {
		return "the other side ended the transfer: " + string(f.Reason.Condition)
	}
	return string(f.Reason.Condition)
}

// Unwrap returns the local error behind the failure.
func (f *Failure) Unwrap() error { return f.Err }

// Copied is how the copying that [Copy] began has ended.
type Copied struct {
	Bytes int64
	// Whole are the hashes of the whole file, nil if the copying began in the middle and what lies before was not
	// hashed. Part are those of the copied range.
	Whole, Part hashes.Sums
	// TooMuch says that the stream had more bytes than were asked for.
	TooMuch bool
	// Err is nil if all went well. Local says that it is the file's error and not the stream's.
	Err   error
	Local bool
}

func reason(c jingle.Condition, app *xmltree.Element, format string, args ...any) *jingle.Reason {
	return &jingle.Reason{Condition: c, Text: fmt.Sprintf(format, args...), App: app}
}

// due reports whether a deadline is set and reached.
func due(deadline, now time.Time) bool { return !deadline.IsZero() && !deadline.After(now) }

// sameContent reports whether an info is about the content id. Conversations leaves out the creator, and everyone
// writes "initiator" for it, so the name decides; without a name it is about the only content there is.
func sameContent(id jingle.ContentID, name string) bool { return name == "" || name == id.Name }

// ending is what both machines keep of a stream that broke or a session that ended before the copying did.
type ending struct {
	ended  *jingle.Reason // the peer's, nil while the session lives
	broken *jingle.Reason // ours, to be used if the peer does not say why
}

// failure chooses the better reason of the two.
func (e *ending) failure(err error) *Failure {
	if e.ended != nil && e.ended.Condition != jingle.Success {
		return &Failure{Reason: e.ended, ByPeer: true}
	}
	return &Failure{Reason: e.broken, Err: err}
}
