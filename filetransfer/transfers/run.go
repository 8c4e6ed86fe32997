package transfers

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/store"
	"github.com/jingled/jingled/jingle"
)

// maxText bounds a sentence of the peer, in bytes.
const maxText = 500

// drainInterval is how often the socket of a sender is asked what it still holds.
const drainInterval = time.Second

// run is the transfer's goroutine.
func (t *Transfer) run() {
	defer close(t.done)
	t.limit = time.Now().Add(t.m.cfg.DecisionTimeout)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for !t.finished {
		timer.Reset(t.wait())
		select {
		case <-t.wake:
		case <-timer.C:
			t.tick()
		}
		for f := t.next(); f != nil; f = t.next() {
			f()
		}
	}
	t.finish()
}

func (t *Transfer) next() func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.finished || len(t.mailbox) == 0 {
		return nil
	}
	f := t.mailbox[0]
	t.mailbox[0] = nil
	t.mailbox = t.mailbox[1:]
	return f
}

// wait returns how long until there is something to do without being told.
func (t *Transfer) wait() time.Duration {
	most := time.Hour
	switch {
	case t.copying != nil, t.preparing != nil:
		most = t.m.cfg.ProgressInterval
	case t.draining:
		most = drainInterval
	}
	for _, d := range []time.Time{t.limit, t.deadline()} {
		if !d.IsZero() {
			most = min(most, max(time.Until(d), 0))
		}
	}
	return most
}

func (t *Transfer) deadline() time.Time {
	if t.sending != nil {
		return t.sending.Deadline()
	}
	return t.receiving.Deadline()
}

// tick tells progress, and watches the time.
func (t *Transfer) tick() {
	now := time.Now()
	if n := t.rehashed.Load(); n != t.ready && !t.limit.IsZero() {
		t.ready, t.limit = n, now.Add(t.m.cfg.StallTimeout)
	}
	if n := t.copied.Load(); t.copying != nil && n != t.seen {
		t.seen, t.limit = n, now.Add(t.m.cfg.StallTimeout)
		t.signaling.Heard()
		t.tell(Progress{t, n, t.total, now.Sub(t.began)})
	}
	if t.draining {
		t.drain(now)
	}
	if t.sending != nil {
		t.perform(t.sending.Advance(now))
	} else {
		t.perform(t.receiving.Advance(now))
	}
	if t.finished || t.limit.IsZero() || t.limit.After(now) {
		return
	}
	t.limit = time.Time{}
	switch {
	case t.preparing != nil && !t.mending:
		t.fail(&jingle.Reason{Condition: jingle.MediaError, Text: "The file cannot be stored."}, errors.New("the disk does not answer"))
	case !t.decision:
		t.fail(&jingle.Reason{Condition: jingle.Expired, Text: "Nobody answered the offer."}, nil)
	case t.conn == nil:
		t.fail(&jingle.Reason{Condition: jingle.ConnectivityError, Text: "No connection was made in time."}, nil)
	case t.copying != nil, t.draining:
		t.fail(&jingle.Reason{Condition: jingle.Timeout, Text: "Nothing moved for too long."}, nil)
	}
}

// fail gives up for a reason of ours.
func (t *Transfer) fail(r *jingle.Reason, err error) {
	if t.sending != nil {
		t.perform(t.sending.Cancel(time.Now(), r, err))
	} else {
		t.perform(t.receiving.Cancel(time.Now(), r, err))
	}
}

// perform carries out the machine's effects.
func (t *Transfer) perform(effects []filetransfer.Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case filetransfer.Copy:
			t.copy(e)
		case filetransfer.Info:
			t.signaling.Info(e.Payload)
		case filetransfer.Commit:
			if no := t.unproven(); no != nil {
				t.fail(no, nil)
				return
			}
			t.tell(Storing{t, e.Agreed})
			path, err := t.target.Commit()
			t.perform(t.receiving.Committed(time.Now(), path, err))
		case filetransfer.Mend:
			t.mend()
		case filetransfer.End:
			t.signaling.End(e.Reason)
		case filetransfer.Finished:
			t.report(e.Outcome)
		}
	}
}

