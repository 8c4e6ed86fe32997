package transfers

import (
	"time"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/jingle"
)

// Event is something that happened to a transfer. The events of one transfer come in order, Done or Failed last.
type Event interface{ event() }

// Offered says that a peer offers a file. It waits for [Transfer.Accept] or [Transfer.Decline].
type Offered struct {
	Transfer *Transfer
	// File is what the peer says of it, unchecked. [Transfer.Name] is fit to be shown.
	File filetransfer.File
}

// Started says that the stream is connected and bytes begin to flow.
type Started struct {
	Transfer *Transfer
	// Transport is the namespace of the transport in use.
	Transport string
	// Offset is where in the file they begin.
	Offset     int64
	Encryption Encryption
}

// Checkpoint says that the first Bytes of a file that is being received are flushed to the disk.
type Checkpoint struct {
	Transfer *Transfer
	Bytes    int64
}

// Storing says that a received file is complete, and gets its name when this event has been handled.
type Storing struct {
	Transfer *Transfer
	// Agreed is the hash of the whole file that is the sender's too; its Sum is nil if the sender gave none.
	Agreed hashes.Hash
}

// Progress tells how far a transfer is, at most once in [Config.ProgressInterval].
type Progress struct {
	Transfer *Transfer
	// Bytes of Total were copied.
	Bytes, Total int64
	// Elapsed is the time since the first byte.
	Elapsed time.Duration
}

// Done says that the file has arrived.
type Done struct {
	Transfer *Transfer
	Bytes    int64
	Elapsed  time.Duration
	// Transport is the namespace of the transport that was used.
	Transport  string
	Encryption Encryption
	// Hash is of the whole file as computed here. Verified is the function by which both sides agree on it, "" if the
	// sender gave nothing to compare (and always at a sender).
	Hash     hashes.Hash
	Verified hashes.Algo
	// Confirmed tells, at a sender, that the receiver said it has everything.
	Confirmed bool
	// Path is where a received file is.
	Path string
}

// Failed says that a transfer came to nothing.
type Failed struct {
	Transfer *Transfer
	Reason   jingle.Condition
	// Text is a sentence for people. If ByPeer is set it may be the peer's; it is short and safe to be shown.
	Text   string
	ByPeer bool
	// Err is the local error behind it, or nil.
	Err error
	// Interruption says whether it can go on. If it can, a receiver's incomplete file is kept.
	Interruption Interruption
	// Bytes, of an interrupted transfer, are how many are there, from the start of the file.
	Bytes int64
}

func (Offered) event()    {}
func (Started) event()    {}
func (Checkpoint) event() {}
func (Storing) event()    {}
func (Progress) event()   {}
func (Done) event()       {}
func (Failed) event()     {}
