package filetransfer

import (
	"time"

	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/jingle"
)

// SendingConfig says what is sent. Content and Offer, with its size, must be set.
type SendingConfig struct {
	Content jingle.ContentID
	// NS is the version of the description that was offered; "" is [NS].
	NS    string
	Offer File
	// Resumes says that this goes on with an earlier transfer. A receiver that has everything already may end it at once,
	// with success.
	Resumes bool
	// Confirms says that the receiver is known to say when it has everything: its silence is then an interruption, and
	// elsewhere no bad sign, as clients that never say it are many.
	Confirms bool
	// Hash computes the SHA-256 of what is sent though the offer announces none: it is told to the receiver by other means
	// than a <checksum/>.
	Hash bool
	// ConfirmTimeout is how long to wait, after the last byte, for the receiver to say that it has everything
	// (default 30 s). CloseTimeout is how long to wait after that for it to end the session (default 5 s), and
	// BreakGrace for its reason when the stream broke (default 2 s).
	ConfirmTimeout, CloseTimeout, BreakGrace time.Duration
}

// Sending is the sender's side of one file as a function of its inputs. It is not safe for concurrent use.
//
//	offered --Accepted--> accepted --Connected--> copying --Copied--> confirming --Received, Ended--> over
type Sending struct {
	cfg       SendingConfig
	state     sendState
	connected bool
	offset    int64
	length    int64
	outcome   Outcome
	end       ending
	err       error
	deadline  time.Time
	out       []Effect
}

type sendState uint8

const (
	sendOffered sendState = iota
	sendAccepted
	sendCopying
	sendBroken // the stream broke; the peer may say why
	sendConfirming
	sendOver
)

// NewSending returns a transfer that was offered and waits for an answer.
func NewSending(cfg SendingConfig) *Sending {
	orDefault(&cfg.ConfirmTimeout, 30*time.Second)
	orDefault(&cfg.CloseTimeout, 5*time.Second)
	orDefault(&cfg.BreakGrace, 2*time.Second)
	return &Sending{cfg: cfg}
}

func orDefault(d *time.Duration, def time.Duration) {
	if *d <= 0 {
		*d = def
	}
}

// Accepted tells that the peer accepted the content. answer is its <file/>, nil if it has none.
func (s *Sending) Accepted(_ time.Time, answer *File) []Effect {
	if s.state != sendOffered {
		return s.take()
	}
	// XEP-0234 section 6.1: a range in the answer is to be respected. One without attributes says nothing.
	r := s.cfg.Offer.Range
	if answer != nil && answer.Range != nil && (answer.Range.Offset != nil || answer.Range.Length != nil) {
		r = answer.Range
	}
	var ok bool
	if s.offset, s.length, ok = r.Span(*s.cfg.Offer.Size); !ok {
		s.fail(&Failure{Reason: reason(jingle.FailedApplication, nil, "The range that was asked for reaches over the end of the file.")})
		return s.take()
	}
	s.state = sendAccepted
	s.start()
	return s.take()
}

// Connected tells that the stream is ready.
func (s *Sending) Connected(time.Time) []Effect {
	s.connected = true
	s.start()
	return s.take()
}

func (s *Sending) start() {
	if s.state != sendAccepted || !s.connected {
		return
	}
	s.state = sendCopying
	var algos []hashes.Algo
	for _, u := range s.cfg.Offer.HashUsed {
		algos = append(algos, u.Algo.Canonical())
	}
	if len(algos) == 0 && s.cfg.Hash {
		algos = []hashes.Algo{hashes.SHA256}
	}
	s.emit(Copy{Offset: s.offset, Length: s.length, Algos: algos})
}

// Copied tells that the copying has ended.
func (s *Sending) Copied(now time.Time, c Copied) []Effect {
	if s.state != sendCopying {
		return s.take()
	}
	s.outcome.Bytes = c.Bytes
	s.err = c.Err
	switch {
	case c.Local && c.Err != nil:
		s.end.broken = reason(jingle.FailedApplication, nil, "The file cannot be read to its end.")
		s.fail(&Failure{Reason: s.end.broken, Err: c.Err})
	case c.Err != nil || c.Bytes < s.length:
		s.end.broken = reason(jingle.ConnectivityError, nil, "The connection broke after %d of %d bytes.", c.Bytes, s.length)
		if s.end.ended != nil {
			s.fail(s.end.failure(c.Err))
			break
		}
		s.state, s.deadline = sendBroken, now.Add(s.cfg.BreakGrace)
	default:
		s.complete(now, c)
	}
	return s.take()
}

// complete goes on when the last byte is written.
func (s *Sending) complete(now time.Time, c Copied) {
	if best, ok := c.Whole.Best(); ok {
		s.outcome.Hash = best
	} else {
		for _, h := range s.cfg.Offer.Hashes {
			if h.Usable() {
				s.outcome.Hash = h
			}
		}
	}
	if s.end.ended != nil { // with success: see Ended
		s.outcome.Confirmed = true
		s.finish()
		return
	}
	if len(s.cfg.Offer.HashUsed) > 0 {
		// XEP-0234 section 8.2: what was announced by <hash-used/> follows now.
		s.emit(Info{Checksum{NS: s.cfg.NS, Creator: s.cfg.Content.Creator, Name: s.cfg.Content.Name, File: s.checksum(c)}})
	}
	s.state, s.deadline = sendConfirming, now.Add(s.cfg.ConfirmTimeout)
	if s.outcome.Confirmed {
		s.deadline = now.Add(s.cfg.CloseTimeout)
	}
}