// copy begins to copy, on a goroutine of its own.
func (t *Transfer) copy(c filetransfer.Copy) {
	t.began, t.limit = time.Now(), time.Now().Add(t.m.cfg.StallTimeout)
	t.total, t.offset = c.Length, c.Offset
	t.tell(Started{Transfer: t, Transport: t.transport, Offset: c.Offset, Encryption: t.Encryption()})
	t.copying = make(chan struct{})
	copying := t.copying
	conn, failed := t.stream(c.Length)
	go func() {
		var result filetransfer.Copied
		switch {
		case failed != nil:
			result = filetransfer.Copied{Err: failed, Local: true}
		case t.sending != nil:
			result = t.send(conn, c)
		default:
			result = t.receive(conn, c)
		}
		if result.Err == nil && !result.TooMuch {
			result.Err = conclude(conn, t.sending != nil)
		}
		if result.Err == nil && t.sending != nil {
			result.Err = flush(t.conn)
		}
		close(copying)
		t.post(func() {
			t.copying, t.limit = nil, time.Time{}
			if no := forged(result.Err); no != nil && !t.finished {
				t.fail(no, result.Err)
			} else if t.sending != nil {
				t.draining = result.Err == nil
				t.perform(t.sending.Copied(time.Now(), result))
				if t.draining && !t.finished {
					t.signaling.Sent(result.Whole)
				}
			} else {
				t.whole = len(result.Whole) > 0
				t.perform(t.receiving.Copied(time.Now(), result))
			}
		})
	}()
}

// drain watches what the connection still holds of what was copied. As long as there is something, the receiver's silence
// confirms nothing, and it has to move.
func (t *Transfer) drain(now time.Time) {
	n := unsent(t.conn)
	moved := n != t.unsent
	if t.unsent = n; moved {
		t.signaling.Heard()
		t.limit = now.Add(t.m.cfg.StallTimeout)
	}
	if moved || n > streamEnd {
		t.sending.Moving(now)
	}
	if n <= streamEnd {
		t.limit = time.Time{}
		if !moved {
			endStream(t.conn)
		}
	}
}

// streamEnd is what TCP counts for the end of a stream: a byte that need not be acknowledged.
const streamEnd = 1

// Acknowledged reports whether the other end has acknowledged all that was written to a connection, as far as it tells. The
// error is that of a connection which the other end has reset meanwhile.
func Acknowledged(c *net.TCPConn) (bool, error) {
	if unsentTCP(c) <= streamEnd {
		return true, nil
	}
	return false, resetTCP(c)
}

// flush waits until what was written has come to the other side, where a connection can tell.
func flush(c io.Closer) error {
	if f, ok := c.(interface{ Flush() error }); ok {
		return f.Flush()
	}
	return nil
}

// unsent returns how many bytes a connection holds that the other end has not acknowledged, as far as it tells.
func unsent(c io.Closer) int {
	if q, ok := c.(interface{ Unsent() int }); ok {
		return q.Unsent()
	}
	return unsentTCP(c)
}

// endStream says that nothing follows, to who has not confirmed that it has everything. Prosody's proxy (0.12) keeps what it
// has read of a stream beyond 4096 bytes until more comes, or the end: without it the last bytes would hang there.
func endStream(c io.Closer) {
	if s, ok := c.(*net.TCPConn); ok {
		_ = s.CloseWrite() // done twice, or too late, it does no harm
	}
}

