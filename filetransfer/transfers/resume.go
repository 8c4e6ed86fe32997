package transfers

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/resume"
	"github.com/jingled/jingled/filetransfer/store"
	"github.com/jingled/jingled/jingle"
)

// Interruption says whether a transfer that came to nothing can go on in another session.
type Interruption uint8

// The interruptions. The zero value is the end.
const (
	// Ended is for good.
	Ended Interruption = iota
	// Broken is the network's, or the end of a program.
	Broken
	// Paused is the user's, PausedByPeer that of the user of the other side.
	Paused
	PausedByPeer
)

// rehashMost bounds what a sender hashes again before it goes on, so that the receiver does not take it for dead. Beyond
// it the hash is of the part that is sent.
const rehashMost = 4 << 30

// Target is where received bytes go; [store.File] is one. It is for one goroutine, but for Sync.
type Target interface {
	io.Writer
	// Sync flushes what was written to the disk. It may be called while bytes are written.
	Sync() error
	// Commit makes the file final and returns its path. Keep leaves an incomplete one for later, and Discard removes it.
	Commit() (string, error)
	Keep() error
	Discard() error
	// Part is the name of the incomplete file.
	Part() string
}

// AcceptInto takes an offered file whose first have bytes are in target already. Where there is something to compare with
// they are hashed again before the peer is asked for the rest; what lies behind them is cut off. A sender that has not said that it understands ranges (XEP-0234
// section 5) is asked for everything. Without a decision to make, the target is closed as [store.File.Keep] does.
func (t *Transfer) AcceptInto(target *store.File, have int64) {
	closed := !t.post(func() {
		if t.decision || t.receiving == nil || t.finished {
			t.discard(target.Keep)
			return
		}
		t.decision, t.target, t.resumed = true, target, have > 0
		if t.file.Range == nil {
			have = 0
		}
		have = min(have, *orZero(t.file.Size))
		t.prepare(target, have, func() {
			t.limit = time.Now().Add(t.m.cfg.ConnectTimeout)
			t.signaling.Accept(t.receiving.Accept(have))
		})
	})
	if closed {
		t.discard(target.Keep)
	}
}

// partial is a target that has something already.
type partial interface {
	io.ReadSeeker
	Truncate(size int64) error
}

// prepare cuts a target off and hashes it where there is a use in it, and then calls ready on the transfer's goroutine.
func (t *Transfer) prepare(target partial, have int64, ready func()) {
	t.have, t.limit = have, time.Now().Add(t.m.cfg.StallTimeout)
	prefix, preparing := hashes.NewMulti(t.receiving.Algos()...), make(chan struct{})
	t.preparing = preparing
	go func() {
		err := target.Truncate(have)
		if err == nil {
			err = t.rehash(prefix, target, have)
		}
		close(preparing)
		t.post(func() {
			t.preparing = nil
			switch {
			case t.finished:
			case err != nil:
				t.fail(&jingle.Reason{Condition: jingle.MediaError, Text: "The file cannot be stored."}, err)
			default:
				t.prefix = prefix
				ready()
			}
		})
	}()
}

// rehash reads the first n bytes of a file into a hash, and passes over them if nothing is computed. It ends early when the
// transfer does.
func (t *Transfer) rehash(h *hashes.Multi, from io.ReadSeeker, n int64) error {
	start, left := int64(0), n
	if len(h.Algos()) == 0 {
		start, left = n, 0
	}
	if _, err := from.Seek(start, io.SeekStart); err != nil {
		return err
	}
	const step = 8 << 20
	for left > 0 {
		if t.stopped.Load() {
			return errors.New("the transfer has ended")
		}
		c, err := io.CopyN(h, from, min(step, left))
		left -= c
		t.rehashed.Add(c)
		if err != nil {
			return err
		}
	}
	return nil
}

