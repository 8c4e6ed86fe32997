package transfers

import (
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/store"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
)

// Transfer is one file on its way. Its methods may be called from any goroutine and do not block.
type Transfer struct {
	m         *Manager
	signaling Signaling
	peer      jid.JID
	sid       string
	content   jingle.ContentID
	file      filetransfer.File
	log       *slog.Logger
	done      chan struct{}
	copied    atomic.Int64 // bytes
	rehashed  atomic.Int64 // bytes that were there already
	stopped   atomic.Bool  // nothing more is to be rehashed
	theirs    bool         // the peer began it
	out       bool         // we send

	demand bool // that the bytes are encrypted

	mu      sync.Mutex
	secured *secured // nil: not end to end
	channel bool     // the connection is encrypted
	session *engine.Session
	mailbox []func()
	over    bool
	wake    chan struct{}

	// What follows belongs to the goroutine of run.
	sending   *filetransfer.Sending // one of the two is set
	receiving *filetransfer.Receiving
	source    *Source
	target    Target
	decision  bool // whether the peer, or the user, has decided
	resumed   bool // it goes on with an earlier one
	have      int64
	offset    int64         // where in the file the copying began
	proven    bool          // the sender has said for sure what a hash of the whole file is that is computed here
	whole     bool          // hashes of the whole file were computed
	prefix    *hashes.Multi // of the first have bytes
	preparing chan struct{} // closed when they are hashed, or the file is mended
	mending   bool
	request   *Request    // what we have asked for
	events    func(Event) // in place of the manager's
	ns        string      // of the description that the peer asked with
	ready     int64       // rehashed when limit was set
	hurry     func()      // ends the waiting for a rate
	conn      io.ReadWriteCloser
	transport string
	total     int64
	began     time.Time
	limit     time.Time // for the decision, the connection, or the next byte
	seen      int64     // bytes when limit was set
	copying   chan struct{}
	draining  bool // all is copied, and the socket may still hold some of it
	unsent    int  // bytes that it held when it was asked last
	finished  bool
	quiet     bool // nobody knows of it, so there is nothing to tell
}

func (m *Manager) newTransfer(peer jid.JID, id jingle.ContentID, file filetransfer.File) *Transfer {
	return &Transfer{
		m: m, peer: peer, content: id, file: file, sid: engine.NewSID(), log: m.cfg.Log.With("peer", peer.String()),
		done: make(chan struct{}), wake: make(chan struct{}, 1), total: *orZero(file.Size),
	}
}

func orZero(n *int64) *int64 {
	if n == nil {
		n = new(int64)
	}
	return n
}

// SID returns the id of the session.
func (t *Transfer) SID() string { return t.sid }

// Peer returns the other side's full address.
func (t *Transfer) Peer() jid.JID { return t.peer }

// Name returns the file's name made safe: for an incoming file the one that it gets, but for a number.
func (t *Transfer) Name() string { return filetransfer.SafeName(t.File().Name) }

// File returns the file as it was offered; one that was asked for is as it was asked for until the peer has answered.
func (t *Transfer) File() filetransfer.File {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.file
}

// Outgoing reports whether we are the sender.
func (t *Transfer) Outgoing() bool { return !t.incoming() }

func (t *Transfer) incoming() bool { return !t.out }

// Copied returns how many bytes were copied so far.
func (t *Transfer) Copied() int64 { return t.copied.Load() }

// Done is closed when the transfer is over and its last event was told.
func (t *Transfer) Done() <-chan struct{} { return t.done }

// Accept takes an offered file into a folder. It does nothing if there was a decision already.
func (t *Transfer) Accept(folder *store.Folder) {
	t.post(func() {
		if t.decision || t.receiving == nil || t.finished {
			return
		}
		t.decision = true
		// The disk is asked before the peer is answered.
		target, err := folder.Create(t.file.Name, *orZero(t.file.Size))
		if err != nil {
			t.fail(&jingle.Reason{Condition: jingle.MediaError, Text: "The file cannot be stored.", App: filetransfer.FileTooLarge()}, err)
			return
		}
		t.target = target
		t.limit = time.Now().Add(t.m.cfg.ConnectTimeout)
		answer := t.receiving.Accept(0)
		t.signaling.Accept(answer)
	})
}