func (s *Sending) checksum(c Copied) File {
	if c.Whole != nil {
		return File{Hashes: s.offered(c.Whole)}
	}
	return File{Range: &Range{Offset: &s.offset, Length: &s.length, Hashes: s.offered(c.Part)}}
}

// offered returns the values of the functions that were announced, as they were announced.
func (s *Sending) offered(sums hashes.Sums) []hashes.Hash {
	var out []hashes.Hash
	for _, u := range s.cfg.Offer.HashUsed {
		if v := sums[u.Algo.Canonical()]; v != nil {
			out = append(out, hashes.Hash{NS: u.NS, Algo: u.Algo, Sum: v})
		}
	}
	return out
}

// Moving tells that bytes that were copied are still leaving this machine, so that there is nothing to confirm yet. A
// slow line can take minutes for what a socket takes at once.
func (s *Sending) Moving(now time.Time) {
	if s.state == sendConfirming && !s.outcome.Confirmed {
		s.deadline = now.Add(s.cfg.ConfirmTimeout)
	}
}

// Received tells that the peer sent <received/>.
func (s *Sending) Received(now time.Time, r Received) []Effect {
	if !sameContent(s.cfg.Content, r.Name) {
		return s.take()
	}
	switch s.state {
	case sendCopying: // the receiver counts faster than we do
		s.outcome.Confirmed = true
	case sendConfirming:
		s.outcome.Confirmed = true
		s.deadline = now.Add(s.cfg.CloseTimeout)
	}
	return s.take()
}

// Drained tells that the last byte has left, in a protocol by which receivers say nothing.
func (s *Sending) Drained(time.Time) []Effect {
	if s.state == sendConfirming {
		s.finish()
	}
	return s.take()
}

// Ended tells that the session or the content was ended by the peer, or by us for a reason of the session.
func (s *Sending) Ended(now time.Time, r *jingle.Reason, byPeer bool) []Effect {
	if s.state == sendOver || s.end.ended != nil {
		return s.take()
	}
	s.end.ended = r
	success := r.Condition == jingle.Success
	switch {
	case success && (s.state == sendConfirming || s.state == sendOffered && s.cfg.Resumes):
		s.outcome.Confirmed = true
		s.finish()
	case success && s.state == sendBroken && s.outcome.Bytes == s.length:
		// What broke was the word that it has come.
		s.outcome.Confirmed = true
		s.finish()
	case success && s.state == sendCopying:
		// The receiver counts faster than we do, or it wants no more; the copying knows.
		s.end.broken = reason(jingle.FailedApplication, nil, "The other side ended the transfer before it was complete.")
		s.deadline = now.Add(s.cfg.CloseTimeout)
	case success:
		s.fail(&Failure{Reason: reason(jingle.FailedApplication, nil, "The other side ended the transfer before it was complete."), ByPeer: byPeer})
	default:
		s.fail(&Failure{Reason: r, ByPeer: byPeer})
	}
	return s.take()
}

// Cancel gives the transfer up for a reason of ours.
func (s *Sending) Cancel(_ time.Time, r *jingle.Reason, err error) []Effect {
	s.fail(&Failure{Reason: r, Err: err})
	return s.take()
}

// Deadline returns when [Sending.Advance] wants to be called, and the zero time if never.
func (s *Sending) Deadline() time.Time { return s.deadline }

// Advance tells the time.
func (s *Sending) Advance(now time.Time) []Effect {
	if due(s.deadline, now) {
		s.deadline = time.Time{}
		switch s.state {
		case sendConfirming:
			if s.cfg.Confirms && !s.outcome.Confirmed {
				s.fail(&Failure{Reason: reason(jingle.Timeout, nil, "The other side has not said that it has everything.")})
				break
			}
			s.finish() // every byte was handed over, and nobody complained
		case sendBroken, sendCopying:
			s.fail(s.end.failure(s.err))
		}
	}
	return s.take()
}

// finish ends with success.
func (s *Sending) finish() {
	if s.end.ended == nil {
		s.emit(End{&jingle.Reason{Condition: jingle.Success}})
	}
	s.over()
}

func (s *Sending) fail(f *Failure) {
	if s.state == sendOver {
		return
	}
	s.outcome.Failure = f
	if s.end.ended == nil {
		s.emit(End{f.Reason})
	}
	s.over()
}

func (s *Sending) over() {
	s.state, s.deadline = sendOver, time.Time{}
	s.emit(Finished{s.outcome})
}

func (s *Sending) emit(e Effect) { s.out = append(s.out, e) }

func (s *Sending) take() []Effect {
	out := s.out
	s.out = nil
	return out
}