// mend repairs the file and hashes all of it again.
func (t *Transfer) mend() {
	target, preparing := t.target, make(chan struct{})
	whole := hashes.NewMulti(t.receiving.Algos()...)
	t.preparing, t.mending, t.limit = preparing, true, time.Time{}
	go func() {
		err := t.m.cfg.Mend(t, target)
		if file, ok := target.(partial); !ok {
			err = errors.Join(err, errors.New("what was received cannot be read again"))
		} else if err == nil {
			err = t.rehash(whole, file, *orZero(t.File().Size))
		}
		close(preparing)
		t.post(func() {
			t.preparing, t.mending = nil, false
			t.perform(t.receiving.Mended(time.Now(), whole.Sums(), err))
		})
	}()
}

// Stir tells a sender that its receiver is still at work, so that it waits on for its word.
func (t *Transfer) Stir() {
	t.post(func() {
		if t.sending != nil {
			t.sending.Moving(time.Now())
		}
	})
}

// Interrupt ends the session but not the transfer, whatever it has come to.
func (t *Transfer) Interrupt(r *jingle.Reason) {
	t.post(func() {
		t.resumed = true
		t.fail(r, nil)
	})
}

// checkpoints flushes a file that is being received again and again and tells how much of it is safe, until stop is
// closed. A slow disk is left alone for most of the time.
func (t *Transfer) checkpoints(target Target, offset int64, stop <-chan struct{}, wg *sync.WaitGroup) {
	if t.m.cfg.Checkpoint <= 0 {
		return
	}
	wg.Go(func() {
		timer := time.NewTimer(t.m.cfg.Checkpoint)
		defer timer.Stop()
		for safe := int64(0); ; {
			select {
			case <-timer.C:
			case <-stop:
				return
			}
			n, began := t.copied.Load(), time.Now()
			if n == safe {
				timer.Reset(t.m.cfg.Checkpoint)
				continue
			}
			err := target.Sync()
			timer.Reset(max(t.m.cfg.Checkpoint, 10*time.Since(began)))
			if err != nil {
				t.log.Debug("flush", "part", target.Part(), "err", err)
				continue
			}
			safe = n
			t.post(func() {
				if !t.finished {
					t.tell(Checkpoint{t, offset + n})
				}
			})
		}
	})
}

// Continues reports whether the transfer can go on in another session after an interruption.
func (t *Transfer) Continues() bool { return t.signaling.Lasts() && t.m.cfg.Checkpoint > 0 }

// Content returns the name of the session's content.
func (t *Transfer) Content() string { return t.content.Name }

// Dismiss ends the transfer as [Transfer.Cancel] does, and nobody is told.
func (t *Transfer) Dismiss(r *jingle.Reason) {
	t.post(func() {
		t.quiet = true
		t.fail(r, nil)
	})
}

// Pause ends the session but not the transfer: what is there stays, and the peer, if it is one of ours, knows that it
// need not try again.
func (t *Transfer) Pause() {
	t.Cancel(&jingle.Reason{Condition: jingle.Cancel, Text: "The transfer is paused.", App: resume.PausedElement()})
}

// interruption says whether a failure is the end. It is not where the file was on its way, by a protocol in which it can go
// on, and nobody meant to give it up.
func (t *Transfer) interruption(f *filetransfer.Failure) Interruption {
	paused := resume.IsPaused(f.Reason.App)
	begun := t.resumed || t.conn != nil || t.decision && (paused || f.Reason.Condition == jingle.Gone)
	if !t.Continues() || !begun {
		return Ended
	}
	switch f.Reason.Condition {
	case jingle.ConnectivityError, jingle.Timeout, jingle.Gone, jingle.FailedTransport, jingle.GeneralError, jingle.Busy:
		return Broken
	case jingle.Expired:
		if t.resumed { // an offer that nobody heard
			return Broken
		}
	case jingle.Cancel:
		switch {
		case !paused:
		case f.ByPeer:
			return PausedByPeer
		default:
			return Paused
		}
	}
	return Ended
}

// discard reports what a file that is given up says.
func (t *Transfer) discard(how func() error) {
	if err := how(); err != nil {
		t.log.Warn("an incomplete file", "err", err)
	}
}
