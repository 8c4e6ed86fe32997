package filetransfer

import (
	"slices"
	"time"

	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/jingle"
)

// ReceivingConfig says what is received. Content and Offer must be set.
type ReceivingConfig struct {
	Content jingle.ContentID
	// NS is the version of the description that was offered; "" is [NS].
	NS    string
	Offer File
	// SizeLater allows an offer without a size, which [Receiving.Sized] tells before [Receiving.Connected].
	SizeLater bool
	// MaxSize is the largest file that is taken, in bytes; 0 means any.
	MaxSize int64
	// ChecksumGrace is how long to wait, after the last byte, for an announced <checksum/> (default 5 s). BreakGrace
	// is how long to wait for the peer's reason when the stream broke (default 2 s), and DrainTimeout for the rest of
	// the bytes when the peer ended the session with success (default 10 s).
	ChecksumGrace, BreakGrace, DrainTimeout time.Duration
	// Mend asks once, by [Mend], to repair a file whose hash is wrong, before it is given up.
	Mend bool
}

// Receiving is the receiver's side of one file as a function of its inputs. It is not safe for concurrent use.
//
//	offered --Accept--> accepted --Connected--> copying --Copied--> [checksum] --> committing --Committed--> over
type Receiving struct {
	cfg       ReceivingConfig
	state     receiveState
	connected bool
	offset    int64
	length    int64
	expect    []hashes.Hash // of the whole file
	expectOf  []hashes.Hash // of the range
	copied    Copied
	mended    bool
	outcome   Outcome
	end       ending
	deadline  time.Time
	out       []Effect
}

type receiveState uint8

const (
	receiveOffered receiveState = iota
	receiveAccepted
	receiveCopying
	receiveBroken
	receiveChecksum
	receiveMending
	receiveCommitting
	receiveOver
)

// NewReceiving returns a transfer that waits for a decision. The reason, if not nil, says why the offer cannot be
// accepted.
func NewReceiving(cfg ReceivingConfig) (*Receiving, *jingle.Reason) {
	orDefault(&cfg.ChecksumGrace, 5*time.Second)
	orDefault(&cfg.BreakGrace, 2*time.Second)
	orDefault(&cfg.DrainTimeout, 10*time.Second)
	o := &cfg.Offer
	if o.Size == nil && cfg.SizeLater {
		return &Receiving{cfg: cfg, expect: o.Hashes}, nil
	}
	if o.Size == nil {
		// The XEP lets it be absent, but every client writes it, and without it there is no telling the end from a
		// broken connection.
		return nil, reason(jingle.FailedApplication, nil, "The offer does not say how large the file is.")
	}
	if no := cfg.tooLarge(*o.Size); no != nil {
		return nil, no
	}
	if _, _, ok := o.Range.Span(*o.Size); !ok {
		return nil, reason(jingle.FailedApplication, nil, "The offered range reaches over the end of the file.")
	}
	return &Receiving{cfg: cfg, expect: o.Hashes}, nil
}

// tooLarge returns the reason to refuse a file of this size, or nil.
func (c *ReceivingConfig) tooLarge(size int64) *jingle.Reason {
	if c.MaxSize <= 0 || size <= c.MaxSize {
		return nil
	}
	return reason(jingle.MediaError, FileTooLarge(), "The file has %d bytes; at most %d are taken.", size, c.MaxSize)
}

// Sized tells the size of a file whose offer did not say it, after Accept.
func (r *Receiving) Sized(_ time.Time, size int64) []Effect {
	if r.state != receiveAccepted || r.cfg.Offer.Size != nil {
		return r.take()
	}
	if no := r.cfg.tooLarge(size); no != nil {
		r.fail(&Failure{Reason: no})
		return r.take()
	}
	r.cfg.Offer.Size, r.length = &size, size
	if r.connected {
		r.connected = false
		return r.Connected(time.Time{})
	}
	return r.take()
}

// Accept tells that the file is wanted, and returns the <file/> to accept it with. have is how many bytes from the
// start are there already, 0 for a transfer from the beginning.
func (r *Receiving) Accept(have int64) File {
	answer := r.cfg.Offer
	if r.state != receiveOffered {
		return answer
	}
	r.state = receiveAccepted
	if answer.Size == nil {
		return answer
	}
	have = min(max(have, 0), *answer.Size)
	switch {
	case have > 0 || !answer.Range.Whole():
		// A sender that offers the rest of a file gets an explicit 0 if we lack its beginning.
		answer.Range = &Range{Offset: &have}
		r.offset, r.length = have, *answer.Size-have
	default:
		r.length = *answer.Size
	}
	return answer
}