func (t *Transfer) send(conn io.Writer, c filetransfer.Copy) filetransfer.Copied {
	f, err := t.source.Open()
	if err != nil {
		return filetransfer.Copied{Err: err, Local: true}
	}
	defer closeQuietly(f)
	cfg := store.CopyConfig{Length: c.Length, Progress: &t.copied}
	out := filetransfer.Copied{}
	whole := c.Offset+c.Length == t.source.Size && c.Offset <= rehashMost
	if len(c.Algos) > 0 {
		cfg.Hash = hashes.NewMulti(c.Algos...)
		if whole {
			err = t.rehash(cfg.Hash, f, c.Offset)
		}
	}
	if err == nil {
		_, err = f.Seek(c.Offset, io.SeekStart)
	}
	if err != nil {
		return filetransfer.Copied{Err: err, Local: true}
	}
	out.Bytes, out.Err = store.Copy(conn, f, cfg)
	out.Local = errors.Is(out.Err, store.ErrRead)
	if cfg.Hash != nil {
		if out.Part = cfg.Hash.Sums(); whole {
			out.Whole = out.Part
			if c.Offset > 0 {
				out.Part = nil
			}
		}
	}
	return out
}

func (t *Transfer) receive(conn io.Reader, c filetransfer.Copy) filetransfer.Copied {
	prefix, whole := t.prefix, c.Offset+c.Length == *orZero(t.file.Size)
	if prefix == nil || t.have != c.Offset {
		prefix, whole = hashes.NewMulti(c.Algos...), whole && c.Offset == 0
	}
	cfg := store.CopyConfig{Length: c.Length, Progress: &t.copied, NoMore: true, Hash: prefix}
	out := filetransfer.Copied{}
	stop := make(chan struct{})
	var flushing sync.WaitGroup
	t.checkpoints(t.target, c.Offset, stop, &flushing)
	out.Bytes, out.Err = store.Copy(t.target, conn, cfg)
	close(stop)
	flushing.Wait()
	out.Local = errors.Is(out.Err, store.ErrWrite)
	if errors.Is(out.Err, store.ErrTooMuch) {
		out.TooMuch, out.Err = true, nil
	}
	if out.Part = cfg.Hash.Sums(); whole {
		out.Whole = out.Part
		if c.Offset > 0 {
			out.Part = nil
		}
	}
	return out
}

// report ends the transfer; what is left to do is done by finish.
func (t *Transfer) report(o filetransfer.Outcome) {
	t.finished = true
	t.stopped.Store(true)
	if t.conn != nil {
		closeQuietly(t.conn)
	}
	if t.hurry != nil {
		t.hurry()
	}
	if t.copying != nil {
		<-t.copying // its connection is closed, so it ends
	}
	if t.preparing != nil {
		<-t.preparing
	}
	stay := Ended
	if o.Failure != nil {
		stay = t.interruption(o.Failure)
	}
	if t.target != nil {
		if stay == Ended {
			t.discard(t.target.Discard)
		} else {
			t.discard(t.target.Keep)
		}
	}
	if o.Failure != nil {
		t.log.Info("file transfer failed", "sid", t.sid, "reason", string(o.Failure.Reason.Condition), "by_peer", o.Failure.ByPeer, "err", o.Failure.Err)
		t.tell(Failed{t, o.Failure.Reason.Condition, filetransfer.PlainText(o.Failure.Error(), maxText), o.Failure.ByPeer, o.Failure.Err,
			stay, max(t.have, t.offset+t.copied.Load())})
		return
	}
	elapsed := time.Since(t.began)
	if n := t.copied.Load(); n != t.seen || n == 0 {
		t.tell(Progress{t, n, t.total, elapsed})
	}
	t.tell(Done{
		Transfer: t, Bytes: o.Bytes, Elapsed: elapsed, Transport: t.transport, Encryption: t.Encryption(), Hash: o.Hash,
		Verified: o.Verified, Confirmed: o.Confirmed, Path: o.Path,
	})
}

// finish drops what is still in the mailbox, but closes connections that come too late.
func (t *Transfer) finish() {
	t.mu.Lock()
	rest := t.mailbox
	t.mailbox, t.over = nil, true
	t.mu.Unlock()
	for _, f := range rest {
		f()
	}
}