// Decline refuses an offered file. It does nothing if there was a decision already.
func (t *Transfer) Decline() {
	t.post(func() {
		if !t.decision && t.receiving != nil {
			t.decision = true
			t.fail(&jingle.Reason{Condition: jingle.Decline}, nil)
		}
	})
}

// Cancel gives the transfer up; nil stands for the reason cancel (XEP-0234 section 6.5).
func (t *Transfer) Cancel(r *jingle.Reason) {
	if r == nil {
		r = &jingle.Reason{Condition: jingle.Cancel}
	}
	t.post(func() { t.fail(r, nil) })
}

func (t *Transfer) setSession(s *engine.Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.session = s
}

// inSession runs f on the session's goroutine, if there is a session and it lives.
func (t *Transfer) inSession(f func(*engine.Session)) {
	t.mu.Lock()
	s := t.session
	t.mu.Unlock()
	if s != nil {
		s.Post(func() { f(s) })
	}
}

// post runs f on the transfer's goroutine; after its end f is dropped, which is reported.
func (t *Transfer) post(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return false
	}
	t.mailbox = append(t.mailbox, f)
	select {
	case t.wake <- struct{}{}:
	default:
	}
	return true
}

// tell passes an event on.
func (t *Transfer) tell(e Event) {
	switch {
	case t.quiet:
	case t.events != nil:
		t.events(e)
	default:
		t.m.cfg.Events(e)
	}
}

// What the signaling tells.

func (t *Transfer) offered() {
	t.post(func() {
		if !t.finished {
			t.tell(Offered{t, t.file})
		}
	})
}

func (t *Transfer) accepted(answer *filetransfer.File) {
	t.post(func() {
		t.decision = true
		t.limit = time.Now().Add(t.m.cfg.ConnectTimeout)
		if t.request != nil {
			t.granted(answer)
			return
		}
		t.perform(t.sending.Accepted(time.Now(), answer))
	})
}

func (t *Transfer) sized(size int64) {
	t.post(func() {
		if t.receiving == nil || t.finished {
			return
		}
		t.total = size
		t.mu.Lock()
		if t.file.Size == nil {
			t.file.Size = &size
		}
		t.mu.Unlock()
		if disk, ok := t.target.(interface{ CheckSpace(int64) error }); ok {
			if err := disk.CheckSpace(size); err != nil {
				t.fail(&jingle.Reason{Condition: jingle.MediaError, Text: "The file cannot be stored.", App: filetransfer.FileTooLarge()}, err)
				return
			}
		}
		t.perform(t.receiving.Sized(time.Now(), size))
	})
}

func (t *Transfer) connected(conn io.ReadWriteCloser, ns string) {
	if !t.post(func() { t.connect(conn, ns) }) {
		closeQuietly(conn)
	}
}

func (t *Transfer) connect(conn io.ReadWriteCloser, ns string) {
	if t.finished || t.conn != nil {
		closeQuietly(conn) // one is enough: bytes are on their way already
		return
	}
	t.conn, t.transport = conn, ns
	if no := t.protected(conn); no != nil {
		t.fail(no, nil)
		return
	}
	if t.sending != nil {
		t.perform(t.sending.Connected(time.Now()))
	} else {
		t.perform(t.receiving.Connected(time.Now()))
	}
}

func (t *Transfer) ended(r *jingle.Reason, byPeer bool, err error) {
	t.post(func() {
		if err != nil && !byPeer && !t.finished {
			// The session could not even begin, or it broke.
			t.log.Debug("session of a file transfer", "err", err)
		}
		if t.sending != nil {
			t.perform(t.sending.Ended(time.Now(), r, byPeer))
		} else {
			t.perform(t.receiving.Ended(time.Now(), r, byPeer))
		}
	})
}

func (t *Transfer) checksum(c filetransfer.Checksum) {
	t.post(func() {
		if t.receiving != nil {
			t.proven = t.proven || t.proves(c)
			t.perform(t.receiving.Checksum(time.Now(), c))
		}
	})
}

func (t *Transfer) received(r filetransfer.Received) {
	t.post(func() {
		if t.sending != nil {
			t.perform(t.sending.Received(time.Now(), r))
		}
	})
}

// closeQuietly closes what nobody needs any more.
func closeQuietly(c io.Closer) { _ = c.Close() }