// AcceptRange is [Receiving.Accept] for a part of the file, in bytes from its start. A file whose end is not in the part
// is never checked against a hash of the whole.
func (r *Receiving) AcceptRange(offset, length int64) File {
	answer := r.Accept(0)
	if r.state != receiveAccepted || answer.Size == nil {
		return answer
	}
	answer.Range = &Range{Offset: &offset, Length: &length}
	r.offset, r.length = offset, length
	return answer
}

// Connected tells that the stream is ready.
func (r *Receiving) Connected(time.Time) []Effect {
	r.connected = true
	if r.state == receiveAccepted && r.cfg.Offer.Size != nil {
		r.state = receiveCopying
		r.emit(Copy{Offset: r.offset, Length: r.length, Algos: r.Algos()})
	}
	return r.take()
}

// Algos are the functions to compute: those that the sender gave or will give values of, as far as they are known. Where
// there is nothing to compare with, nothing is computed.
func (r *Receiving) Algos() []hashes.Algo {
	var out []hashes.Algo
	add := func(a hashes.Algo) {
		if a.Known() {
			out = append(out, a.Canonical())
		}
	}
	for _, h := range r.cfg.Offer.Hashes {
		add(h.Algo)
	}
	for _, u := range r.cfg.Offer.HashUsed {
		add(u.Algo)
	}
	if r.cfg.Offer.unannounced() {
		add(hashes.SHA256)
	}
	return out
}

// Checksum tells that the peer sent <checksum/>.
func (r *Receiving) Checksum(_ time.Time, c Checksum) []Effect {
	if r.state >= receiveMending || !sameContent(r.cfg.Content, c.Name) {
		return r.take()
	}
	r.expect = append(slices.Clip(r.expect), c.File.Hashes...)
	if g := c.File.Range; g != nil && g.Start() == r.offset && (g.Length == nil || *g.Length == r.length) {
		r.expectOf = append(r.expectOf, g.Hashes...)
	}
	if r.state == receiveChecksum {
		r.verify(true)
	}
	return r.take()
}

// Copied tells that the copying has ended.
func (r *Receiving) Copied(now time.Time, c Copied) []Effect {
	if r.state != receiveCopying {
		return r.take()
	}
	r.copied, r.outcome.Bytes = c, c.Bytes
	if r.end.ended == nil {
		r.deadline = time.Time{}
	}
	switch {
	case c.TooMuch:
		// XEP-0234 section 9.2.
		r.fail(&Failure{Reason: reason(jingle.MediaError, FileTooLarge(), "More bytes came than the %d that were announced.", r.length)})
	case c.Local && c.Err != nil:
		r.fail(&Failure{Reason: reason(jingle.MediaError, nil, "The file cannot be stored."), Err: c.Err})
	case c.Err != nil || c.Bytes < r.length:
		r.end.broken = reason(jingle.ConnectivityError, nil, "The connection ended after %d of %d bytes.", c.Bytes, r.length)
		if r.end.ended != nil {
			r.fail(r.end.failure(c.Err))
			break
		}
		r.state, r.deadline = receiveBroken, now.Add(r.cfg.BreakGrace)
	case r.announced() && r.end.ended == nil && !r.comparable():
		r.state, r.deadline = receiveChecksum, now.Add(r.cfg.ChecksumGrace)
	default:
		r.verify(false)
	}
	return r.take()
}

// announced reports whether a checksum is to come that can be compared.
func (r *Receiving) announced() bool {
	for _, u := range r.cfg.Offer.HashUsed {
		if u.Algo.Known() {
			return true
		}
	}
	for _, h := range r.cfg.Offer.Hashes {
		if h.Sum == nil && h.Algo.Known() {
			return true // XEP-0234 section 5: an empty <hash/> announces one too
		}
	}
	return r.cfg.Offer.unannounced()
}

// comparable reports whether there is something to compare with already.
func (r *Receiving) comparable() bool {
	has := func(hs []hashes.Hash, sums hashes.Sums) bool {
		for _, h := range hs {
			if h.Usable() && sums[h.Algo.Canonical()] != nil {
				return true
			}
		}
		return false
	}
	return has(r.expect, r.copied.Whole) || has(r.expectOf, r.copied.Part)
}

// verify compares the hashes and goes on to make the file final. waiting says that a checksum is still awaited, and
// one that cannot be compared is not the one.
func (r *Receiving) verify(waiting bool) {
	if waiting && !r.comparable() {
		return
	}
	algo, err := r.copied.Whole.Check(r.expect)
	if err == nil {
		var part hashes.Algo
		if part, err = r.copied.Part.Check(r.expectOf); algo == "" {
			algo = part
		}
	}
	if err != nil && r.cfg.Mend && !r.mended {
		r.mended, r.state, r.deadline = true, receiveMending, time.Time{}
		r.emit(Mend{})
		return
	}
	if err != nil {
		r.fail(&Failure{Reason: reason(jingle.MediaError, nil, "The file was damaged on the way: %v.", err), Err: err})
		return
	}
	r.outcome.Verified = algo
	var commit Commit
	if v := r.copied.Whole[algo]; v != nil {
		commit.Agreed = hashes.Of(algo, v)
		r.outcome.Hash = commit.Agreed
	} else if best, ok := r.copied.Whole.Best(); ok {
		r.outcome.Hash = best
	}
	r.state, r.deadline = receiveCommitting, time.Time{}
	r.emit(commit)
}

// Mended tells how [Mend] went: whole are the hashes of the file as it is now. With an error it is given up.
func (r *Receiving) Mended(_ time.Time, whole hashes.Sums, err error) []Effect {
	if r.state != receiveMending {
		return r.take()
	}
	if err != nil {
		r.fail(&Failure{Reason: reason(jingle.MediaError, nil, "The file was damaged on the way."), Err: err})
		return r.take()
	}
	r.copied.Whole, r.copied.Part, r.expectOf = whole, nil, nil
	r.verify(false)
	return r.take()
}

// Committed tells that the file is final, and where it is, or why it cannot be.
func (r *Receiving) Committed(_ time.Time, path string, err error) []Effect {
	if r.state != receiveCommitting {
		return r.take()
	}
	if err != nil {
		r.fail(&Failure{Reason: reason(jingle.MediaError, nil, "The file cannot be stored."), Err: err})
		return r.take()
	}
	r.outcome.Path = path
	if r.end.ended == nil {
		// Section 8.1, and Psi wants both creator and name. Dino waits for the terminate that follows.
		r.emit(Info{Received{NS: r.cfg.NS, Creator: r.cfg.Content.Creator, Name: r.cfg.Content.Name}})
		r.emit(End{&jingle.Reason{Condition: jingle.Success}})
	}
	r.over()
	return r.take()
}

// Ended tells that the session or the content was ended by the peer, or by us for a reason of the session.
func (r *Receiving) Ended(now time.Time, why *jingle.Reason, byPeer bool) []Effect {
	if r.state == receiveOver || r.end.ended != nil {
		return r.take()
	}
	r.end.ended = why
	success := why.Condition == jingle.Success
	switch {
	case r.state == receiveCommitting || r.state == receiveMending:
		// It is complete, whatever the other side thinks.
	case success && r.state == receiveChecksum:
		r.verify(false)
	case success && r.state == receiveCopying:
		// A sender that does not wait for us. What it sent may still be on the way.
		r.end.broken = reason(jingle.ConnectivityError, nil, "The other side ended the transfer before it was complete.")
		r.deadline = now.Add(r.cfg.DrainTimeout)
	case success:
		r.fail(&Failure{Reason: reason(jingle.FailedApplication, nil, "The other side ended the transfer before it was complete."), ByPeer: byPeer})
	default:
		r.fail(&Failure{Reason: why, ByPeer: byPeer})
	}
	return r.take()
}

// Cancel gives the transfer up, or declines it, for a reason of ours.
func (r *Receiving) Cancel(_ time.Time, why *jingle.Reason, err error) []Effect {
	r.fail(&Failure{Reason: why, Err: err})
	return r.take()
}

// Deadline returns when [Receiving.Advance] wants to be called, and the zero time if never.
func (r *Receiving) Deadline() time.Time { return r.deadline }

// Advance tells the time.
func (r *Receiving) Advance(now time.Time) []Effect {
	if due(r.deadline, now) {
		r.deadline = time.Time{}
		switch r.state {
		case receiveChecksum:
			r.verify(false)
		case receiveBroken, receiveCopying:
			r.fail(r.end.failure(r.copied.Err))
		}
	}
	return r.take()
}

func (r *Receiving) fail(f *Failure) {
	if r.state == receiveOver {
		return
	}
	r.outcome.Failure = f
	if r.end.ended == nil {
		r.emit(End{f.Reason})
	}
	r.over()
}

func (r *Receiving) over() {
	r.state, r.deadline = receiveOver, time.Time{}
	r.emit(Finished{r.outcome})
}

func (r *Receiving) emit(e Effect) { r.out = append(r.out, e) }

func (r *Receiving) take() []Effect {
	out := r.out
	r.out = nil
	return out
}
